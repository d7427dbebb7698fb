"""The first matches, put in the order of what the renderer shows of them.

Vectors tell which models look like the query. Which of several near-alike
models it is, is told by laying it upon each, first by points of the surfaces,
then along the gradient of pictures, and comparing what is seen.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dr3d.alignment import AlignConfig, align
from dr3d.mesh import Mesh
from dr3d.mesh.comparison import find_pose, make_cloud
from dr3d.search.query import Match
from dr3d.view import rotation_matrix


def refine_matches(
  mesh: Mesh,
  matches: Sequence[Match],
  meshes: Mapping[str, Mesh],
  *,
  pipeline: Any = None,
  same_size: bool = False,
  room: int = 0,
  config: AlignConfig | None = None,
) -> tuple[Match, ...]:
  """Orders matches by the difference of aligned pictures, the least first.

  Args:
    mesh: the query.
    matches: some matches.
    meshes: of models by name; matches without one follow the others.
    pipeline: whose views the matches' views are; where given, the pair of
      views that matched is one of the poses tried.
    same_size: whether the true size counts; `scale` of the matches is known
      then. Otherwise the size is fitted.
    room: matches that there is room for, so that fewer of them do not compile
      a program of their own.
    config: how they are aligned.

  Returns:
    The matches with `difference`, ranked from 1 on.
  """
  known = [match for match in matches if match.model in meshes]
  if not known:
    return tuple(matches)
  others = [meshes[match.model] for match in known]
  cloud = make_cloud(mesh)
  poses = [
    find_pose(
      cloud, make_cloud(other), turns=_turns(pipeline, match, mesh, other)
    )
    for match, other in zip(known, others, strict=True)
  ]
  scales = [1 / (match.scale or 1.0) for match in known]
  missing = max(0, room - len(known))
  found = align(
    mesh,
    others + others[-1:] * missing,
    poses + poses[-1:] * missing,
    scales=scales + scales[-1:] * missing if same_size else None,
    config=config,
  )
  ranked = sorted(
    (
      dataclasses.replace(match, difference=round(float(difference), 6))
      for match, difference in zip(known, found.difference, strict=False)
    ),
    key=lambda match: (match.difference, match.rank),
  )
  rest = [match for match in matches if match.model not in meshes]
  return tuple(
    dataclasses.replace(match, rank=rank)
    for rank, match in enumerate(ranked + rest, start=1)
  )


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
