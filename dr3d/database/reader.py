"""What a database answers: the side of it that reads.

Any number of processes may read while one writes; each answers from the state
that it has read at once, catalogue and vectors together.
"""

import bisect
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue, journal
from dr3d.database.condition import Condition
from dr3d.database.processed_model import read_processed_model
from dr3d.database.protocol import Relation, Unit
from dr3d.database.snapshot import Snapshot, read_snapshot
from dr3d.error import DatabaseError, EmptyError
from dr3d.index import vector_index as index_lib
from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.relation import IDENTICAL, VERIFIED_COUNT
from dr3d.search import match
from dr3d.search.match import Lay, Match
from dr3d.search.vote import TARGET_PRECISION

if TYPE_CHECKING:
  from dr3d.database import duplicate
  from dr3d.registration.surface import Fit

  LayMeshes = Callable[[Any, Mapping[str, bytes]], Mapping[str, Fit]]

# Names of settings.
PIPELINE = "pipeline"  # the fingerprint; the name of its folder as well
PLACE = "pipeline_folder"  # where the pipeline is, if elsewhere
MODELS = "models"  # the folder that was looked through last
BUDGET = "face_budget"  # of the pipeline
UNIT = "unit"  # of length, that is assumed


class EmbeddingPipeline(Protocol):
  """What the database asks of a pipeline."""

  @property
  def face_budget(self) -> int | None:
    """Faces that a mesh is simplified to before it is embedded."""

  @property
  def fingerprint(self) -> str:
    """Hash of the weights and the configuration."""

  def embed(self, meshes: list[Any], /) -> np.ndarray:
    """Float32 [B, N, D] unit vectors of B meshes."""

  def save(self, directory: pathlib.Path, /) -> Any:
    """Writes the pipeline as a directory, in place of what stood there."""


LoadPipeline = Callable[[pathlib.Path], EmbeddingPipeline]


