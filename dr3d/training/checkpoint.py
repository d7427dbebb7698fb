"""Checkpoints of a run's state, whole after a kill at any moment."""

import pathlib
from typing import TypeVar

import orbax.checkpoint as ocp

from dr3d.error import TrainingError

State = TypeVar("State")

# Two, so that a checkpoint remains if the newest is damaged.
CHECKPOINTS_KEPT = 2


def open_checkpoints(
  directory: pathlib.Path, *, every: int
) -> ocp.CheckpointManager:
  """Opens the checkpoints of a run.

  Orbax writes a checkpoint beside its final name and renames it at the end.
  Leaving the `with` block waits for a checkpoint that is being written.

  Args:
    directory: absolute path; made if missing.
    every: steps from one checkpoint to the next.
  """
  return ocp.CheckpointManager(
    directory,
    options=ocp.CheckpointManagerOptions(
      max_to_keep=CHECKPOINTS_KEPT, save_interval_steps=every
    ),
  )


def restore_latest(
  checkpoints: ocp.CheckpointManager, state: State
) -> tuple[State, int]:
  """Reads the latest checkpoint.

  Args:
    checkpoints: from `open_checkpoints`.
    state: the initial state, a pytree of arrays. It fixes the structure,
      shapes and types of what is read.

  Returns:
    The state, and the steps made so far: the given state and 0 if there is no
    checkpoint.

  Raises:
    TrainingError: the checkpoint is damaged or of another structure.
  """
  latest = checkpoints.latest_step()
  if latest is None:
    return state, 0
  try:
    restored = checkpoints.restore(latest, args=ocp.args.StandardRestore(state))
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise TrainingError(
      f"{checkpoints.directory / str(latest)} cannot be restored:"
      f" {str(error).splitlines()[0]}. Delete this directory to resume from"
      " the checkpoint before it."
    ) from error
  return restored, latest


def save_state(
  checkpoints: ocp.CheckpointManager, state: State, step: int, *, last: bool
) -> None:
  """Saves the state if a checkpoint is due.

  Args:
    checkpoints: from `open_checkpoints`.
    state: after the step.
    step: steps made so far.
    last: whether the run ends with this step, which is always saved.
  """
  checkpoints.save(step, args=ocp.args.StandardSave(state), force=last)
