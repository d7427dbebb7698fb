"""Photographs made of models, by which answers to photographs are calibrated.

`S` models, `P` photographs of each, `D` feature size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dr3d.camera.view import look_from, make_views
from dr3d.image.cutout import CutOut
from dr3d.image.mask import Mask
from dr3d.mesh import Mesh
from dr3d.render.budget import Budget
from dr3d.retrieval.model_batch import BATCH, make_batches
from dr3d.retrieval.photo.drawing import draw_layers
from dr3d.retrieval.photo.picture import make_photograph
from dr3d.retrieval.photo.query import make_query
from dr3d.retrieval.pipeline import Pipeline
from dr3d.search.similarity import TURNS


def embed_probes(
  meshes: Sequence[Mesh], encoder: Pipeline, *, count: int = 1, seed: int = 0
) -> np.ndarray:
  """Embeds photographs of each model, from anywhere, in any light.

  Args:
    meshes: S models.
    encoder: the pipeline for photographs.
    count: P, at most `BATCH`.
    seed: of what is random.

  Returns:
    float32 `[S, P, TURNS, D]` unit vectors.

  Raises:
    ValueError: P is not 1 to `BATCH`.
  """
  if not 1 <= count <= BATCH:
    raise ValueError(f"count must be 1 to {BATCH}, got {count}.")
  size = encoder.config.render.size
  result = np.zeros(
    (len(meshes), count, TURNS, encoder.config.embed.feature_size), np.float32
  )
  budgets: dict[Any, Budget[Any]] = {}
  for number, (chosen, renderer) in enumerate(
    make_batches(meshes, encoder.config)
  ):
    rng = np.random.default_rng((seed, number))
    # As many views for a smaller batch, so that few programs are compiled.
    views = make_views(look_from(rng.normal(size=(BATCH, 3))))
    normal, depth, alpha = draw_layers(renderer, views, budgets)
    for i, model in enumerate(chosen):
      for k in range(count):
        n = (i + k) % BATCH
        both = make_photograph(normal[i, n], depth[i, n], alpha[i, n], rng)
        cutout = _to_cutout(both, turn=int(rng.integers(360)))
        query = make_query([cutout], encoder, size=size)
        result[model, k] = query.vectors
  return result


def _to_cutout(both: np.ndarray, *, turn: int) -> CutOut:
  """A photograph that was made, held at any angle."""
  import cv2

  size = len(both)
  middle = (size - 1) / 2, (size - 1) / 2
  matrix = cv2.getRotationMatrix2D(middle, turn, 0.7)
  grey, mask = np.moveaxis(cv2.warpAffine(both, matrix, (size, size)), -1, 0)
  solid = mask > 0.5
  plain = np.clip(grey / np.maximum(mask, 1e-3), 0, 1)
  levels = np.rint(255 * plain).astype(np.uint8)
  opaque = np.full_like(levels, 255)
  picture = np.stack([levels, levels, levels, opaque], axis=-1)
  return CutOut(picture, Mask(solid, "border"))
