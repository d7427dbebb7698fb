"""What the training loop gives to every system, as tests that each passes.

A test module of a system derives a class `Test...` from `SystemContract` and
gives it the fixtures `system` and `complete`.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
import pytest

from dr3d.error import TrainingError
from dr3d.training import loop


@dataclasses.dataclass(frozen=True)
class System:
  """A system that trains through the loop.

  Attributes:
    train: `(workdir, seed=0)` to the product of a run.
    fingerprint: of a product; equal if the product is.
    steps: of a run.
    step: owner and name of its step, which returns a state, metrics, ...
    save: owner and name of the function that writes its product.
    script: Python source that trains into the directory `sys.argv[1]`.
  """

  train: Callable
  fingerprint: Callable[..., str]
  steps: int
  step: tuple[object, str]
  save: tuple[object, str]
  script: str


@dataclasses.dataclass(frozen=True)
class CompleteRun:
  """A run that nothing interrupted; `cache` holds what it compiled."""

  workdir: pathlib.Path
  product: object
  cache: pathlib.Path


def read_log(workdir):
  """Rows of the log, without the seconds."""
  lines = (workdir / "log.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  for row in rows:
    assert row.pop("seconds") > 0
  return rows


def interrupt(*_, **__):
  raise KeyboardInterrupt


def interrupt_at(patch, step):
  """Interrupts a run in a step, before its row is written."""
  check = loop.check_finite

  def stop(row, number):
    if number == step:
      raise KeyboardInterrupt
    check(row, number)

  patch.setattr(loop, "check_finite", stop)


def start_process(script, *arguments, devices, cache=None):
  """Starts a script in a process with so many CPU devices."""
  tests = pathlib.Path(__file__).parents[1]
  environment = {
    **os.environ,
    "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}",
    "JAX_NUM_CPU_DEVICES": str(devices),
  }
  if cache is not None:
    environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
  return subprocess.Popen(
    [sys.executable, "-c", script, *map(str, arguments)],
    env=environment,
    stderr=subprocess.PIPE,
    text=True,
  )


class SystemContract:
  """What a system gets from the loop."""

  def test_log_has_one_row_for_each_step(self, system, complete):
    rows = read_log(complete.workdir)
    assert [row["step"] for row in rows] == list(range(1, system.steps + 1))

  @pytest.mark.parametrize("step", [3, 5, 6, 24])
  def test_interrupted_run_resumes_to_same_result(
    self, system, complete, step, tmp_path, monkeypatch
  ):
    # A checkpoint follows every fifth step: before, at and after the first.
    with monkeypatch.context() as patch:
      interrupt_at(patch, step)
      with pytest.raises(KeyboardInterrupt):
        system.train(tmp_path)
    assert len(read_log(tmp_path)) == step - 1
    product = system.train(tmp_path)
    assert system.fingerprint(product) == system.fingerprint(complete.product)
    assert read_log(tmp_path) == read_log(complete.workdir)

  def test_run_interrupted_before_product_is_saved_saves_it(
    self, system, complete, tmp_path, monkeypatch
  ):
    with monkeypatch.context() as patch:
      patch.setattr(*system.save, interrupt)
      with pytest.raises(KeyboardInterrupt):
        system.train(tmp_path)
    monkeypatch.setattr(*system.step, None)  # no step is left
    product = system.train(tmp_path)
    assert system.fingerprint(product) == system.fingerprint(complete.product)
    assert read_log(tmp_path) == read_log(complete.workdir)

  def test_complete_run_is_read_without_training(
    self, system, complete, monkeypatch
  ):
    log = (complete.workdir / "log.jsonl").read_bytes()
    monkeypatch.setattr(loop, "open_checkpoints", None)
    product = system.train(complete.workdir)
    assert system.fingerprint(product) == system.fingerprint(complete.product)
    assert (complete.workdir / "log.jsonl").read_bytes() == log

  def test_metric_not_finite_stops_run_at_its_step(
    self, system, complete, tmp_path, monkeypatch
  ):
    step = getattr(*system.step)

    def spoil(*args, **options):
      state, metrics, *rest = step(*args, **options)
      if len(read_log(tmp_path)) == 7:
        metrics = {name: value * np.nan for name, value in metrics.items()}
      return state, metrics, *rest

    with monkeypatch.context() as patch:
      patch.setattr(*system.step, spoil)
      with pytest.raises(TrainingError, match=r"at step 8: .* is not finite"):
        system.train(tmp_path)
      assert len(read_log(tmp_path)) == 7
    product = system.train(tmp_path)  # resumes from the fifth step
    assert system.fingerprint(product) == system.fingerprint(complete.product)
    assert read_log(tmp_path) == read_log(complete.workdir)

  def test_directory_of_another_run_raises(self, system, complete):
    with pytest.raises(TrainingError, match=r"another run, .* differs in seed"):
      system.train(complete.workdir, seed=1)

  def test_run_killed_at_random_step_resumes_to_same_result(
    self, system, complete, tmp_path
  ):
    log = tmp_path / "run" / "log.jsonl"
    rng = np.random.default_rng(time.time_ns())

    def start():
      # As many devices as here: their number decides in what order floats are
      # summed, and a test before this one may have asked for more than one.
      return start_process(
        system.script,
        tmp_path / "run",
        devices=jax.local_device_count("cpu"),
        cache=complete.cache,
      )

    for rows in np.sort(rng.integers(1, system.steps - 5, 2)):
      process = start()
      while process.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= rows:
          time.sleep(rng.uniform(0, 0.1))
          process.send_signal(signal.SIGKILL)
          break
        time.sleep(0.005)
      _, errors = process.communicate()
      assert process.returncode == -signal.SIGKILL, f"row {rows}: {errors}"
    process = start()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same_rows(read_log(tmp_path / "run"), read_log(complete.workdir))


def assert_same_rows(rows, expected):
  """Compares logs of two processes, whose programs may round differently."""
  assert [row["step"] for row in rows] == [row["step"] for row in expected]
  for row, true in zip(rows, expected, strict=True):
    assert row.keys() == true.keys()
    for name in true:
      np.testing.assert_allclose(row[name], true[name], rtol=1e-4, atol=1e-5)
