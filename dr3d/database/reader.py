"""What a database answers to queries.

Any number of processes may read while one writes. Each answers from one state,
catalogue and vectors together.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.database import catalogue
from dr3d.database.condition import Condition
from dr3d.database.photo_reader import PhotoReader
from dr3d.database.photo_search import embed_photos
from dr3d.database.processed_model import (
  describe_debris,
  read_processed_model,
)
from dr3d.database.sizing import (
  MISS_CANDIDATES,
  add_size,
  ask_unit,
  choose_misses,
  describe_size,
  rate_sizes,
  settle_mode,
)
from dr3d.error import DatabaseError, EmptyError
from dr3d.mesh.packing import unpack_boxes, unpack_mesh
from dr3d.mesh.unit import ASSUMED, GIVEN, UNITS, Unit, mark_given
from dr3d.registration.relation import IDENTICAL, VERIFIED_COUNT, Relation
from dr3d.search.answer import TARGET_PRECISION, Answer, Match
from dr3d.search.gallery import Gallery, find_neighbours
from dr3d.search.matching import Compare, Register, find_matches
from dr3d.search.query import Query
from dr3d.search.size import SizeMode

if TYPE_CHECKING:
  from dr3d.database import duplicate
  from dr3d.image.cutout import Photo
  from dr3d.image.mask import Box
  from dr3d.mesh import Mesh
  from dr3d.registration.surface import Fit

  RegisterMeshes = Callable[[Mesh, Mapping[str, bytes]], Mapping[str, Fit]]


class DatabaseReader(PhotoReader):
  """Models that can be searched, in a directory; see `DatabaseListing`."""

  def embed(self, mesh: "Mesh", *, unit: str = f"mm{GIVEN}") -> Query:
    """Makes a query of a mesh: its vectors at the learned views.

    Args:
      mesh: measured in millimetres. One of more faces than the models have is
        simplified as they were, or a finer mesh would look less like them.
      unit: of its file; see `Query`.

    Raises:
      DatabaseError: the stored pipeline is another one.
    """
    from dr3d.mesh.mesh import simplify_mesh

    mesh = simplify_mesh(mesh, self.face_budget)
    (vectors,) = np.asarray(self.pipeline.embed([mesh]))
    return Query(vectors, mesh=mesh, unit=unit)

  def query(
    self,
    query: "Mesh | Query | str | os.PathLike[str] | None" = None,
    *,
    photo: "Photo | Sequence[Photo] | None" = None,
    region: "Box | None" = None,
    k: int = 10,
    target_precision: float = TARGET_PRECISION,
    exclude: Collection[str] = (),
    condition: Condition | None = None,
    min_score: float = -1.0,
    refine: int = 0,
    verify: int = VERIFIED_COUNT,
    unit: Unit | None = None,
    size: SizeMode = "prefer",
    register: "RegisterMeshes | None" = None,
    neighbours: int = 1,
  ) -> Answer:
    """Answers which models a query looks like.

    Args:
      query: a mesh file; a Mesh, as `load_mesh` returns it, in millimetres
        unless the unit is named; or a Query, for vectors that are known
        already. None if a photograph asks.
      photo: a photograph of one thing, or several of the same: files, their
        contents, uint8 pixels `[H, W, 3]`, or cut-outs. They are not
        registered, so `verify` changes nothing.
      region: x, y, width and height of a box around the thing in the
        photograph, pixels; None if it is the only thing there.
      k: number of matches, at least 1.
      target_precision: share of the accepted predictions that are to be right.
      exclude: names of models to leave out.
      condition: which models are searched.
      min_score: matches of a lower score are left out.
      refine: number of first matches that are ordered by how well they fit the
        query, the best of them by their images; see `refinement`. If the
        condition asks for the same size, size counts there too. The prediction
        does not change.
      verify: number of most similar models that are registered to the query, so
        that their `distance`, `mirrored` and `same` are known. A near one moves
        to the front and supports its label; see `geometric_score`. Without a
        mesh nothing is registered.
      unit: of a file that states none, or of a Mesh. If None, that of the
        database is assumed for a file.
      size: how the true size takes part; see `size.SIZE_MODES`. A condition
        that asks for the same size counts as "match", and "match" without one
        takes the tolerance of `condition.TOLERANCE`.
      register: registers meshes; `verification.register_meshes` if None.
      neighbours: models that each vector of the query votes for.

    Returns:
      The predicted label and at most k models, best first.

    Raises:
      MeshError: the file cannot become a mesh.
      PictureError: a photograph cannot be read, or shows nothing.
      EmptyError: no model is indexed.
      ConditionError: the condition names a label or a key that no model has.
      DatabaseError: the directory is damaged.
      ValueError: the condition asks for a size, or refine for a mesh, that the
        query does not have; or both or none of query and photo are given.
    """
    snapshot = self.snapshot  # damage is reported before work is done
    if (query is None) == (photo is None):
      raise ValueError("a query needs either a model or a photograph")
    if photo is not None:
      query = embed_photos(photo, region=region)
    assert query is not None
    if isinstance(query, str | os.PathLike):
      query = self._load(query, unit)
    if not isinstance(query, Query):
      query = self._embed_in_unit(query, unit)
    if refine and query.mesh is None:
      raise ValueError("refine needs a query with a mesh")
    mode, condition = settle_mode(size, condition)
    gallery = snapshot.gallery
    if query.is_photograph:
      gallery = self.prepare_photos()
    find = functools.partial(
      find_matches,
      query,
      target_precision=target_precision,
      exclude=exclude,
      min_score=min_score,
      size=rate_sizes(snapshot.sizes, query, mode),
      neighbours=neighbours,
      surface_weight=self.surface_weight,
    )
    mesh = query.mesh if verify else None
    register_models = (
      None if mesh is None else self._make_register(mesh, register)
    )
    only = self._choose(condition, query)
    answer = find(
      self._search_within(gallery, condition, query),
      # The registered ones tell whether the unit may be wrong.
      k=max(k, refine, verify),
      only=only,
      register=register_models,
      compare=None if mesh is None else self._make_compare(mesh),
      verify=verify,
    )
    matches = self._add_sizes(answer.matches, query)
    misses: tuple[Match, ...] = ()
    if not matches and condition is not None and condition.same_size:
      others = dataclasses.replace(condition, same_size=None)
      found = find(
        self._search_within(gallery, others, query),
        k=MISS_CANDIDATES,
        only=self._choose(others, query),
        register=register_models,
        verify=verify,
      )
      misses = self._add_sizes(found.matches, query)
    question = ask_unit(matches or misses, query)
    if refine and matches:
      first = self._refine(query, matches[:refine], mode=mode)
      matches = (*first, *matches[refine:])
    return dataclasses.replace(
      answer,
      matches=matches[:k],
      size=describe_size(query, mode),
      unit_question=question,
      misses=choose_misses(misses),
      notes=self._list_notes(query, len(snapshot.gallery.names), gallery),
    )

  def _embed_in_unit(self, mesh: "Mesh", unit: Unit | None) -> Query:
    """Makes a query of a mesh in a unit; millimetres are assumed."""
    if unit is None:
      return self.embed(mesh, unit=f"mm{ASSUMED}")
    from dr3d.mesh.mesh import scale_mesh

    return self.embed(scale_mesh(mesh, UNITS[unit]), unit=f"{unit}{GIVEN}")

  def _add_sizes(
    self, matches: Sequence[Match], query: Query
  ) -> tuple[Match, ...]:
    """Completes matches by the true sizes of the models."""
    shapes = self.load_shapes([match.model for match in matches])
    return tuple(
      add_size(
        match,
        self.snapshot.models[match.model],
        query,
        unpack_boxes(shapes[match.model].mesh)
        if match.model in shapes
        else None,
      )
      for match in matches
    )

  def _choose(
    self, condition: Condition | None, query: Query
  ) -> np.ndarray | None:
    """Which models meet a condition: bool [B]; None if there is none."""
    if condition is None:
      return None
    if condition.same_size is not None and query.extent is None:
      raise ValueError("same_size needs a query whose size is known")
    return condition.mark(self.snapshot.columns, extent=query.extent or ())

  def _search_within(
    self, gallery: Gallery, condition: Condition | None, query: Query
  ) -> Gallery:
    """A gallery, filtered where its vectors are if they are in Milvus."""
    if condition is None:
      return gallery
    gallery.calibrate(query.similarity)
    return gallery.within(condition.express(query.extent or ()))

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
    model = self.find_model(name)
    shape = self.load_shapes([name]).get(name)
    if shape is None:
      raise DatabaseError(f"no mesh of the model {name!r} is stored.")
    mesh = unpack_mesh(shape.mesh)
    features = self.find_features(name)
    unit = model.unit
    if model.unit_source == "given":
      unit = mark_given(unit)
    if features is None:
      query = self.embed(mesh, unit=unit)
    else:
      query = Query(features, mesh=mesh, unit=unit)
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

  def _load(self, path: str | os.PathLike[str], unit: Unit | None) -> Query:
    """Makes a query of a file, which is read as model files are."""
    processed = read_processed_model(
      pathlib.Path(path),
      face_budget=self.face_budget,
      unit=unit or self.unit,
      appearance=self.appearance,
    )
    stated = processed.unit if unit is None else mark_given(processed.unit)
    return self.embed(processed.mesh, unit=stated)

  def _make_compare(self, mesh: "Mesh") -> Compare:
    """Makes a function that compares points of stored meshes with a mesh's."""

    def compare_models(names: Sequence[str]) -> Mapping[str, float]:
      from dr3d.search.verification import compare_meshes

      shapes = self.load_shapes(names)
      packed = {name: shape.mesh for name, shape in shapes.items()}
      try:
        return compare_meshes(mesh, packed) if packed else {}
      except ValueError:  # a damaged mesh; its registration reports it
        return {}

    return compare_models

  def _make_register(
    self, mesh: "Mesh", register: "RegisterMeshes | None"
  ) -> Register:
    """Makes a function that registers models with stored meshes to a mesh."""

    def register_models(names: Sequence[str]) -> "Mapping[str, Fit]":
      from dr3d.search.verification import register_meshes

      shapes = self.load_shapes(names)
      packed = {name: shape.mesh for name, shape in shapes.items()}
      return (register or register_meshes)(mesh, packed) if packed else {}

    return register_models

  def _list_notes(
    self, query: Query, count: int, gallery: Gallery
  ) -> tuple[str, ...]:
    """What an answer says of its query.

    Args:
      query: that was answered.
      count: models that are indexed.
      gallery: those it was compared with.
    """
    mesh = query.mesh
    notes = []
    if mesh is not None and mesh.debris:
      notes.append(f"The scan has {describe_debris(mesh.debris)}.")
    if mesh is not None and self.appearance and mesh.colors is None:
      notes.append(
        "The query has no colours and counts as white, while this database"
        " compares colours: models of the same shape and another colour come"
        " later."
      )
    missing = count - len(gallery.names)
    if missing:
      notes.append(
        f"{missing} of {count} models were not compared, because their meshes"
        " are not stored: index them again."
      )
    return tuple(notes)

  def _refine(
    self, query: Query, matches: Sequence[Match], *, mode: SizeMode
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
      size=mode,
    )
