"""Leaks: models that are both among the queries and in the gallery.

A query that finds its own file, or the same mesh under another name, says
nothing about models that are not in the gallery.
"""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy.spatial

from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.evaluation.model_set import ModelSet
from dr3d.mesh import load_mesh

_TOLERANCE = 1e-4  # of the radius: file formats round more than float32 does

LeakKind = Literal["file", "geometry"]


@dataclasses.dataclass(frozen=True)
class Leak:
  """A model in both sets.

  Attributes:
    query: its name as a query.
    model: its name in the gallery.
    kind: `"file"`: the files are equal, byte by byte; `"geometry"`: vertices
      and faces are equal, up to format, pose and size.
  """

  query: str
  model: str
  kind: LeakKind


@dataclasses.dataclass(frozen=True, eq=False)
class _Shape:
  """What equal meshes have in common in any pose.

  Attributes:
    face_count: after cleaning.
    radii: [V], distances of the vertices from the centre of the enclosing
      sphere, ascending.
  """

  face_count: int
  radii: np.ndarray


def find_leaks(
  queries: ModelSet, gallery: ModelSet, *, own: bool
) -> list[Leak]:
  """Finds the models that are in both sets.

  Args:
    queries: with proportions.
    gallery: with proportions.
    own: whether the queries are models of the gallery, as in a leave-one-out;
      then only pairs of different models count.

  Returns:
    Leaks by query and model. If a file is gone, only its hash is compared.
  """
  leaks = []
  shapes: dict[ModelFile, _Shape | None] = {}
  for q, g in sorted(
    {*_pair_files(queries, gallery), *_pair_sizes(queries, gallery)}
  ):
    query, model = queries.files[q], gallery.files[g]
    if own and query.name == model.name:
      continue
    if queries.hashes[q] and queries.hashes[q] == gallery.hashes[g]:
      leaks.append(Leak(query.name, model.name, "file"))
    elif _is_equal(_look(query, shapes), _look(model, shapes)):
      leaks.append(Leak(query.name, model.name, "geometry"))
  return leaks


def _pair_files(
  queries: ModelSet, gallery: ModelSet
) -> Iterator[tuple[int, int]]:
  """Indices of equal files."""
  places = collections.defaultdict(list)
  for g, digest in enumerate(gallery.hashes):
    places[digest].append(g)
  for q, digest in enumerate(queries.hashes):
    if digest:
      yield from ((q, g) for g in places[digest])


def _pair_sizes(
  queries: ModelSet, gallery: ModelSet
) -> Iterator[tuple[int, int]]:
  """Indices of models with equal proportions, as equal meshes have."""
  if queries.proportions is None or gallery.proportions is None:
    return
  sides = (queries.proportions, gallery.proportions)
  known = [np.flatnonzero(np.isfinite(x).all(axis=1)) for x in sides]
  trees = [
    scipy.spatial.KDTree(x[rows]) for x, rows in zip(sides, known, strict=True)
  ]
  near = trees[0].query_ball_tree(trees[1], r=_TOLERANCE)
  for q, several in zip(known[0], near, strict=True):
    yield from ((int(q), int(g)) for g in known[1][several])


def _look(
  file: ModelFile, seen: dict[ModelFile, _Shape | None]
) -> _Shape | None:
  """The shape of a file; None if it cannot be read."""
  if file not in seen:
    try:
      mesh = load_mesh(file.path, face_budget=None)
    except Dr3dError:
      seen[file] = None
    else:
      radii = np.linalg.norm(mesh.vertices, axis=1)
      seen[file] = _Shape(mesh.face_count, np.sort(radii))
  return seen[file]


def _is_equal(one: _Shape | None, two: _Shape | None) -> bool:
  return (
    one is not None
    and two is not None
    and one.face_count == two.face_count
    and len(one.radii) == len(two.radii)
    and bool(np.abs(one.radii - two.radii).max() < _TOLERANCE)
  )
