"""What queries need is loaded and compiled before the first one comes."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.spatial

from dr3d.mesh import BUCKETS, Mesh, make_mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.retrieval.pipeline import BATCH
from dr3d.server import preview
from dr3d.server.batch import Batcher
from dr3d.server.state import State

_SAMPLE = 48  # models by which room is measured
_PATIENCE = 3600.0  # seconds


def warm_up(state: State, batcher: Batcher) -> None:
  """Loads the pipeline, compiles for meshes of all sizes, and measures.

  Step by step, so that a service that is told to end need not wait for all.

  Args:
    state: of the database.
    batcher: the thread that will do the same work for queries.

  Raises:
    Dr3dError: the pipeline cannot be loaded.
  """

  def call(function: Callable[..., Any], *values: Any, **options: Any) -> Any:
    step = functools.partial(function, *values, **options)
    return batcher.call(step, patience=_PATIENCE)

  pipeline = call(getattr, state.archive, "pipeline")
  white = call(preview.with_white_light, pipeline)
  balls = make_balls(pipeline.face_budget)
  meshes = [*_sample(state), *balls]
  call(pipeline.reserve, meshes)
  call(white.reserve, meshes, size=2 * preview.SIZE)
  for ball in balls:
    call(pipeline.embed, [ball])
    call(pipeline.embed, [ball] * BATCH)
    call(preview.draw_views, white, ball)
  call(batcher.measure, pipeline, [balls[-1]] * BATCH)


def _sample(state: State) -> list[Mesh]:
  """Some models of the database, evenly spread over its names."""
  names = [model.name for model in state.models.values() if model.face_count]
  step = max(1, len(names) // _SAMPLE)
  shapes = state.archive.load_shapes(names[::step])
  return [unpack_mesh(shape.mesh) for shape in shapes.values()]


def make_balls(face_budget: int) -> list[Mesh]:
  """Balls that fill a picture, one for each size that is compiled.

  Args:
    face_budget: faces that a mesh has at most.

  Returns:
    For each bucket up to the budget a mesh with as many faces, or nearly.
  """
  balls = []
  for bucket in BUCKETS:
    count = min(bucket, face_budget)
    balls.append(_make_ball(count // 2 + 2))  # Euler: F = 2 V - 4
    if bucket >= face_budget:
      break
  return balls


def _make_ball(count: int) -> Mesh:
  """The hull of points on a spiral over the sphere."""
  place = (np.arange(count) + 0.5) / count
  height, turn = 1 - 2 * place, np.pi * (1 + 5**0.5) * np.arange(count)
  ring = np.sqrt(1 - height**2)
  points = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
  return make_mesh(points, scipy.spatial.ConvexHull(points).simplices)
