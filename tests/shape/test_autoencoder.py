import dataclasses

import numpy as np
import pytest

from dr3d.shape.autoencoder import (
  Batches,
  compute_loss,
  find_stage,
  train_autoencoder,
)
from dr3d.shape.config import AutoencoderConfig, published_config
from dr3d.shape.model import ShapeConfig, ShapeModel
from dr3d.shape.voxel import grid_points
from dr3d.training.log import read_rows
from dr3d.training.loop import LoopConfig

SMALL = AutoencoderConfig(
  code_size=8,
  encoder_widths=(4, 8),
  decoder_widths=(32, 16),
  octaves=2,
  stages=((16, 0.5), (32, 0.5)),
  shapes=2,
  points=256,
  rate=5e-3,
  loop=LoopConfig(steps=60, checkpoint_every=30),
)


def make_boxes():
  """A flat and a tall box of 64³ voxels."""
  points = np.abs(grid_points(64)).reshape(64, 64, 64, 3)
  sides = np.float32([[0.8, 0.7, 0.2], [0.3, 0.3, 0.8]])
  return np.stack([(points < side).all(-1) for side in sides])


def test_stages_follow_the_shares_of_the_steps():
  config = dataclasses.replace(
    SMALL, stages=((16, 0.25), (32, 0.25), (64, 0.5))
  )
  found = [find_stage(config, step) for step in range(60)]
  assert found == [16] * 15 + [32] * 15 + [64] * 30


def test_batch_depends_on_its_number_only_and_holds_the_shapes_values():
  boxes = make_boxes()
  one, two = Batches(boxes, SMALL), Batches(boxes, SMALL)
  one(0)
  batch, again = one(31), two(31)  # in the second stage, points of 32³
  for name in ("voxels", "points", "inside"):
    np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))
  assert batch.voxels.shape == (2, 16, 16, 16)
  index = np.rint((batch.points + 1) * 16 - 0.5).astype(int)
  coarse = boxes.reshape(2, 32, 2, 32, 2, 32, 2).any((2, 4, 6))
  order = np.argsort(batch.voxels.reshape(2, -1).sum(1))
  true = np.argsort(boxes.reshape(2, -1).sum(1))
  for i, j in zip(order, true, strict=True):
    np.testing.assert_array_equal(batch.inside[i], coarse[(j, *index[i].T)])


def test_losses_equal_their_formulas():
  logits, inside = np.float32([-2, 0.5, 3]), np.float32([0, 1, 1])
  p = 1 / (1 + np.exp(-logits))
  np.testing.assert_allclose(
    compute_loss(logits, inside, kind="bce"),
    -inside * np.log(p) - (1 - inside) * np.log(1 - p),
    rtol=1e-5,
  )
  np.testing.assert_allclose(
    compute_loss(logits, inside, kind="mse"), (p - inside) ** 2, rtol=1e-5
  )
  with pytest.raises(ValueError, match="not 'l1'"):
    compute_loss(logits, inside, kind="l1")


def test_training_learns_two_boxes_and_the_model_survives_the_disk(tmp_path):
  boxes = make_boxes()
  params = train_autoencoder(
    boxes, config=SMALL, workdir=tmp_path / "run", progress=False
  )
  rows = list(read_rows(tmp_path / "run" / "log.jsonl"))
  assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
  model = ShapeModel(ShapeConfig(SMALL), params, np.zeros((0, 8)))
  codes = model.encode_voxels(boxes)
  assert codes.shape == (2, 8)
  model.save(tmp_path / "model")
  again = ShapeModel.load(tmp_path / "model")
  assert again.config == model.config
  for i, box in enumerate(boxes):
    true = box[1::2, 1::2, 1::2]
    decoded = again.decode_voxels(codes[i], resolution=32)
    iou = (decoded & true).sum() / (decoded | true).sum()
    assert iou > 0.6
  mesh = again.decode(codes[0], resolution=32)
  assert mesh.face_count > 12


def test_published_settings_are_a_row_of_the_same_config():
  config = published_config()
  assert (config.octaves, config.loss, config.scale) == (0, "mse", 0.5)
  assert config.decoder_widths == (2048, 1024, 512, 256, 128)