class DatabaseReader:
  """Models that can be searched, in a directory.

  An object answers from the state that it read at its first query; `refresh`
  makes it read again.

  Attributes:
    directory: where it is.
    settings: text by name.
    fingerprint: of the pipeline.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = index_lib.EXACT_BELOW,
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
    exact_below: int = index_lib.EXACT_BELOW,
  ) -> Self:
    """Opens a database that exists.

    Args:
      directory: where it is.
      load_pipeline: reads the pipeline from a directory; `Pipeline.load`
        otherwise.
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
  def gallery(self) -> match.Gallery:
    """The indexed models as they were when this was first asked for.

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
    """Faces that the pipeline, which need not be loaded for it, wants."""
    return json.loads(self.settings[BUDGET])

  @property
  def unit(self) -> str:
    """That is assumed of files that do not state theirs."""
    return self.settings.get(UNIT, "mm")

  def refresh(self) -> None:
    """Lets the next query see what other processes have written since."""
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
      The number of models in each state; `labels`, different ones of the
      indexed models; `vectors` that are searched; `index`, how; `recall` of
      the first ten neighbours, None where nothing is indexed; `vote`, of its
      own models asked for among the others the share whose label is told
      rightly, and `accepted`, the share whose answer is called so by votes
      alone, None where no two models share a label, or all; `pipeline`, its
      fingerprint; `format`; `bytes` on the disk; `failures`, a list of model
      and reason.

    Raises:
      DatabaseError: the directory is damaged.
    """
    models = self.models()
    indexed = [model for model in models if model.state == catalogue.INDEXED]
    index = self.gallery.index if indexed else None
    vote = accepted = None
    if indexed:
      calibration = self.gallery.fit_calibration()
      if len(calibration.in_database.right):
        passes = calibration.accept(calibration.in_database, TARGET_PRECISION)
        vote = round(float(calibration.in_database.right.mean()), 3)
        accepted = round(float(passes.mean()), 3)
    return {
      **_count_states(models),
      "labels": len({model.label for model in indexed} - {""}),
      "vectors": 0 if index is None else len(index.vectors),
      "index": "none" if index is None else index.backend,
      "recall": None if index is None else index_lib.measure_recall(index),
      "vote": vote,
      "accepted": accepted,
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

  def describe_index(self) -> str:
    """How the vectors are searched: "exact", "scann", or "none"."""
    if not self.count_states()[catalogue.INDEXED]:
      return "none"
    return self.gallery.index.backend

  def answer(
    self,
    features: np.ndarray,
    mesh: Any,
    *,
    k: int = 10,
    threshold: float = TARGET_PRECISION,
    exclude: Collection[str] = (),
    condition: Condition | None = None,
    min_score: float = -1.0,
    refine: int = 0,
    verify: int = VERIFIED_COUNT,
    fit: "LayMeshes | None" = None,
  ) -> match.Answer:
    """Answers as `query` does, from vectors that are known already.

    Args:
      features: [N, D], what the pipeline made of the mesh.
      mesh: see `query`; for what follows as well.
      k: matches wanted.
      threshold: share of the predictions called reliable that are to be right.
      exclude: names of models.
      condition: which models are searched.
      min_score: of a match.
      refine: matches that are put in the order of how well they fit.
      verify: matches that are laid upon the query.
      fit: how; `verification.register_meshes` where None.

    Raises:
      DatabaseError: see `query`.
    """
    snapshot = self.snapshot
    only = None
    if condition is not None:
      rows = [snapshot.models[name] for name in snapshot.gallery.names]
      only = condition.choose(rows, extent=mesh.extent)
    answer = match.find_matches(
      features,
      snapshot.gallery,
      k=max(k, refine),
      threshold=threshold,
      exclude=exclude,
      only=only,
      min_score=min_score,
      lay=self._make_lay(mesh, fit) if verify else None,
      verify=verify,
    )
    matches = tuple(
      _give_size(match, snapshot.models[match.model], mesh)
      for match in answer.matches
    )
    if refine and matches:
      is_sized = condition is not None and condition.same_size is not None
      first = self._refine(mesh, matches[:refine], same_size=is_sized)
      matches = (*first, *matches[refine:])
    return dataclasses.replace(answer, matches=matches[:k])

  def query(
    self,
    model: Mesh | str | os.PathLike[str],
    *,
    k: int = 10,
    threshold: float = TARGET_PRECISION,
    exclude: Collection[str] = (),
    condition: Condition | None = None,
    min_score: float = -1.0,
    refine: int = 0,
    verify: int = VERIFIED_COUNT,
    unit: Unit | None = None,
  ) -> match.Answer:
    """Answers which models a mesh looks like.

    Args:
      model: a mesh file, or a Mesh, as `load_mesh` returns it, whose unit is
        taken to be the millimetre where sizes are compared.
      k: matches wanted, at least 1.
      threshold: share of the predictions called reliable that are to be right.
      exclude: names of models to leave out.
      condition: which models are searched.
      min_score: of a match.
      refine: how many of the first matches the query is laid upon and put in
        the order of how well it fits, the best of them by their pictures; see
        `refinement`. Where the condition asks for the same size, size counts
        there too. The prediction stays that of the votes.
      verify: how many of the first matches, of the answer or beyond it, are
        laid upon the query, so that `distance`, `mirrored` and `same` are
        known of them; what comes close moves to the front, and speaks for its
        label, see `closeness`.
      unit: of a file that states none; None for that of the database.

    Returns:
      The predicted label and at most k models, best first.

    Raises:
      MeshError: the file cannot become a mesh.
      EmptyError: no model is indexed.
      ConditionError: the condition names a label or a key that none has.
      DatabaseError: the directory is damaged.
    """
    self.gallery  # noqa: B018  what is wrong with it is told first
    if isinstance(model, str | os.PathLike):
      model = self._load(model, unit)
    (features,) = np.asarray(self.pipeline.embed([model]))
    return self.answer(
      features,
      model,
      k=k,
      threshold=threshold,
      exclude=exclude,
      condition=condition,
      min_score=min_score,
      refine=refine,
      verify=verify,
    )

  def query_similar(
    self,
    name: str,
    *,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
  ) -> match.Answer:
    """Answers which other models a model of the database looks like.

    Args:
      name: of the model, which is left out of the answer.
      k: see `query`; for what follows as well.
      condition: which models are searched.
      min_score: of a match.
      verify: how many of the first matches are registered to the model.

    Raises:
      DatabaseError: there is no such model, or no mesh of it is stored.
    """
    self._find(name)
    shape = self.load_shapes([name]).get(name)
    if shape is None:
      raise DatabaseError(f"no mesh of the model {name!r} is stored.")
    mesh = unpack_mesh(shape.mesh)
    features = self.find_features(name)
    if features is None:
      (features,) = np.asarray(self.pipeline.embed([mesh]))
    return self.answer(
      features,
      mesh,
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
    row = bisect.bisect_left(gallery.names, name)
    if row < len(gallery.names) and gallery.names[row] == name:
      return gallery.features[row]
    return None

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
      progress: likewise.

    Raises:
      DatabaseError: no model is indexed, or the directory is damaged.
    """
    from dr3d.database import duplicate

    snapshot = self.snapshot
    names = snapshot.gallery.names
    proposals = {}
    if weakest != IDENTICAL:
      proposals = dict(
        zip(names, match.find_neighbours(snapshot.gallery), strict=True)
      )
    with catalogue.open_catalogue(self.directory) as connection:

      def load_mesh(name: str) -> Any:
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

  def _load(self, path: str | os.PathLike[str], unit: Unit | None) -> Mesh:
    """Reads a query file as model files are read."""
    processed = read_processed_model(
      pathlib.Path(path),
      face_budget=self.face_budget,
      unit=unit or self.unit,
    )
    return processed.mesh

  def _make_lay(self, mesh: Any, fit: "LayMeshes | None") -> Lay:
    """Lays models, as far as their meshes are stored, upon a mesh."""

    def lay(names: Sequence[str]) -> "Mapping[str, Fit]":
      from dr3d.search import verification

      shapes = self.load_shapes(names)
      packed = {name: shape.mesh for name, shape in shapes.items()}
      return (
        (fit or verification.register_meshes)(mesh, packed) if packed else {}
      )

    return lay

  def _refine(
    self, mesh: Any, matches: Sequence[Match], *, same_size: bool
  ) -> tuple[Match, ...]:
    """Orders matches by how well they fit."""
    from dr3d.search.refinement import refine_matches

    shapes = self.load_shapes([match.model for match in matches])
    return refine_matches(
      mesh,
      matches,
      {name: unpack_mesh(shape.mesh) for name, shape in shapes.items()},
      pipeline=self.pipeline,
      same_size=same_size,
    )


def _count_states(models: Sequence[catalogue.Model]) -> dict[str, int]:
  states = [model.state for model in models]
  return {state: states.count(state) for state in catalogue.STATES}


def _give_size(match: Match, model: catalogue.Model, mesh: Any) -> Match:
  """Completes a match by the true size of the model."""
  assert model.radius is not None, "the tables let none be indexed without"
  scale = round(model.radius / float(mesh.radius), 6)
  return dataclasses.replace(match, extent=model.extent, scale=scale)
