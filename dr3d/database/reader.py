"""What a database answers: the part of it that only reads.

Any number of processes may read while one writes. Each answers from one state,
catalogue and vectors together.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue, journal
from dr3d.database.condition import Condition
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.processed_model import read_processed_model
from dr3d.database.snapshot import Snapshot, read_snapshot
from dr3d.error import DatabaseError, EmptyError
from dr3d.index.engine import EXACT_BELOW
from dr3d.index.exact import ExactIndex
from dr3d.index.vector_index import measure_recall
from dr3d.mesh.packing import unpack_mesh
from dr3d.mesh.unit import Unit
from dr3d.registration.relation import IDENTICAL, VERIFIED_COUNT, Relation
from dr3d.search.answer import TARGET_PRECISION, Answer, Match
from dr3d.search.gallery import Gallery, find_neighbours
from dr3d.search.matching import Register, find_matches
from dr3d.search.query import Query

if TYPE_CHECKING:
  from dr3d.database import duplicate
  from dr3d.mesh import Mesh
  from dr3d.registration.surface import Fit

  RegisterMeshes = Callable[[Mesh, Mapping[str, bytes]], Mapping[str, Fit]]

# Names of settings, as they are stored.
PIPELINE = "pipeline"  # the fingerprint; also the name of its folder
PLACE = "pipeline_folder"  # the pipeline's folder, if it is another one
MODELS = "models"  # the folder that was indexed last
BUDGET = "face_budget"  # of the pipeline
UNIT = "unit"  # of length, assumed for files that state none


class DatabaseReader:
  """Models that can be searched, in a directory.

  An object answers from the state that it read at its first query. `refresh`
  makes it read again.

  Attributes:
    directory: of the database.
    settings: text by name.
    fingerprint: of the pipeline.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = EXACT_BELOW,
  ):
    """Opens a database; see `open`."""
    self.directory = pathlib.Path(directory)
    self._read_settings()
    self._load_pipeline = load_pipeline
    self._exact_below = exact_below

  @classmethod
  def open(
    cls,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = EXACT_BELOW,
  ) -> Self:
    """Opens a database that exists.

    Args:
      directory: of the database.
      load_pipeline: reads the pipeline; `Pipeline.load` if None.
      exact_below: number of vectors from which ScaNN is used.

    Raises:
      DatabaseError: the directory holds no database, or an unfinished, newer
        or damaged one.
    """
    return cls(directory, load_pipeline=load_pipeline, exact_below=exact_below)

  @functools.cached_property
  def pipeline(self) -> EmbeddingPipeline:
    """The pipeline that made the vectors.

    Raises:
      DatabaseError: the stored pipeline is another one.
    """
    load = self._load_pipeline
    if load is None:
      from dr3d.retrieval.pipeline import Pipeline  # brings jax

      load = Pipeline.load
    place = self.directory / self.settings.get(PLACE, PIPELINE)
    pipeline = load(place)
    if pipeline.fingerprint != self.fingerprint:
      raise DatabaseError(
        f"{place} is not the pipeline that made the "
        "vectors of this database: restore it from a copy."
      )
    return pipeline

  @property
  def gallery(self) -> Gallery:
    """The indexed models, as they were when this was first asked for.

    Raises:
      DatabaseError: no model is indexed, or the catalogue is damaged.
    """
    return self.snapshot.gallery

  @functools.cached_property
  def snapshot(self) -> Snapshot:
    """The state that is searched, read when it is first asked for.

    Raises:
      EmptyError: no model is indexed.
      DatabaseError: the catalogue is damaged.
    """
    return read_snapshot(self.directory, exact_below=self._exact_below)

  @property
  def face_budget(self) -> int | None:
    """Faces that the pipeline wants; known without loading it."""
    return json.loads(self.settings[BUDGET])

  @property
  def unit(self) -> str:
    """Unit of length that is assumed for files that state none."""
    return self.settings.get(UNIT, "mm")

  def refresh(self) -> None:
    """Makes the next query see what other processes have written."""
    before = self.fingerprint
    self._read_settings()
    self.__dict__.pop("snapshot", None)
    if self.fingerprint != before:
      self.__dict__.pop("pipeline", None)

  def _read_settings(self) -> None:
    with catalogue.open_catalogue(self.directory) as connection:
      self.settings = catalogue.read_settings(connection)
    self.fingerprint = self.settings[PIPELINE]

  def models(self) -> list[catalogue.Model]:
    """All models with label, state, reason and size, by name."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_models(connection)

  def count_states(self) -> dict[str, int]:
    """How many models are in each of `catalogue.STATES`."""
    return _count_states(self.models())

  def inspect(self) -> dict[str, Any]:
    """What the database holds, ready for JSON.

    Returns:
      The number of models in each state; `labels`, the number of labels of
      indexed models; `vectors` that are searched; `index`, its engine; `recall`
      of the first ten neighbours, None if nothing is indexed; `vote`, the share
      of its own models that get the right label when asked for among the
      others, and `accepted`, the share of these that are accepted by votes
      alone, None if no two models share a label, or all; `pipeline`, its
      fingerprint; `format`; `bytes` on the disk; `failures`, a list of model
      and reason.

    Raises:
      DatabaseError: the directory is damaged.
    """
    models = self.models()
    indexed = [model for model in models if model.state == catalogue.INDEXED]
    return {
      **_count_states(models),
      "labels": len({model.label for model in indexed} - {""}),
      **self._inspect_index(bool(indexed)),
      "pipeline": self.fingerprint,
      "format": catalogue.FORMAT,
      "bytes": sum(
        path.stat().st_size
        for path in self.directory.rglob("*")
        if path.is_file()
      ),
      "failures": [
        {"model": model.name, "reason": model.reason}
        for model in models
        if model.state == catalogue.FAILED
      ],
    }

  def _inspect_index(self, is_searchable: bool) -> dict[str, Any]:
    """What `inspect` says of the index and of the calibration."""
    vote = accepted = recall = None
    vectors, engine = 0, "none"
    if is_searchable:
      gallery = self.gallery
      stored = gallery.features.reshape(-1, gallery.features.shape[2])
      recall = measure_recall(gallery.index, ExactIndex(stored), stored)
      vectors, engine = gallery.index.count, gallery.index.engine
      calibration = gallery.calibrate()
      queries = calibration.in_database
      if len(queries.right):
        vote = round(float(queries.right.mean()), 3)
        passes = calibration.accept(queries, TARGET_PRECISION)
        accepted = round(float(passes.mean()), 3)
    return {
      "vectors": vectors,
      "index": engine,
      "recall": recall,
      "vote": vote,
      "accepted": accepted,
    }

  def describe_index(self) -> str:
    """Name of the index's engine, or "none"."""
    if not self.count_states()[catalogue.INDEXED]:
      return "none"
    return self.gallery.index.engine

  def embed(self, mesh: "Mesh") -> Query:
    """Makes a query of a mesh: its vectors at the learned views.

    Raises:
      DatabaseError: the stored pipeline is another one.
    """
    (vectors,) = np.asarray(self.pipeline.embed([mesh]))
    return Query(vectors, mesh=mesh)

  def query(
    self,
    query: "Mesh | Query | str | os.PathLike[str]",
    *,
    k: int = 10,
    target_precision: float = TARGET_PRECISION,
    exclude: Collection[str] = (),
    condition: Condition | None = None,
    min_score: float = -1.0,
    refine: int = 0,
    verify: int = VERIFIED_COUNT,
    unit: Unit | None = None,
    register: "RegisterMeshes | None" = None,
  ) -> Answer:
    """Answers which models a query looks like.

    Args:
      query: a mesh file; a Mesh, as `load_mesh` returns it, whose unit is taken
        to be the millimetre; or a Query, for vectors that are known already.
      k: matches wanted, at least 1.
      target_precision: share of the accepted predictions that are to be right.
      exclude: names of models to leave out.
      condition: which models are searched.
      min_score: matches of a lower score are left out.
      refine: how many of the first matches are ordered by how well they fit the
        query, the best of them by their images; see `refinement`. If the
        condition asks for the same size, size counts there too. The prediction
        does not change.
      verify: how many of the most similar models are registered to the query,
        so that their `distance`, `mirrored` and `same` are known. A near one
        moves to the front and supports its label; see `geometric_score`. A
        query without a mesh has none registered.
      unit: of a file that states none; that of the database if None.
      register: registers meshes; `verification.register_meshes` if None.

    Returns:
      The predicted label and at most k models, best first.

    Raises:
      MeshError: the file cannot become a mesh.
      EmptyError: no model is indexed.
      ConditionError: the condition names a label or a key that no model has.
      DatabaseError: the directory is damaged.
      ValueError: the condition asks for a size, or refine for a mesh, that the
        query does not have.
    """
    snapshot = self.snapshot  # damage is reported before work is done
    if isinstance(query, str | os.PathLike):
      query = self._load(query, unit)
    if not isinstance(query, Query):
      query = self.embed(query)
    if refine and query.mesh is None:
      raise ValueError("refine needs a query with a mesh")
    mesh = query.mesh if verify else None
    answer = find_matches(
      query,
      snapshot.gallery,
      k=max(k, refine),
      target_precision=target_precision,
      exclude=exclude,
      only=self._choose(condition, query),
      min_score=min_score,
      register=None if mesh is None else self._make_register(mesh, register),
      verify=verify,
    )
    matches = tuple(
      _add_size(match, snapshot.models[match.model], query)
      for match in answer.matches
    )
    if refine and matches:
      is_sized = condition is not None and condition.same_size is not None
      first = self._refine(query, matches[:refine], same_size=is_sized)
      matches = (*first, *matches[refine:])
    return dataclasses.replace(answer, matches=matches[:k])

  def _choose(
    self, condition: Condition | None, query: Query
  ) -> set[str] | None:
    """Names of the models that meet a condition; None for all."""
    if condition is None:
      return None
    if condition.same_size is not None and query.extent is None:
      raise ValueError("same_size needs a query whose size is known")
    rows = [self.snapshot.models[name] for name in self.gallery.names]
    return condition.choose(rows, extent=query.extent or ())

  def query_similar(
    self,
    name: str,
    *,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
  ) -> Answer:
    """Answers which other models a model of the database looks like.

    Args:
      name: of the model, which is left out of the answer.
      k: see `query`, as for the following.
      condition: which models are searched.
      min_score: matches of a lower score are left out.
      verify: how many of the most similar models are registered to the model.

    Raises:
      DatabaseError: there is no such model, or no mesh of it is stored.
    """
    self._find(name)
    shape = self.load_shapes([name]).get(name)
    if shape is None:
      raise DatabaseError(f"no mesh of the model {name!r} is stored.")
    mesh = unpack_mesh(shape.mesh)
    features = self.find_features(name)
    query = self.embed(mesh) if features is None else Query(features, mesh=mesh)
    return self.query(
      query,
      k=k,
      exclude=(name,),
      condition=condition,
      min_score=min_score,
      verify=verify,
    )

  def find_features(self, name: str) -> np.ndarray | None:
    """Vectors [N, D] of a model; None if it is not searched."""
    try:
      gallery = self.gallery
    except EmptyError:
      return None
    row = gallery.rows.get(name)
    return None if row is None else gallery.features[row]

  def read_file(self, name: str) -> bytes:
    """Returns the file of a model, as it was indexed.

    Raises:
      DatabaseError: there is no such model, or its file is gone or changed.
    """
    path = self.find_file(self._find(name))
    if path is None:
      raise DatabaseError(
        f"the file of {name!r} is gone or has changed since it was read."
      )
    return path.read_bytes()

  def load_shapes(self, names: Collection[str]) -> dict[str, catalogue.Shape]:
    """Meshes and pictures of models, by name, where they are stored."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_shapes(connection, names)

  def find_file(self, model: catalogue.Model) -> pathlib.Path | None:
    """Where the file of a model is; None where it is gone or has changed."""
    root = self.settings.get(MODELS, "")
    kept = journal.find_file(self.directory, model.hash)
    if kept is not None:
      path = kept
    elif model.source == catalogue.FOLDER:
      path = pathlib.Path(root, model.name)
    else:
      path = pathlib.Path(model.name)
    with contextlib.suppress(OSError, ValueError):
      if path.is_absolute() or kept:
        return path if folder.hash_file(path) == model.hash else None
    return None

  def find_duplicates(
    self,
    *,
    weakest: Relation = "similar",
    progress: Callable[[int, int], None] | None = None,
  ) -> "list[duplicate.Group]":
    """Finds indexed models that are one shape; nothing is changed.

    Args:
      weakest: see `duplicate.find_groups`.
      progress: see `duplicate.find_groups`.

    Raises:
      DatabaseError: no model is indexed, or the directory is damaged.
    """
    from dr3d.database import duplicate

    snapshot = self.snapshot
    names = snapshot.gallery.names
    proposals = {}
    if weakest != IDENTICAL:
      neighbours = find_neighbours(snapshot.gallery)
      proposals = dict(zip(names, neighbours, strict=True))
    with catalogue.open_catalogue(self.directory) as connection:

      def load_mesh(name: str) -> "Mesh | None":
        shapes = catalogue.read_shapes(connection, [name])
        return unpack_mesh(shapes[name].mesh) if name in shapes else None

      return duplicate.find_groups(
        [snapshot.models[name] for name in names],
        load_mesh,
        proposals=proposals,
        weakest=weakest,
        progress=progress,
      )

  def _find(self, name: str) -> catalogue.Model:
    """The row of a model."""
    for model in self.models():
      if model.name == name:
        return model
    raise DatabaseError(f"{self.directory} has no model {name!r}.")

  def _load(self, path: str | os.PathLike[str], unit: Unit | None) -> "Mesh":
    """Reads a query file as model files are read."""
    processed = read_processed_model(
      pathlib.Path(path),
      face_budget=self.face_budget,
      unit=unit or self.unit,
    )
    return processed.mesh

  def _make_register(
    self, mesh: "Mesh", register: "RegisterMeshes | None"
  ) -> Register:
    """Registers models to a mesh, as far as their meshes are stored."""

    def register_models(names: Sequence[str]) -> "Mapping[str, Fit]":
      from dr3d.search.verification import register_meshes

      shapes = self.load_shapes(names)
      packed = {name: shape.mesh for name, shape in shapes.items()}
      return (register or register_meshes)(mesh, packed) if packed else {}

    return register_models

  def _refine(
    self, query: Query, matches: Sequence[Match], *, same_size: bool
  ) -> tuple[Match, ...]:
    """Orders matches by how well they fit."""
    from dr3d.retrieval.pipeline import Pipeline
    from dr3d.search.refinement import refine_matches

    pipeline = self.pipeline
    assert query.mesh is not None, "the caller has checked it"
    shapes = self.load_shapes([match.model for match in matches])
    return refine_matches(
      query.mesh,
      matches,
      {name: unpack_mesh(shape.mesh) for name, shape in shapes.items()},
      pipeline=pipeline if isinstance(pipeline, Pipeline) else None,
      same_size=same_size,
    )


def _count_states(models: Sequence[catalogue.Model]) -> dict[str, int]:
  states = [model.state for model in models]
  return {state: states.count(state) for state in catalogue.STATES}


def _add_size(match: Match, model: catalogue.Model, query: Query) -> Match:
  """Completes a match by the true size of the model."""
  assert model.radius is not None, "the tables let none be indexed without"
  scale = None
  if query.mesh is not None:
    scale = round(model.radius / float(query.mesh.radius), 6)
  return dataclasses.replace(match, extent=model.extent, scale=scale)
