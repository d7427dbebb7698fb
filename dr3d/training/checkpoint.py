"""Checkpoints of a run's state, whole after a kill at any moment.

    checkpoints/STEP/         the state after so many steps, as Orbax writes it
    checkpoints.sha256.json   digest of each state, by step

Orbax finds truncated files but not changed ones: a state with a flipped bit
would resume a training that looks right and is not. So the digest of what is
restored is compared with that of what was saved.
"""

import contextlib
import hashlib
import json
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
import tqdm

from dr3d.error import TrainingError
from dr3d.runtime import host
from dr3d.runtime.atomic import atomic_file

State = TypeVar("State")

# Two, so that a checkpoint remains if the newest is damaged.
CHECKPOINTS_KEPT = 2


@contextlib.contextmanager
def open_checkpoints(
  directory: pathlib.Path, *, every: int
) -> Iterator[ocp.CheckpointManager]:
  """Opens the checkpoints of a run.

  Orbax writes a checkpoint beside its final name and renames it at the end.
  Leaving the `with` block waits for a checkpoint that is being written.

  Args:
    directory: absolute path; made if missing.
    every: steps from one checkpoint to the next.

  Raises:
    TrainingError: the last checkpoint cannot be written.
  """
  checkpoints = ocp.CheckpointManager(
    directory,
    options=ocp.CheckpointManagerOptions(
      max_to_keep=CHECKPOINTS_KEPT, save_interval_steps=every
    ),
  )
  try:
    yield checkpoints
  except BaseException:
    with contextlib.suppress(Exception):  # the first error says more
      checkpoints.close()
    raise
  with _explain_write(directory):
    checkpoints.close()


def restore_latest(
  checkpoints: ocp.CheckpointManager, state: State
) -> tuple[State, int]:
  """Reads the latest checkpoint that is undamaged.

  Damaged ones after it are deleted, which is said on stderr.

  Args:
    checkpoints: from `open_checkpoints`.
    state: the initial state, a pytree of arrays. It fixes the structure,
      shapes and types of what is read.

  Returns:
    The state, and the steps made so far: the given state and 0 if there is no
    checkpoint.

  Raises:
    TrainingError: there are checkpoints, and all are damaged or of another
      structure.
  """
  directory = pathlib.Path(checkpoints.directory)
  steps = sorted(checkpoints.all_steps(), reverse=True)
  if not steps:
    return state, 0
  reasons = {}
  for step in steps:
    try:
      restored = _restore(checkpoints, state, step)
    except Exception as error:
      # Orbax and TensorStore raise many types for a damaged file.
      reasons[step] = (str(error).splitlines() or [type(error).__name__])[0]
      continue
    for damaged, reason in reasons.items():
      _delete(checkpoints, damaged)
      tqdm.tqdm.write(
        f"dr3d: {directory / str(damaged)} is damaged ({reason}) and was"
        f" deleted; the training resumes from step {step}.",
        file=sys.stderr,
      )
    return restored, step
  raise TrainingError(
    f"{directory / str(steps[0])} cannot be restored: {reasons[steps[0]]}. No"
    f" earlier checkpoint can be restored either: delete {directory} to start"
    " the training again."
  )


def save_state(
  checkpoints: ocp.CheckpointManager, state: State, step: int, *, last: bool
) -> None:
  """Saves the state if a checkpoint is due.

  Args:
    checkpoints: from `open_checkpoints`.
    state: after the step.
    step: steps made so far.
    last: whether the run ends with this step, which is always saved.

  Raises:
    TrainingError: this checkpoint, or the one before, cannot be written.
  """
  if not last and not checkpoints.should_save(step):
    return
  directory = pathlib.Path(checkpoints.directory)
  with _explain_write(directory):
    # The digest first: a kill in between leaves one without a checkpoint.
    digests = _read_digests(directory)
    known = {str(kept) for kept in checkpoints.all_steps()}
    digests = {step: digests[step] for step in known & digests.keys()}
    digests[str(step)] = hash_state(state)
    if host.is_first():
      with atomic_file(_digest_path(directory)) as partial:
        partial.write_text(json.dumps(digests, indent=2), encoding="utf-8")
    checkpoints.save(step, args=ocp.args.StandardSave(state), force=last)


def hash_state(state: State) -> str:
  """SHA-256 of the names, types, shapes and values of a pytree of arrays."""
  digest = hashlib.sha256()
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  for path, leaf in leaves:
    if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    array = np.ascontiguousarray(leaf)
    name = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}"
    digest.update(name.encode())
    digest.update(array.data)
  return digest.hexdigest()


def _restore(
  checkpoints: ocp.CheckpointManager, state: State, step: int
) -> State:
  """Reads a checkpoint and compares its digest.

  Raises:
    Exception: of whatever type Orbax raises, or ValueError if the state is not
      the one that was saved.
  """
  restored = checkpoints.restore(step, args=ocp.args.StandardRestore(state))
  expected = _read_digests(pathlib.Path(checkpoints.directory)).get(str(step))
  # Version 0.1 wrote no digests.
  if expected is not None and hash_state(restored) != expected:
    raise ValueError("its values are not those that were saved")
  return restored


def _delete(checkpoints: ocp.CheckpointManager, step: int) -> None:
  """Deletes a damaged checkpoint, so that the step can be saved again."""
  path = pathlib.Path(checkpoints.directory) / str(step)
  host.run_first(lambda: shutil.rmtree(path), f"delete {step}")
  checkpoints.reload()


def _read_digests(directory: pathlib.Path) -> dict[str, str]:
  """Digests by step; empty if the file is missing or damaged."""
  try:
    digests = json.loads(_digest_path(directory).read_bytes())
  except (OSError, ValueError):
    return {}
  return digests if isinstance(digests, dict) else {}


def _digest_path(directory: pathlib.Path) -> pathlib.Path:
  return directory.with_name(f"{directory.name}.sha256.json")


@contextlib.contextmanager
def _explain_write(directory: pathlib.Path) -> Iterator[None]:
  """Turns whatever Orbax raises while it writes into one sentence."""
  try:
    yield
  except Exception as error:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise TrainingError(
      f"{directory} cannot be written ({reason}): the last checkpoint that is"
      " whole remains. Make space, or name another working directory, and give"
      " the same command again."
    ) from error
