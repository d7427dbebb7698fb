"""Programs of the disk give what traced ones give, and only they."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.render.raster import Budget, Usage
from dr3d.retrieval import program
from dr3d.runtime.device import share_devices

pytestmark = pytest.mark.fast

BUDGET = Budget(pairs=8, blocks=4)


@pytest.fixture
def traces(tmp_path, monkeypatch):
  """Counts how often the function is traced; programs are kept on the disk."""
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path))
  # An option that is set, also where JAX itself was told to cache nothing.
  monkeypatch.setattr(program, "_CACHE", "jax_enable_x64")
  return []


def make_programs(traces, *, config="config"):
  """What a new process makes."""

  def double(x, *, config, budget, devices):
    traces.append(config)
    used = jnp.int32(budget.pairs)
    return 2 * x, Usage(used, used, used, used)

  jitted = jax.jit(double, static_argnames=("config", "budget", "devices"))
  return program.Programs(jitted, config=config, devices=share_devices(1))


def call(programs, count=3):
  result, usage = programs.call((np.arange(float(count)),), BUDGET)
  assert (int(usage.pairs), int(usage.edges)) == (8, 8)
  return np.asarray(result).tolist()


def test_second_process_does_not_trace(traces):
  assert call(make_programs(traces)) == [0, 2, 4]
  assert len(traces) == 1
  assert call(make_programs(traces)) == [0, 2, 4]
  assert len(traces) == 1


@pytest.mark.parametrize("change", ["config", "shape", "code"])
def test_other_call_is_traced(traces, monkeypatch, change):
  call(make_programs(traces))
  if change == "code":
    monkeypatch.setattr(program, "_hash_code", lambda: "other")
  call(
    make_programs(traces, config="other" if change == "config" else "config"),
    count=4 if change == "shape" else 3,
  )
  assert len(traces) == 2


def test_damaged_program_is_traced_and_written_again(traces, tmp_path):
  call(make_programs(traces))
  for path in (tmp_path / "programs").iterdir():
    path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)
  assert call(make_programs(traces)) == [0, 2, 4]
  assert len(traces) == 2
  call(make_programs(traces))
  assert len(traces) == 2


def test_without_a_cache_each_process_traces(traces, tmp_path, monkeypatch):
  monkeypatch.setenv("DR3D_CACHE", "off")
  for _ in range(2):
    assert call(make_programs(traces)) == [0, 2, 4]
  assert len(traces) == 2
  assert not (tmp_path / "programs").exists()


def test_budget_is_that_of_the_earlier_process(traces):
  arguments = (np.zeros(3),)
  assert make_programs(traces).find_budget(arguments) is None
  grown = dataclasses.replace(BUDGET, pairs=16)
  make_programs(traces).keep_budget(arguments, grown)
  assert make_programs(traces).find_budget(arguments) == grown
  assert make_programs(traces).find_budget((np.zeros(4),)) is None


def test_check_that_passed_is_known_to_the_next_process(traces):
  assert not program.is_known("shapes fit")
  program.make_known("shapes fit")
  assert program.is_known("shapes fit")
  assert not program.is_known("other shapes fit")
