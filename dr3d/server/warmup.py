"""Loads and compiles what queries need, before the first one arrives."""

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

_SAMPLE_MODELS = 48  # that the sizes of buffers are measured with
_TIMEOUT = 3600.0  # seconds of a step; compilation may be slow


def warm_up(state: State, batcher: Batcher) -> None:
  """Loads the pipeline, compiles for meshes of all sizes, times batches.

  Each step is a call of its own, so that a service can stop between them.

  Args:
    state: of the database.
    batcher: the thread that will do this work for queries.

  Raises:
    Dr3dError: the pipeline cannot be loaded.
  """

  def call(function: Callable[..., Any], *values: Any, **options: Any) -> Any:
    step = functools.partial(function, *values, **options)
    return batcher.call(step, timeout=_TIMEOUT)

  pipeline = call(getattr, state.reader, "pipeline")
  white = call(preview.with_white_light, pipeline)
  spheres = make_spheres(pipeline.face_budget)
  meshes = [*_sample(state), *spheres]
  call(pipeline.reserve, meshes)
  call(white.reserve, meshes, size=2 * preview.SIZE)
  for sphere in spheres:
    call(pipeline.embed, [sphere])
    call(pipeline.embed, [sphere] * BATCH)
    call(preview.render_views, white, sphere)
  call(batcher.measure, pipeline, [spheres[-1]] * BATCH)


def _sample(state: State) -> list[Mesh]:
  """Meshes of some models, evenly spread over the sorted names."""
  names = [model.name for model in state.models.values() if model.face_count]
  step = max(1, len(names) // _SAMPLE_MODELS)
  shapes = state.reader.load_shapes(names[::step])
  return [unpack_mesh(shape.mesh) for shape in shapes.values()]


def make_spheres(face_budget: int) -> list[Mesh]:
  """Makes spheres, which fill an image, one for each size that is compiled.

  Args:
    face_budget: faces of a mesh at most.

  Returns:
    For each bucket up to the budget, a mesh with about as many faces.
  """
  spheres = []
  for bucket in BUCKETS:
    count = min(bucket, face_budget)
    spheres.append(_make_sphere(count // 2 + 2))  # Euler: F = 2 V - 4
    if bucket >= face_budget:
      break
  return spheres


def _make_sphere(count: int) -> Mesh:
  """The convex hull of points on a golden-angle spiral over the sphere."""
  step = (np.arange(count) + 0.5) / count
  height, angle = 1 - 2 * step, np.pi * (1 + 5**0.5) * np.arange(count)
  ring = np.sqrt(1 - height**2)
  points = np.stack(
    [ring * np.cos(angle), ring * np.sin(angle), height], axis=1
  )
  return make_mesh(points, scipy.spatial.ConvexHull(points).simplices)
