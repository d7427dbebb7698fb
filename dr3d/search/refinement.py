"""The first matches, put in the order of how well they fit the query.

Vectors tell which models look like the query. Which of several near-alike
models it is, is told by laying it upon each by points of the surfaces; the few
that fit best are drawn beside it, aligned along the gradient of the pictures,
and put in the order of the product of both: of the distance of the surfaces
and of the difference of the pictures.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dr3d.camera.view import rotation_matrix
from dr3d.mesh import Mesh
from dr3d.registration.image import AlignConfig, align
from dr3d.registration.surface import find_pose, make_cloud
from dr3d.search.match import Match

DRAWN = 3  # matches that are drawn
_EXACT = 1e-6  # difference or distance that is as good as none


def refine_matches(
  mesh: Mesh,
  matches: Sequence[Match],
  meshes: Mapping[str, Mesh],
  *,
  pipeline: Any = None,
  same_size: bool = False,
  drawn: int = DRAWN,
  config: AlignConfig | None = None,
) -> tuple[Match, ...]:
  """Orders matches by how well the query fits upon them.

  Args:
    mesh: the query.
    matches: some matches.
    meshes: of models by name; matches without one follow the others.
    pipeline: whose views the matches' views are; where given, the pair of
      views that matched is one of the poses tried.
    same_size: whether the true size counts; `scale` of the matches is known
      then. Otherwise both are compared at one size.
    drawn: how many of those whose surfaces are nearest are drawn.
    config: how these are aligned.

  Returns:
    The matches ranked from 1 on, with `distance` of the surfaces, where it was
    not known yet, and, of those that were drawn, `difference` of the pictures.
  """
  known = [match for match in matches if match.model in meshes]
  rest = [match for match in matches if match.model not in meshes]
  laid = []
  for match in known:
    other = meshes[match.model]
    scale = 1 / (match.scale or 1.0) if same_size else 1.0
    sized = dataclasses.replace(mesh, vertices=mesh.vertices * scale)
    turns = _turns(pipeline, match, mesh, other)
    pose = find_pose(make_cloud(sized), make_cloud(other), turns=turns)
    distance = round(pose.fit.mean, 6)
    if match.distance is None:
      match = dataclasses.replace(match, distance=distance, mirrored=False)
    laid.append((distance, match, pose, scale))
  laid.sort(key=lambda entry: (entry[0], entry[1].rank))
  first = laid[:drawn]
  if first:
    first += first[-1:] * (drawn - len(first))  # always one program
    found = align(
      mesh,
      [meshes[match.model] for _, match, _, _ in first],
      [pose for *_, pose, _ in first],
      scales=[scale for *_, scale in first] if same_size else None,
      config=config,
    )
    seen = [
      (
        distance,
        dataclasses.replace(match, difference=round(float(difference), 6)),
      )
      for (distance, match, _, _), difference in zip(
        laid[:drawn], found.difference, strict=False
      )
    ]
    seen.sort(key=lambda entry: (_rate(*entry), entry[1].rank))
  else:
    seen = []
  ordered = [
    *(match for _, match in seen),
    *(match for _, match, _, _ in laid[drawn:]),
    *rest,
  ]
  return tuple(
    dataclasses.replace(match, rank=rank)
    for rank, match in enumerate(ordered, start=1)
  )


def _rate(distance: float, match: Match) -> float:
  assert match.difference is not None
  return max(distance, _EXACT) * max(match.difference, _EXACT)


def _turns(
  pipeline: Any, match: Match, mesh: Mesh, other: Mesh
) -> list[np.ndarray]:
  """The turn that brings the query's view to that of the model it matched.

  View i of the query shows `R_i p`, view j of the model `R_j p'`, so that
  `p' = R_jᵀ R_i p` where the two show the same, in the pose that is drawn.
  """
  views = getattr(pipeline, "views", None)
  if views is None or not match.query_view:
    return []
  axes = np.asarray(rotation_matrix(views.quaternion), np.float64)
  turn = axes[match.view - 1].T @ axes[match.query_view - 1]
  if pipeline.config.pose == "file":
    turn = other.frame @ turn @ mesh.frame.T
  return [turn]
