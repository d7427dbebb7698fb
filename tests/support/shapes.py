"""A tiny shape model that was trained for seconds, for tests."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from dr3d.shape.autoencoder import train_autoencoder
from dr3d.shape.config import AutoencoderConfig
from dr3d.shape.model import ShapeConfig, ShapeModel
from dr3d.shape.voxel import grid_points
from dr3d.training.loop import LoopConfig

TINY = AutoencoderConfig(
  code_size=8,
  encoder_widths=(4, 8),
  decoder_widths=(32, 16),
  octaves=2,
  grid_widths=(8, 4),
  stages=((16, 0.5), (32, 0.5)),
  shapes=2,
  points=256,
  rate=1e-2,
  loop=LoopConfig(steps=240, checkpoint_every=240),
)


def make_boxes() -> np.ndarray:
  """Voxels of a flat and a tall box, bool [2, 64, 64, 64]."""
  points = np.abs(grid_points(64)).reshape(64, 64, 64, 3)
  sides = np.float32([[0.8, 0.7, 0.2], [0.3, 0.3, 0.8]])
  return np.stack([(points < side).all(-1) for side in sides])


@functools.cache
def make_model() -> ShapeModel:
  """A model that knows the two boxes."""
  boxes = make_boxes()
  with tempfile.TemporaryDirectory() as folder:
    params = train_autoencoder(
      boxes, config=TINY, workdir=Path(folder), progress=False
    )
  model = ShapeModel(ShapeConfig(TINY), params, np.zeros((0, 8), np.float32))
  codes = model.encode_voxels(boxes)
  return ShapeModel(model.config, params, codes)
