"""Checkpoints: what is kept, and what a damaged one says."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dr3d.error import TrainingError
from dr3d.training.checkpoint import (
  hash_state,
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


def damage(directory, harm):
  """Changes every file of a checkpoint that holds values."""
  for path in directory.rglob("*"):
    if not path.is_file():
      continue
    content = bytearray(path.read_bytes())
    if harm == "truncate":
      path.write_bytes(content[: len(content) // 2])
    elif harm == "empty":
      path.write_bytes(b"")
    else:
      path.unlink()


@pytest.mark.parametrize("harm", ["truncate", "empty", "remove"])
def test_damaged_checkpoint_is_skipped_and_said(tmp_path, harm, capsys):
  directory = tmp_path / "checkpoints"
  save(directory, range(1, 5))
  damage(directory / "4", harm)
  restored, step = restore(directory)
  assert step == 2
  np.testing.assert_array_equal(restored["weights"], [2, 2, 2])
  err = capsys.readouterr().err
  assert "4 is damaged (" in err
  assert "the training resumes from step 2." in err
  save(directory, [3, 4])  # the step can be saved again
  assert restore(directory)[1] == 4


def test_checkpoint_with_other_values_is_skipped_and_said(tmp_path, capsys):
  directory = tmp_path / "checkpoints"
  save(directory, range(1, 5))
  # A whole checkpoint with other values, as a flipped bit would leave it.
  other = tmp_path / "other"
  with open_checkpoints(other, every=2) as checkpoints:
    save_state(checkpoints, make_state(7), 4, last=True)
  shutil.rmtree(directory / "4")
  shutil.copytree(other / "4", directory / "4")
  restored, step = restore(directory)
  assert step == 2
  np.testing.assert_array_equal(restored["weights"], [2, 2, 2])
  assert "not those that were saved" in capsys.readouterr().err


def test_checkpoint_without_digest_is_accepted(tmp_path):
  directory = tmp_path / "checkpoints"
  save(directory, range(1, 5))
  (tmp_path / "checkpoints.sha256.json").unlink()  # as of version 0.1
  assert restore(directory)[1] == 4


def test_digests_of_deleted_checkpoints_are_forgotten(tmp_path):
  directory = tmp_path / "checkpoints"
  save(directory, range(1, 21))
  digests = json.loads((tmp_path / "checkpoints.sha256.json").read_text())
  assert {"18", "20"} <= set(digests)
  assert len(digests) <= 4


def test_digest_tells_values_types_and_names_apart():
  digests = {
    hash_state(state)
    for state in (
      {"a": np.zeros(2)},
      {"b": np.zeros(2)},
      {"a": np.zeros(2, np.float32)},
      {"a": np.zeros((2, 1))},
      {"a": np.array([0, -0.0])},
      {"a": jax.random.key(0)},
      {"a": jax.random.key(1)},
    )
  }
  assert len(digests) == 7


def test_checkpoint_that_cannot_be_written_raises(tmp_path, monkeypatch):
  def fail(*args, **options):
    raise OSError(28, "No space left on device")

  directory = tmp_path / "checkpoints"
  save(directory, range(1, 3))
  monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
  with pytest.raises(TrainingError, match=r"cannot be written \(.*No space"):
    save(directory, [4])
  monkeypatch.undo()
  assert restore(directory)[1] == 2


def test_checkpoint_of_other_structure_raises(tmp_path):
  save(tmp_path, range(1, 5))
  with pytest.raises(TrainingError, match="4 cannot be restored"):
    restore(tmp_path, {"other": jnp.zeros(3)})
