"""A call in a child has no rights but to read its own file."""

import os
import pathlib
import signal
import socket
import sys
import tempfile

import pytest

from dr3d.runtime import sandbox
from dr3d.runtime.pool import Limits, Pool, WorkerError

pytestmark = [
  pytest.mark.fast,
  pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]

LIMITS = Limits(seconds=20, memory=512 << 20)


def has(protection):
  return any(protection in name for name in sandbox.describe())


needs_landlock = pytest.mark.skipif(
  not has("Landlock"), reason="the kernel has no Landlock"
)
needs_seccomp = pytest.mark.skipif(
  not has("seccomp"), reason="the kernel has no seccomp"
)


@pytest.fixture(scope="module")
def pool():
  pool = Pool("support.pool_calls:act", limits=LIMITS, count=1)
  yield pool
  pool.close()


def call(pool, action, value=None, path=None):
  return pool.call({"action": action, "value": value, "path": path})


@needs_landlock
def test_call_reads_its_own_file_only(pool, tmp_path):
  own, other = tmp_path / "own.stl", tmp_path / "other.stl"
  own.write_bytes(b"own")
  other.write_bytes(b"other")
  assert call(pool, "read", str(own), own) == b"own"
  for path in (other, "/etc/passwd", "/proc/self/environ"):
    error = call(pool, "read", str(path), own)
    assert isinstance(error, WorkerError)
    assert "PermissionError" in str(error)
  # The next call has lost the right that the one before had.
  assert "PermissionError" in str(call(pool, "read", str(own), other))


@needs_landlock
def test_call_writes_no_file(pool, tmp_path):
  own = tmp_path / "own.stl"
  own.write_bytes(b"own")
  for path in (own, tmp_path / "new", pathlib.Path(tempfile.gettempdir(), "x")):
    assert "PermissionError" in str(call(pool, "write", str(path), own))
  assert own.read_bytes() == b"own"


@needs_landlock
def test_folder_access_reads_what_lies_beside_the_file(tmp_path):
  own, beside = tmp_path / "a" / "own.gltf", tmp_path / "a" / "own.bin"
  outside = tmp_path / "outside"
  own.parent.mkdir()
  for path in (own, beside, outside):
    path.write_bytes(b"data")
  pool = Pool("support.pool_calls:act", limits=LIMITS, count=1, access="folder")
  try:
    assert call(pool, "read", str(beside), own) == b"data"
    assert "PermissionError" in str(call(pool, "read", str(outside), own))
  finally:
    pool.close()


@needs_seccomp
def test_call_has_no_network_and_runs_no_program(pool):
  with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    assert "PermissionError" in str(call(pool, "connect", port))
  assert "PermissionError" in str(call(pool, "program"))


@needs_landlock
def test_call_cannot_signal_other_processes(pool):
  if int(sandbox.describe()[1].split()[-1].rstrip(")")) < 6:
    pytest.skip("Landlock of this kernel does not scope signals")
  assert "PermissionError" in str(call(pool, "signal", os.getpid()))


def test_child_gets_no_secrets_of_the_environment(monkeypatch):
  monkeypatch.setenv("DR3D_TOKEN", "a secret token of the service")
  monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
  monkeypatch.setenv("LC_ALL", "C.UTF-8")
  pool = Pool("support.pool_calls:act", limits=LIMITS, count=1)
  try:
    found = call(pool, "environment")
  finally:
    pool.close()
  assert found["LC_ALL"] == "C.UTF-8"
  assert "secret" not in str(found)


def test_each_call_has_a_process_of_its_own(pool):
  first, parent = call(pool, "parents")
  second, same = call(pool, "parents")
  assert parent == same
  assert first != second


def test_child_killed_while_idle_is_replaced(pool):
  _, parent = call(pool, "parents")
  os.kill(parent, signal.SIGKILL)
  assert call(pool, "return", 1) == 1
  _, other = call(pool, "parents")
  assert other != parent


def test_start_names_the_protections(pool):
  assert set(sandbox.describe()) <= set(pool.start())


def test_missing_readable_path_is_skipped(pool, tmp_path):
  assert call(pool, "return", 1, tmp_path / "gone.stl") == 1


def test_runtime_paths_leave_out_the_working_directory():
  paths = sandbox.find_runtime_paths()
  assert pathlib.Path.cwd() not in paths
  assert pathlib.Path("/") not in paths
