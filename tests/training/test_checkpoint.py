"""Checkpoints: what is kept, and what a damaged one says."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.error import TrainingError
from dr3d.training.checkpoint import (
  open_checkpoints,
  restore_latest,
  save_state,
)


def make_state(value):
  return {"weights": jnp.full(3, value), "step": jnp.int32(value)}


def save(directory, steps, *, every=2, last=None):
  with open_checkpoints(directory, every=every) as checkpoints:
    for step in steps:
      save_state(checkpoints, make_state(step), step, last=step == last)


def restore(directory, state=None):
  with open_checkpoints(directory, every=2) as checkpoints:
    return restore_latest(checkpoints, state or make_state(0))


def names(directory):
  return sorted(path.name for path in directory.iterdir())


def test_directory_without_checkpoint_gives_initial_state(tmp_path):
  state = make_state(7)
  restored, step = restore(tmp_path, state)
  assert restored is state
  assert step == 0


def test_latest_checkpoint_is_restored(tmp_path):
  save(tmp_path, range(1, 6))
  restored, step = restore(tmp_path)
  assert step == 4
  np.testing.assert_array_equal(restored["weights"], [4, 4, 4])


def test_last_step_is_saved_between_intervals(tmp_path):
  save(tmp_path, range(1, 6), last=5)
  assert restore(tmp_path)[1] == 5


def test_two_newest_checkpoints_are_kept(tmp_path):
  save(tmp_path, range(1, 9))
  assert names(tmp_path) == ["6", "8"]


def test_damaged_checkpoint_raises_and_earlier_one_resumes(tmp_path):
  save(tmp_path, range(1, 5))
  for path in (tmp_path / "4").rglob("*"):
    if path.is_file():
      path.write_bytes(b"")
  with pytest.raises(TrainingError, match=r"4 cannot be restored.* Delete"):
    restore(tmp_path)
  shutil.rmtree(tmp_path / "4")
  assert restore(tmp_path)[1] == 2


def test_checkpoint_of_other_structure_raises(tmp_path):
  save(tmp_path, range(1, 5))
  with pytest.raises(TrainingError, match="4 cannot be restored"):
    restore(tmp_path, {"other": jnp.zeros(3)})
