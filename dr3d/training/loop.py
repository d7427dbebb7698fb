"""The training loop: the same for every system, resumable at any moment.

A system is an initial state, a step function and a source of batches; `Hooks`
holds the functions that only some systems need. All of them are functions of
the state and the step's number, so a run that was killed and resumed gives the
same numbers as one that was not.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import jax
from jax.sharding import Mesh as DeviceMesh

from dr3d.error import TrainingError
from dr3d.runtime import host
from dr3d.runtime.progress import open_bar
from dr3d.training.checkpoint import (
  open_checkpoints,
  restore_latest,
  save_state,
)
from dr3d.training.key import step_key
from dr3d.training.log import Log, Row

State = TypeVar("State")
Batch = TypeVar("Batch")

Metrics = Mapping[str, jax.Array]  # scalars


def keep(state: State, step: int) -> State:
  """Changes nothing after a step."""
  del step
  return state


@dataclasses.dataclass(frozen=True)
class LoopConfig:
  """How long a run is, and how often it is saved.

  Attributes:
    steps: steps of the run.
    seed: seed of the steps' random keys.
    checkpoint_every: steps from one checkpoint to the next. A killed run
      repeats at most this many.
  """

  steps: int
  seed: int = 0
  checkpoint_every: int = 100


@dataclasses.dataclass(frozen=True)
class Hooks(Generic[State]):
  """What a system adds to the loop; the defaults add nothing.

  The step's number counts from 1 here, as in the log.

  Attributes:
    after_step: `(state, step)` to the state that the next step starts from and
      the checkpoint holds.
    extra_columns: `(state, step)` to further values of the log's row, in types
      that JSON can hold.
    check: takes the recent rows of the log, the newest last, and raises
      `TrainingError` to stop the run. It sees rows from before a resume too.
    caption: a row to the texts beside the progress bar.
  """

  after_step: Callable[[State, int], State] = keep
  extra_columns: Callable[[State, int], Row] = lambda state, step: {}
  check: Callable[[Sequence[Row]], None] = lambda rows: None
  caption: Callable[[Row], dict[str, str]] = lambda row: {}


def run_steps(
  state: State,
  step: Callable[[State, Batch, jax.Array], tuple[State, Metrics]],
  batches: Callable[[int], Batch],
  *,
  config: LoopConfig,
  workdir: pathlib.Path,
  devices: DeviceMesh,
  hooks: Hooks[State] | None = None,
  progress: bool = True,
) -> State:
  """Runs the steps of a training that a kill may interrupt at any moment.

  Writes `checkpoints/` and `log.jsonl` into the working directory. The same
  call resumes after the latest checkpoint.

  Args:
    state: before the first step: a pytree of arrays.
    step: `(state, batch, key)` to the next state and a flat dict of scalars.
    batches: the number of a step, from 0, to its batch.
    config: length and seed of the run.
    workdir: absolute path; made if missing.
    devices: the state is copied to all of them, also those of other hosts,
      see `runtime.host`. How a step shares its batch out over them is the
      system's matter.
    hooks: what the system adds to the loop.
    progress: whether to show a progress bar.

  Returns:
    The state after the last step. With several hosts, arrays of this one.

  Raises:
    TrainingError: a metric is not finite, `hooks.check` stops the run, or a
      checkpoint is damaged.
  """
  hooks = hooks or Hooks()
  with open_checkpoints(
    workdir / "checkpoints", every=config.checkpoint_every
  ) as checkpoints:
    host.meet(devices)
    if not host.is_alone():
      state = host.replicate(state, devices)
    state, done = restore_latest(checkpoints, state)
    # The sharding is part of what a jitted step is compiled for. Without this
    # line the second step, whose state comes from the first, compiles again.
    state = host.replicate(state, devices)
    with (
      Log(workdir / "log.jsonl", step=done, is_written=host.is_first()) as log,
      open_bar(
        config.steps,
        "training",
        unit="step",
        initial=done,
        hidden=not (progress and host.is_first()),
        leave=True,
      ) as bar,
    ):
      for number in range(done + 1, config.steps + 1):
        begin = time.perf_counter()
        state, metrics = step(
          state, batches(number - 1), step_key(config.seed, number - 1)
        )
        row = {name: float(value) for name, value in metrics.items()}
        check_finite(row, number)
        if hooks.after_step is not keep:
          state = hooks.after_step(host.fetch(state), number)
          state = host.replicate(state, devices)
        row["seconds"] = time.perf_counter() - begin
        extra = hooks.extra_columns(state, number)
        log.write({"step": number, **row, **extra})
        hooks.check(log.recent)
        bar.set_postfix(hooks.caption(row), refresh=False)
        bar.update()
        # Last: what stops a run must not become its newest checkpoint.
        save_state(checkpoints, state, number, last=number == config.steps)
  return host.fetch(state)


def check_finite(row: Mapping[str, float], step: int) -> None:
  """Stops a run whose metrics hold NaN or infinity.

  Args:
    row: metrics of the step.
    step: its number, from 1.

  Raises:
    TrainingError: names the step and the metrics.
  """
  bad = sorted(name for name, value in row.items() if not math.isfinite(value))
  if bad:
    raise TrainingError(
      f"training stopped at step {step}: {', '.join(bad)} is not finite; the"
      " checkpoint before this step is intact."
    )
