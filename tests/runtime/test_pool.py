"""Whatever a call does in a child, the others and the caller go on."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from dr3d.error import Dr3dError, MeshError
from dr3d.runtime.pool import Limits, WorkerError, call_each

QUICK = Limits(seconds=1.5, memory=512 << 20)


def act(deed, value=None):
  """What the children are asked to do."""
  match deed:
    case "return":
      return value
    case "print":
      print("to be thrown away", flush=True)
      os.write(1, b"this too")
      return value
    case "hang":
      while True:
        gc.collect()
    case "eat":
      return len(bytearray(4 << 30))
    case "crash":
      os.kill(os.getpid(), signal.SIGSEGV)
    case "exit":
      os._exit(3)
    case "refuse":
      raise MeshError(f"{value} is empty.")
    case "fail":
      raise KeyError(value)
    case "pid":
      return os.getpid()


def call_all(*deeds, count=1, limits=QUICK):
  arguments = [
    dict(zip(("deed", "value"), deed, strict=False)) for deed in deeds
  ]
  return list(
    call_each("test_worker:act", arguments, limits=limits, count=count)
  )


def test_answers_come_in_the_order_of_the_calls():
  deeds = [("return", [i, "x" * i]) for i in range(40)]
  assert call_all(*deeds, count=2) == [[i, "x" * i] for i in range(40)]


def test_one_bad_call_ends_alone_and_says_why():
  results = call_all(
    ("return", 1),
    ("hang",),
    ("eat",),
    ("crash",),
    ("exit",),
    ("refuse", "a.stl"),
    ("fail", "b"),
    ("print", 2),
  )
  assert results[0] == 1
  assert results[-1] == 2
  assert [str(error) for error in results[1:-1]] == [
    "is not done after 1.5 seconds; allow more, or simplify it",
    "needs more memory than 512 MiB; allow more, or simplify it",
    "crashes its reader (SIGSEGV)",
    "ends its reader with status 3",
    "a.stl is empty.",
    "fails (KeyError: 'b')",
  ]
  assert [type(error) for error in results[1:-1]] == [
    *[WorkerError] * 4, MeshError, WorkerError,
  ]  # fmt: skip


def test_calls_are_begun_a_few_ahead_and_no_more():
  asked = []

  def arguments():
    for i in range(100):
      asked.append(i)
      yield {"deed": "return", "value": i}

  results = call_each("test_worker:act", arguments(), limits=QUICK, count=1)
  for i in range(10):
    assert next(results) == i
    assert len(asked) <= i + 5
  results.close()


def test_no_child_outlives_the_caller_for_long():
  script = (
    "from dr3d.runtime.pool import *; import sys, os, signal;"
    "call = call_each('test_worker:act', [{'deed': 'pid'}] * 4 + [{'deed':"
    "'hang'}] * 9, limits=Limits(seconds=0.5), count=1);"
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
    pytest.skip("there is no /proc")
  for _ in range(80):
    if not child.exists() or "zombie" in (child / "status").read_text():
      return
    time.sleep(0.1)
  pytest.fail("the child is still there")


def test_children_that_cannot_start_are_an_error_of_the_caller(monkeypatch):
  monkeypatch.setattr(sys, "executable", "/bin/false")
  with pytest.raises(Dr3dError, match=r"cannot be started .* --jobs=0 does"):
    call_all(("return", 1))
