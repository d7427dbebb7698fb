"""The loop, by a system whose answer is known."""

import numpy as np
import pytest
from support import line
from support.line import STEPS, TRUE_WEIGHTS, fit_line
from support.system import (
  CompleteRun,
  System,
  SystemContract,
  assert_same_rows,
  interrupt_at,
  read_log,
  start_process,
)

from dr3d.error import TrainingError
from dr3d.training.loop import Hooks

FIT = "import sys; from support.line import fit_line; fit_line(sys.argv[1])"


@pytest.fixture(scope="module")
def system():
  return System(
    train=fit_line,
    fingerprint=lambda weights: weights.tobytes().hex(),
    steps=STEPS,
    step=(line, "step_line"),
    save=(line, "save_line"),
    script=FIT.replace("1])", "1], pause=0.02)"),  # time for a kill
  )


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("line")
  return CompleteRun(workdir, fit_line(workdir), tmp_path_factory.mktemp("x"))


class TestLine(SystemContract):
  """The smallest system gets from the loop what every system does."""


def test_line_converges_to_true_weights(complete):
  np.testing.assert_allclose(complete.product, TRUE_WEIGHTS, atol=1e-2)
  loss = [row["loss"] for row in read_log(complete.workdir)]
  assert loss[-1] < 1e-3 * loss[0]


def test_four_devices_give_result_of_one(complete, tmp_path):
  one, four = tmp_path / "one", tmp_path / "four"
  for workdir, devices in ((one, 1), (four, 4)):
    check = f"import jax; assert len(jax.devices()) == {devices}; "
    process = start_process(check + FIT, workdir, devices=devices)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
  assert_same_rows(read_log(four), read_log(one))


def test_after_step_changes_state_also_across_resume(tmp_path, monkeypatch):
  def halve(state, step):
    weights = state.weights * (0.5 if step == 6 else 1.0)
    return line.Line(weights, state.momentum)

  hooks = Hooks(after_step=halve)
  fit_line(tmp_path / "whole", hooks=hooks)
  with monkeypatch.context() as patch:
    interrupt_at(patch, 9)  # after the change, before the next checkpoint
    with pytest.raises(KeyboardInterrupt):
      fit_line(tmp_path / "cut", hooks=hooks)
  fit_line(tmp_path / "cut", hooks=hooks)
  whole = read_log(tmp_path / "whole")
  assert read_log(tmp_path / "cut") == whole
  fit_line(tmp_path / "plain")
  plain = read_log(tmp_path / "plain")
  assert whole[:6] == plain[:6]
  assert whole[6]["loss"] > plain[6]["loss"]


def test_extra_columns_see_state_after_its_change(tmp_path):
  fit_line(
    tmp_path,
    steps=3,
    hooks=Hooks(
      after_step=lambda state, step: line.Line(
        state.weights * 0, state.momentum
      ),
      extra_columns=lambda state, step: {
        "weights": state.weights.tolist(),
        "twice": 2 * step,
      },
    ),
  )
  rows = read_log(tmp_path)
  assert [row["twice"] for row in rows] == [2, 4, 6]
  assert [row["weights"] for row in rows] == [[0, 0, 0]] * 3


def test_check_sees_rows_from_before_resume_and_stops_run(
  tmp_path, monkeypatch
):
  def check(rows):
    if len(rows) >= 10:
      raise TrainingError(f"enough after {rows[-1]['step']}")

  with monkeypatch.context() as patch:
    interrupt_at(patch, 7)
    with pytest.raises(KeyboardInterrupt):
      fit_line(tmp_path, hooks=Hooks(check=check))
  with pytest.raises(TrainingError, match="enough after 10"):
    fit_line(tmp_path, hooks=Hooks(check=check))
  assert [row["step"] for row in read_log(tmp_path)] == list(range(1, 11))
  # The step that stopped the run must not be its newest checkpoint.
  names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
  assert sorted(names) == ["1", "5"]


def test_batches_and_keys_are_functions_of_step(tmp_path, monkeypatch):
  seen = []
  step = line.step_line

  def watch(state, points, key):
    seen.append((np.asarray(points).tobytes(), str(key)))
    return step(state, points, key)

  monkeypatch.setattr(line, "step_line", watch)
  fit_line(tmp_path / "long", steps=6)
  long = seen.copy()
  seen.clear()
  fit_line(tmp_path / "short", steps=4)
  assert seen == long[:4]
  assert len({key for _, key in long}) == 6
