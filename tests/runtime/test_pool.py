"""A call that fails in a child ends alone; the others continue."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from dr3d.error import Dr3dError, MeshError
from dr3d.runtime import codec, worker
from dr3d.runtime.child import Child
from dr3d.runtime.pool import (
  Limits,
  LostWorkerError,
  Pool,
  WorkerError,
  call_each,
)

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


def test_call_ends_after_its_parent_is_killed():
  script = (
    "from dr3d.runtime.pool import *; import sys, threading, time;"
    "pool = Pool('support.pool_calls:act', limits=Limits(), count=1);"
    "print(*pool.call({'action': 'parents'}), flush=True);"
    "call = threading.Thread(target=pool.call, args=({'action': 'hang'},));"
    "call.start(); time.sleep(0.5); print('called', flush=True)"
  )
  process = subprocess.Popen(
    [sys.executable, "-c", script],
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    text=True,
  )
  child = int(process.stdout.readline().split()[1])
  assert process.stdout.readline() == "called\n"
  listed = pathlib.Path(f"/proc/{child}/task/{child}/children")
  if not listed.exists():
    process.kill()
    pytest.skip("no /proc on this system")
  processes = [child, *map(int, listed.read_text().split())]
  assert len(processes) == 2
  process.kill()
  process.wait()
  for _ in range(80):
    if not any(map(is_running, processes)):
      return
    time.sleep(0.1)
  pytest.fail("the child or its call still runs")


def is_running(number):
  status = pathlib.Path(f"/proc/{number}/status")
  try:
    return "zombie" not in status.read_text()
  except OSError:
    return False


def test_child_killed_during_a_call_is_replaced_once():
  pool = Pool("support.pool_calls:act", limits=QUICK, count=1)
  try:
    _, child = pool.call({"action": "parents"})
    killer = threading.Timer(0.3, os.kill, [child, signal.SIGKILL])
    killer.start()
    assert pool.call({"action": "sleep", "value": 0.6}) is None
    assert pool.call({"action": "parents"})[1] != child
  finally:
    pool.close()


def test_child_that_ends_twice_is_not_blamed_on_the_file():
  pool = Pool("support.pool_calls:act", limits=QUICK, count=1)
  (child,) = pool._children
  start = child.start

  def start_and_kill():
    process = start()
    process.kill()
    return process

  child.start = start_and_kill
  try:
    error = pool.call({"action": "sleep", "value": 0.5})
    assert isinstance(error, LostWorkerError)
    child.start = start
    assert pool.call({"action": "return", "value": 1}) == 1
  finally:
    pool.close()


@pytest.fixture
def spared():
  """A pool for one call, with a spare child; both run."""
  pool = Pool("support.pool_calls:act", limits=QUICK, count=1, has_spare=True)
  assert not list_running(pool)
  pool.start()
  end = time.monotonic() + 60
  while len(list_running(pool)) < 2:
    assert time.monotonic() < end
    pool.call({"action": "sleep", "value": 0.3})
  yield pool
  pool.close()


def list_running(pool):
  return {
    child._process.pid
    for child in pool._children
    if child.is_running and child.protections
  }


def test_spare_child_takes_over_without_a_start(spared, monkeypatch):
  before = list_running(spared)
  answering = []

  def call_and_kill(child, call):
    answering.append(child._process.pid)
    if len(answering) == 1:
      threading.Timer(0.3, os.kill, [answering[0], signal.SIGKILL]).start()
    return real(child, call)

  real = Child.call
  monkeypatch.setattr(Child, "call", call_and_kill)
  assert spared.call({"action": "sleep", "value": 0.6}) is None
  assert len(answering) == 2
  assert set(answering) == before


def test_child_is_replaced_before_a_call_needs_it(spared):
  before = list_running(spared)
  for pid in before:
    os.kill(pid, signal.SIGKILL)
  end = time.monotonic() + 60
  while not list_running(spared) - before:
    assert time.monotonic() < end
    time.sleep(0.01)
  assert spared.call({"action": "parents"})[1] in list_running(spared) - before


def test_spare_child_does_not_answer_beside_the_others(spared):
  call = threading.Thread(
    target=spared.call, args=({"action": "sleep", "value": 1},)
  )
  call.start()
  time.sleep(0.2)
  with pytest.raises(TimeoutError):
    spared.call({"action": "return", "value": 1}, timeout=0.1)
  call.join()


def test_result_of_an_unknown_type_fails_alone():
  failed, fine = call_all(("unknown type",), ("return", 1))
  assert "object is not a type that can be sent" in str(failed)
  assert fine == 1


def test_answer_beyond_its_limit_fails_alone():
  limits = Limits(seconds=10, memory=512 << 20, answer=1000)
  large, small = call_all(("return", "x" * 5000), ("return", 1), limits=limits)
  assert isinstance(large, WorkerError)
  assert str(large) == "gives more data than is allowed"
  assert small == 1


def test_child_that_cannot_start_raises(monkeypatch):
  monkeypatch.setattr(sys, "executable", "/bin/false")
  with pytest.raises(Dr3dError, match=r"cannot be started .* use --jobs=0"):
    call_all(("return", 1))


def test_system_without_fork_answers_in_the_child_itself():
  job = worker.Job(
    path=[],
    function="support.pool_calls:act",
    seconds=9,
    memory=1 << 30,
    answer=1 << 20,
    access="file",
  )
  function, *_ = worker._import(job["function"])
  for call, answer in (
    ({"action": "return", "value": [1]}, ["done", [1]]),
    ({"action": "fail", "value": "b"}, ["error", "fails (KeyError: 'b')"]),
    ({"action": "parents"}, ["done", (os.getpid(), os.getppid())]),
  ):
    message = worker._answer_here(function, codec.encode(call), job)
    assert codec.decode(message) == answer
