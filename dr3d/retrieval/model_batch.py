"""Batches of meshes as renderers, of few shapes, so that little is compiled."""

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from dr3d.mesh import Mesh, bucket_size
from dr3d.render.renderer import Renderer
from dr3d.render.triangle import TriangleRenderer, stack_meshes
from dr3d.retrieval.pipeline_config import PipelineConfig

# Models that one call embeds. Every batch is padded to it, so that a bucket of
# face counts compiles once; a larger one wastes more on the last batch.
BATCH = 8


def call_key(renderer: Renderer[Any]) -> Hashable:
  """What a compiled call depends on: options and shapes."""
  leaves, structure = jax.tree.flatten(renderer)
  return structure, tuple(np.shape(leaf) for leaf in leaves)


def make_renderer(
  meshes: Sequence[Mesh], config: PipelineConfig, size: int | None = None
) -> TriangleRenderer:
  """Meshes as the pipeline draws them; F is the bucket of the largest."""
  drawing = config.render
  if size is not None:
    drawing = dataclasses.replace(drawing, size=size)
  triangles = stack_meshes(
    meshes,
    face_count=bucket_size(max(len(mesh.faces) for mesh in meshes)),
    pose=config.pose,
    coverage=drawing.coverage,
    appearance=config.appearance,
  )
  width = config.width
  if width is not None:
    width = round(width * drawing.size / config.render.size)
  return TriangleRenderer(triangles, drawing, width=width)


def make_batches(
  meshes: Sequence[Mesh], config: PipelineConfig
) -> Iterator[tuple[list[int], TriangleRenderer]]:
  """Yields indices and models, the meshes of one bucket together.

  Every batch has the same number of models, the last one padded with empty
  ones, so that each bucket is compiled once.
  """
  buckets: dict[int, list[int]] = {}
  for i, mesh in enumerate(meshes):
    buckets.setdefault(bucket_size(len(mesh.faces)), []).append(i)
  count = 1 if len(meshes) == 1 else BATCH
  for _, members in sorted(buckets.items()):
    for start in range(0, len(members), count):
      chosen = members[start : start + count]
      renderer = make_renderer([meshes[i] for i in chosen], config)
      yield chosen, pad_models(renderer, count - len(chosen))


def pad_models(renderer: TriangleRenderer, missing: int) -> TriangleRenderer:
  """Appends empty models."""
  return jax.tree.map(lambda leaf: pad_rows(leaf, missing), renderer)


def pad_rows(array: np.ndarray, missing: int) -> np.ndarray:
  """Appends zeros along the first axis."""
  return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
