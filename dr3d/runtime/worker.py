"""The child process of a pool: answers calls within limits and without rights.

The child imports what calls need and then parses nothing itself. On Linux it
forks a process for each call, which gives up all rights before it begins, sends
one answer and ends. So a file that takes over its process sees no other file,
and neither the next call nor the child depends on what it left behind.
Elsewhere the child answers calls itself.

A message is its length and a value of `codec`:

    child to parent, once    ["ready", protections]
    parent to child          keyword arguments
    child to parent          ["done", result], ["error", Dr3dError or text] or
                             ["ended", status or "timeout"]
"""

import contextlib
import gc
import importlib
import os
import pathlib
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import IO, Any, Literal, NoReturn, TypedDict

from dr3d.error import Dr3dError
from dr3d.runtime import codec, sandbox

Access = Literal["file", "folder", "all"]
"""What a call may read besides Python: the files that are among its arguments,
also what lies beside them, or all files and the network of this user."""

TIMEOUT = "timeout"  # instead of the status of a process

_HEADER = struct.Struct("<Q")  # length of the message in bytes
_CHUNK = 1 << 20  # bytes read at once
_MAX_DESCRIPTORS = 1024  # files that the child may have open, and far more
# Seconds after the limit of a call. Then a process ends itself, because the
# one that should have ended it is gone.
_PARENT_TIMEOUT = 5.0
# Seconds after which a call has a lower priority, so that a file that takes
# long does not slow down the others; a usual one takes tenths of a second.
_PATIENCE, _NICE = 2.0, 10


class Job(TypedDict):
  """What a child is told when it starts.

  Attributes:
    path: `sys.path`.
    function: "package.module:name".
    seconds: see `pool.Limits`, as for the next two.
    memory: bytes.
    answer: bytes.
    access: what calls may read.
  """

  path: list[str]
  function: str
  seconds: float
  memory: int
  answer: int
  access: Access


def serve(job: Job) -> None:
  """Answers calls on standard input until it is closed; runs in the child."""
  calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
  # What a library prints would otherwise end up between the messages.
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
  function, prepare = _import(job["function"])
  with contextlib.suppress(ValueError):
    # Ctrl-C reaches the whole process group; the parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
  protections = [] if job["access"] == "all" else sandbox.describe()
  if job["access"] != "all" and sandbox.leave_network():
    protections.append("network namespace")
  answer = _answer_apart if sys.platform == "linux" else _answer_here
  if answer is _answer_here:
    _limit_memory(job["memory"])
  gc.collect()
  gc.freeze()  # else the collector of each fork would copy all objects
  write_message(answers, codec.encode(["ready", protections]))
  while True:
    try:
      call = read_message(calls, limit=sys.maxsize)
    except EOFError:
      return
    keywords = codec.decode(call)
    prepare(**keywords)
    write_message(answers, answer(function, keywords, job, calls))


def _import(
  name: str,
) -> tuple[Callable[..., Any], Callable[..., None]]:
  """Imports a function, and what its module says that calls import later.

  Returns:
    The function, and `prepare` of its module, which is called with the
    arguments of each call before a process is forked for it. It may import, but
    must not open what the arguments name.
  """
  module_name, function = name.split(":")
  module = importlib.import_module(module_name)
  for late in getattr(module, "PRELOAD", ()):
    # Each fork would import it again. An optional one may be missing.
    with contextlib.suppress(ImportError):
      importlib.import_module(late)
  prepare = getattr(module, "prepare", lambda **keywords: None)
  return getattr(module, function), prepare


def _answer_here(
  function: Callable[..., Any],
  keywords: dict[str, Any],
  job: Job,
  calls: IO[bytes],
) -> bytes:
  """Answers a call in this process."""
  del calls
  _set_alarm(job["seconds"] + _PARENT_TIMEOUT)
  message = _call(function, keywords, job)
  _set_alarm(0)
  return message


def _answer_apart(
  function: Callable[..., Any],
  keywords: dict[str, Any],
  job: Job,
  calls: IO[bytes],
) -> bytes:
  """Answers a call in a process of its own, whose answer is only passed on."""
  reader, writer = os.pipe()
  process = os.fork()
  if not process:
    os.close(reader)
    _run_call(function, keywords, job, writer)
  os.close(writer)
  data, timed_out = _collect(reader, process, job, calls)
  os.close(reader)
  _, status = os.waitpid(process, 0)
  code = os.waitstatus_to_exitcode(status)
  if timed_out:
    return codec.encode(["ended", TIMEOUT])
  if len(data) > job["answer"]:
    return codec.encode(["error", "gives more data than is allowed"])
  return codec.encode(["ended", code]) if code or not data else data


