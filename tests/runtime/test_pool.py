"""A call that fails in a child ends alone; the others continue."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from dr3d.error import Dr3dError, MeshError
from dr3d.runtime.pool import Limits, WorkerError, call_each

pytestmark = pytest.mark.fast

QUICK = Limits(seconds=1.5, memory=512 << 20)


def call_all(*actions, count=1, limits=QUICK):
  arguments = [
    dict(zip(("action", "value"), action, strict=False)) for action in actions
  ]
  return list(
    call_each("support.pool_calls:act", arguments, limits=limits, count=count)
  )


def test_results_are_in_the_order_of_the_arguments():
  actions = [("return", [i, "x" * i]) for i in range(40)]
  assert call_all(*actions, count=2) == [[i, "x" * i] for i in range(40)]


def test_failed_call_returns_its_reason_and_others_continue():
  results = call_all(
    ("return", 1),
    ("hang",),
    ("allocate",),
    ("crash",),
    ("exit",),
    ("reject", "a.stl"),
    ("fail", "b"),
    ("print", 2),
  )
  assert results[0] == 1
  assert results[-1] == 2
  assert [str(error) for error in results[1:-1]] == [
    "is not done after 1.5 seconds; allow more time or simplify it",
    "needs more than 512 MiB of memory; allow more or simplify it",
    "crashes its reader process (SIGSEGV)",
    "ends its reader process with status 3",
    "a.stl is empty.",
    "fails (KeyError: 'b')",
  ]
  assert [type(error) for error in results[1:-1]] == [
    *[WorkerError] * 4, MeshError, WorkerError,
  ]  # fmt: skip


def test_calls_are_at_most_five_ahead_of_the_results():
  asked = []

  def arguments():
    for i in range(100):
      asked.append(i)
      yield {"action": "return", "value": i}

  results = call_each(
    "support.pool_calls:act", arguments(), limits=QUICK, count=1
  )
  for i in range(10):
    assert next(results) == i
    assert len(asked) <= i + 5
  results.close()


def test_child_ends_itself_after_its_parent_is_killed():
  script = (
    "from dr3d.runtime.pool import *; import sys, os, signal;"
    "call = call_each('support.pool_calls:act', [{'action': 'pid'}] * 4"
    "+ [{'action': 'hang'}] * 9, limits=Limits(seconds=0.5), count=1);"
    "print(next(call), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
  )
  process = subprocess.run(
    [sys.executable, "-c", script],
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
    check=False,
  )
  child = pathlib.Path("/proc") / process.stdout.strip()
  if not child.parent.exists():
    pytest.skip("no /proc on this system")
  for _ in range(80):
    if not child.exists() or "zombie" in (child / "status").read_text():
      return
    time.sleep(0.1)
  pytest.fail("the child still runs")


def test_child_that_cannot_start_raises(monkeypatch):
  monkeypatch.setattr(sys, "executable", "/bin/false")
  with pytest.raises(Dr3dError, match=r"cannot be started .* use --jobs=0"):
    call_all(("return", 1))
