"""Refinement: the first matches, ordered by how well they fit the query.

Vectors tell which models look like the query. Registration tells which of
several similar models it is. Each match is registered by surface points. The
few that fit best are also aligned by rendering. They are ordered by the product
of the surfaces' distance and the images' difference.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.camera.view import rotation_matrix
from dr3d.mesh import Mesh
from dr3d.registration.image import AlignConfig, align
from dr3d.registration.surface import Pose, find_pose, make_cloud
from dr3d.search.answer import Match
from dr3d.search.size import SizeMode, compare_sizes

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline

RENDERED = 3  # matches that are aligned by rendering: .5 s of CPU time each
_EXACT = 1e-6  # difference or distance below which a fit is perfect
# As much farther a model of the query's size may be than one of another size:
# scans of one part differ by that much in their distance.
_OTHER_SIZE = 1.5


@dataclasses.dataclass(frozen=True, eq=False)
class _Registered:
  """A match whose model was registered to the query by surface points."""

  match: Match
  distance: float
  pose: Pose
  scale: float


def refine_matches(
  mesh: Mesh,
  matches: Sequence[Match],
  meshes: Mapping[str, Mesh],
  *,
  pipeline: "Pipeline | None" = None,
  size: SizeMode = "ignore",
  rendered: int = RENDERED,
  config: AlignConfig | None = None,
) -> tuple[Match, ...]:
  """Orders matches by how well the query fits them.

  Args:
    mesh: the query.
    matches: some matches.
    meshes: of models by name; matches without one follow the others.
    pipeline: whose views the matches name. If given, the pair of views that
      matched is one of the poses tried.
    size: how the true size counts; `scale` of the matches is known then.
      "match" compares both at their true sizes. Otherwise both are compared at
      one size, and "prefer" counts another size as a worse fit.
    rendered: how many of the nearest surfaces are aligned by rendering.
    config: of that alignment.

  Returns:
    The matches ranked from 1 on, with `distance` of the surfaces, if it was not
    known yet, and with `difference` of the images for those aligned by
    rendering.
  """
  same_size = size == "match"
  known = [
    _register(mesh, match, meshes[match.model], pipeline, same_size)
    for match in matches
    if match.model in meshes
  ]
  penalties = {
    match.model: _punish(match.scale) if size == "prefer" else 1.0
    for match in matches
  }

  def order(each: _Registered) -> tuple[float, int]:
    penalty = penalties[each.match.model]
    return max(each.distance, _EXACT) * penalty, each.match.rank

  known.sort(key=order)
  first, others = known[:rendered], known[rendered:]
  ordered = [
    *_align(
      mesh, first, meshes, rendered, same_size, config, penalties=penalties
    ),
    *(each.match for each in others),
    *(match for match in matches if match.model not in meshes),
  ]
  return tuple(
    dataclasses.replace(match, rank=rank)
    for rank, match in enumerate(ordered, start=1)
  )


def _register(
  mesh: Mesh,
  match: Match,
  other: Mesh,
  pipeline: "Pipeline | None",
  same_size: bool,
) -> _Registered:
  """Registers the query to the model of a match by surface points."""
  scale = 1 / (match.scale or 1.0) if same_size else 1.0
  sized = dataclasses.replace(mesh, vertices=mesh.vertices * scale)
  turns = _turns(pipeline, match, mesh, other)
  pose = find_pose(make_cloud(sized), make_cloud(other), turns=turns)
  distance = round(pose.fit.mean, 6)
  if match.distance is None:
    match = dataclasses.replace(match, distance=distance, mirrored=False)
  return _Registered(match, distance, pose, scale)


def _align(
  mesh: Mesh,
  first: list[_Registered],
  meshes: Mapping[str, Mesh],
  count: int,
  same_size: bool,
  config: AlignConfig | None,
  *,
  penalties: Mapping[str, float],
) -> list[Match]:
  """Aligns the nearest by rendering and orders them by both measures."""
  if not first:
    return []
  # Padded to one number, so that one program is compiled.
  padded = first + first[-1:] * (count - len(first))
  found = align(
    mesh,
    [meshes[each.match.model] for each in padded],
    [each.pose for each in padded],
    scales=[each.scale for each in padded] if same_size else None,
    config=config,
  )
  rated = []
  for each, difference in zip(first, found.difference, strict=False):
    rounded = round(float(difference), 6)
    score = max(each.distance, _EXACT) * max(rounded, _EXACT)
    score *= penalties[each.match.model] ** 2  # both measures are worse
    match = dataclasses.replace(each.match, difference=rounded)
    rated.append((score, match.rank, match))
  return [match for *_, match in sorted(rated, key=lambda entry: entry[:2])]


def _punish(scale: float | None) -> float:
  """By how much the fit of another size counts as worse, as a factor."""
  nearness = 0.0 if scale is None else float(compare_sizes(scale, 1.0))
  return _OTHER_SIZE ** (1 - nearness)


def _turns(
  pipeline: "Pipeline | None", match: Match, mesh: Mesh, other: Mesh
) -> list[np.ndarray]:
  """The rotation that takes the query's view to the matched view of the model.

  View i of the query shows `R_i p`, view j of the model `R_j p'`. If both show
  the same, `p' = R_jᵀ R_i p`, in the pose that is rendered.
  """
  if pipeline is None or not match.query_view:
    return []
  axes = np.asarray(rotation_matrix(pipeline.views.quaternion), np.float64)
  turn = axes[match.view - 1].T @ axes[match.query_view - 1]
  if pipeline.config.pose == "file":
    turn = other.frame @ turn @ mesh.frame.T
  return [turn]