def _run_call(
  function: Callable[..., Any],
  keywords: dict[str, Any],
  job: Job,
  writer: int,
) -> NoReturn:
  """Gives up all rights, answers a call and ends this process."""
  try:
    sandbox.end_with_parent()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # It must reach neither the parent nor files that the child has open.
    os.closerange(3, writer)
    os.closerange(writer + 1, _MAX_DESCRIPTORS)
    _set_alarm(job["seconds"] + _PARENT_TIMEOUT)
    _limit_memory(job["memory"])
    if job["access"] != "all":
      sandbox.restrict(_find_readable(keywords, job["access"]))
    message = _call(function, keywords, job)
  except Dr3dError as error:
    message = codec.encode(["error", str(error)])
  except BaseException:
    os._exit(1)
  with os.fdopen(writer, "wb") as stream:
    stream.write(message)
  os._exit(0)


def _find_readable(
  keywords: dict[str, Any], access: Access
) -> list[pathlib.Path]:
  """What a call may read: the paths that it was given, or their folders."""
  paths = [
    value for value in keywords.values() if isinstance(value, pathlib.Path)
  ]
  if access == "folder":
    paths += [path.parent for path in paths]
  return paths


def _collect(
  reader: int, process: int, job: Job, calls: IO[bytes]
) -> tuple[bytes, bool]:
  """Reads an answer of bounded size in bounded time.

  Returns:
    The answer, and whether time ran out. The process has ended or is killed.
  """
  start = time.monotonic()
  data = bytearray()
  poll = select.poll()
  poll.register(reader, select.POLLIN)
  poll.register(calls, 0)  # POLLHUP: the parent is gone
  is_patient = True
  while True:
    passed = time.monotonic() - start
    if passed >= job["seconds"]:
      os.kill(process, signal.SIGKILL)
      return b"", True
    if is_patient and passed >= _PATIENCE:
      is_patient = False
      os.setpriority(os.PRIO_PROCESS, process, _NICE)
    until = job["seconds"] if not is_patient else min(job["seconds"], _PATIENCE)
    ready = dict(poll.poll(1000 * max(0.001, until - passed)))
    if calls.fileno() in ready:
      os.kill(process, signal.SIGKILL)
      os._exit(0)
    if reader in ready:
      chunk = os.read(reader, _CHUNK)
      data += chunk
      if not chunk or len(data) > job["answer"]:
        break
  if len(data) > job["answer"]:
    os.kill(process, signal.SIGKILL)
  return bytes(data), False


def _call(
  function: Callable[..., Any], keywords: dict[str, Any], job: Job
) -> bytes:
  """Calls the function and encodes its result or its error."""
  try:
    return codec.encode(["done", function(**keywords)])
  except Dr3dError as error:
    return codec.encode(["error", error])
  except MemoryError:
    mebibytes = job["memory"] >> 20
    text = (
      f"needs more than {mebibytes} MiB of memory; allow more or simplify it"
    )
  except Exception as error:
    text = f"fails ({type(error).__name__}: {error})"
  return codec.encode(["error", text])


def _limit_memory(size: int) -> None:
  """Limits the memory that this process may allocate from now on."""
  try:
    import resource
  except ImportError:  # Windows
    return
  with contextlib.suppress(OSError, ValueError):
    before = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    size += before * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _set_alarm(seconds: float) -> None:
  """Lets the system end this process after some time; 0 cancels it.

  A signal ends even code that holds the interpreter. Another process usually
  comes first; this one matters if that is gone.
  """
  if hasattr(signal, "setitimer"):
    signal.setitimer(signal.ITIMER_REAL, seconds)


def write_message(stream: IO[bytes] | None, data: bytes) -> None:
  """Writes bytes after their length."""
  assert stream is not None
  stream.write(_HEADER.pack(len(data)) + data)
  stream.flush()


def read_message(stream: IO[bytes] | None, *, limit: int) -> bytes:
  """Reads bytes that `write_message` wrote.

  Raises:
    EOFError: the stream ended, or the message has more than `limit` bytes.
  """
  assert stream is not None
  header = stream.read(_HEADER.size)
  if len(header) < _HEADER.size:
    raise EOFError
  (length,) = _HEADER.unpack(header)
  if length > limit:
    raise EOFError
  data = stream.read(length)
  if len(data) < length:
    raise EOFError
  return data
