import dataclasses

import jax
import numpy as np
import pytest
from support.shapes import TINY, make_boxes, make_model

from dr3d.error import Dr3dError
from dr3d.runtime.device import share_devices
from dr3d.shape.autoencoder import (
  Batches,
  State,
  compute_loss,
  find_stage,
  init_params,
  make_step,
  train_autoencoder,
)
from dr3d.shape.config import published_config
from dr3d.shape.model import ShapeModel, interpolate
from dr3d.shape.voxel import shrink_voxels
from dr3d.training.loop import LoopConfig, run_steps


def test_stages_follow_the_shares_of_the_steps():
  config = dataclasses.replace(TINY, stages=((16, 0.25), (32, 0.25), (64, 0.5)))
  found = [find_stage(config, step) for step in range(240)]
  assert found == [16] * 60 + [32] * 60 + [64] * 120


def test_batch_depends_on_its_number_only_and_holds_the_shapes_values():
  boxes = make_boxes()
  one, two = Batches(boxes, TINY), Batches(boxes, TINY)
  one(0)
  batch, again = one(130), two(130)  # in the second stage, points of 32³
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


def test_trained_model_decodes_its_shapes_and_survives_the_disk(tmp_path):
  boxes, model = make_boxes(), make_model()
  assert model.codes.shape == (2, 8)
  model.save(tmp_path / "model")
  again = ShapeModel.load(tmp_path / "model")
  assert again.config == model.config
  for code, box in zip(again.codes, boxes, strict=True):
    true = shrink_voxels(box, resolution=32)
    decoded = again.decode_voxels(code, resolution=32)
    assert (decoded & true).sum() / (decoded | true).sum() > 0.6
  mesh = again.decode(again.codes[0], resolution=32)
  sides = np.sort(mesh.extent)
  assert sides[0] < 0.5 * sides[1]  # the flat box


def test_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
  boxes = make_boxes()
  config = dataclasses.replace(TINY, loop=LoopConfig(12, checkpoint_every=6))
  whole = train_autoencoder(
    boxes, config=config, workdir=tmp_path / "whole", progress=False
  )

  def stop(step):
    if step == 8:
      raise KeyboardInterrupt
    return Batches(boxes, config)(step)

  optimizer, step = make_step(config)
  params = init_params(config)
  with pytest.raises(KeyboardInterrupt):
    run_steps(
      State(params, optimizer.init(params)),
      step,
      stop,
      config=config.loop,
      workdir=tmp_path / "killed",
      devices=share_devices(1),
      progress=False,
    )
  resumed = train_autoencoder(
    boxes, config=config, workdir=tmp_path / "killed", progress=False
  )
  jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def test_damaged_or_missing_model_raises(tmp_path):
  with pytest.raises(Dr3dError, match="holds no shape model"):
    ShapeModel.load(tmp_path / "none")
  make_model().save(tmp_path / "model")
  path = tmp_path / "model" / "weights.msgpack"
  path.write_bytes(path.read_bytes()[:-1] + b"x")
  with pytest.raises(Dr3dError, match="damaged"):
    ShapeModel.load(tmp_path / "model")


def test_codes_between_two_are_at_a_quarter_a_half_and_three_quarters():
  first, second = np.float32([1, 0]), np.float32([0, 1])
  np.testing.assert_allclose(
    interpolate(first, second), [[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]]
  )


def test_published_settings_are_a_row_of_the_same_config():
  config = published_config()
  assert (config.octaves, config.loss, config.scale) == (0, "mse", 0.5)
  assert config.decoder_widths == (2048, 1024, 512, 256, 128)
