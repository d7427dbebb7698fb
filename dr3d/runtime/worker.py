"""The child process of a pool: answers calls within limits and without rights.

The child imports what calls need and then parses nothing itself. On Linux it
forks processes that give up all rights before they answer. So a file that takes
over its process sees no file outside its reach, and the child does not depend
on what it left behind. With the access "file" each call has a process of its
own. With "folder" a process answers some calls about one folder, whose files it
may read in any case: to fork for each file costs a fifth of an indexing.
Elsewhere the child answers calls itself.

A message is its length and a value of `codec`:

    child to parent, once    ["ready", protections]
    parent to child          keyword arguments
    child to parent          ["done", result], ["error", Dr3dError or text] or
                             ["ended", status or "timeout"]
"""

import contextlib
import dataclasses
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
from dr3d.runtime.memory import keep_freed_memory

Access = Literal["file", "folder", "all"]
"""What a call may read besides Python: the files that are among its arguments,
also what lies beside them, or all files and the network of this user."""

TIMEOUT = "timeout"  # instead of the status of a process

_HEADER = struct.Struct("<Q")  # length of the message in bytes
_CHUNK = 1 << 20  # bytes read at once
_CALLS_PER_PROCESS = 16  # with the access "folder"; then 1 ms a call is left
_IDLE_SECONDS = 0.5  # without a call, until modules are imported ahead
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
  keep_freed_memory()
  calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
  # What a library prints would otherwise end up between the messages.
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
  function, prepare, late = _import(job["function"])
  with contextlib.suppress(ValueError):
    # Ctrl-C reaches the whole process group; the parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
  protections = [] if job["access"] == "all" else sandbox.describe()
  if job["access"] != "all" and sandbox.leave_network():
    protections.append("network namespace")
  answer = _answer_here
  if sys.platform == "linux":
    answer = _Forks(calls).answer
  else:
    _limit_memory(job["memory"])
  if job["access"] != "file" or sys.platform != "linux":
    _import_late(late, until=lambda: False)
  gc.collect()
  write_message(answers, codec.encode(["ready", protections]))
  while True:
    # A child that replaces one that has ended is needed at once.
    if late and not _has_input(calls, seconds=_IDLE_SECONDS):
      _import_late(late, until=lambda: _has_input(calls))
    try:
      call = read_message(calls, limit=sys.maxsize)
    except EOFError:
      return
    prepare(**codec.decode(call))
    write_message(answers, answer(function, call, job))


def _import(
  name: str,
) -> tuple[Callable[..., Any], Callable[..., None], list[str]]:
  """Imports a function.

  Returns:
    The function; `prepare` of its module, which is called with the arguments
    of each call before a process is forked for it, and may import, but must not
    open what the arguments name; and the modules that calls import later.
  """
  module_name, function = name.split(":")
  module = importlib.import_module(module_name)
  prepare = getattr(module, "prepare", lambda **keywords: None)
  late = list(getattr(module, "PRELOAD", ()))
  return getattr(module, function), prepare, late


def _import_late(late: list[str], *, until: Callable[[], bool]) -> None:
  """Imports modules, and takes them from the list, until it is time to stop.

  Each fork would import them again.
  """
  while late and not until():
    with contextlib.suppress(ImportError):  # an optional one may be missing
      importlib.import_module(late.pop(0))


def _has_input(stream: IO[bytes], *, seconds: float = 0) -> bool:
  """Whether a call comes in some seconds, or the parent is gone."""
  poll = select.poll()
  poll.register(stream, select.POLLIN)
  return bool(poll.poll(1000 * seconds))


def _answer_here(function: Callable[..., Any], call: bytes, job: Job) -> bytes:
  """Answers a call in this process."""
  _set_alarm(job["seconds"] + _PARENT_TIMEOUT)
  message = _call(function, codec.decode(call), job)
  _set_alarm(0)
  return message


@dataclasses.dataclass(eq=False)
class _Fork:
  """A process that has given up its rights and answers calls in turn.

  Attributes:
    process: its number.
    calls: where it reads calls, to be written.
    answers: where it writes answers, to be read.
    readable: what it may read.
    modules: how many modules it was forked with.
    left: calls that it may still answer.
  """

  process: int
  calls: IO[bytes]
  answers: int
  readable: list[pathlib.Path]
  modules: int
  left: int


class _Forks:
  """Answers calls in forked processes, whose answers are only passed on."""

  def __init__(self, parent: IO[bytes]):
    """Takes the stream of calls, which ends with the parent."""
    self._parent = parent
    self._fork: _Fork | None = None

  def answer(
    self, function: Callable[..., Any], call: bytes, job: Job
  ) -> bytes:
    """Answers a call."""
    readable = _find_readable(codec.decode(call), job["access"])
    fork = self._find_fork(function, job, readable)
    with contextlib.suppress(BrokenPipeError):  # it has ended: no answer comes
      write_message(fork.calls, call)
    data, end = _collect(fork, job, self._parent)
    fork.left -= 1
    if data is not None:
      if end or not fork.left:  # slow ones have a lower priority for ever
        self._retire()
      return data
    code = self._retire(patience=0 if end else _PARENT_TIMEOUT)
    return codec.encode(end or ["ended", code])

  def _find_fork(
    self,
    function: Callable[..., Any],
    job: Job,
    readable: list[pathlib.Path],
  ) -> _Fork:
    """The present process, if it suits the call, or a new one."""
    fork = self._fork
    if fork is not None and (
      fork.readable != readable or fork.modules != len(sys.modules)
    ):
      self._retire()
      fork = None
    if fork is None:
      fork = _start(function, job, readable)
      self._fork = fork
    return fork

  def _retire(self, patience: float = 0) -> int:
    """Ends the present process, after a wait in which it may end by itself.

    Returns:
      Its exit code.
    """
    fork, self._fork = self._fork, None
    assert fork is not None, "there is a process to end"
    with contextlib.suppress(BrokenPipeError):
      fork.calls.close()
    os.close(fork.answers)
    descriptor = os.pidfd_open(fork.process)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(1000 * patience):
      os.kill(fork.process, signal.SIGKILL)
    os.close(descriptor)
    _, status = os.waitpid(fork.process, 0)
    return os.waitstatus_to_exitcode(status)


def _start(
  function: Callable[..., Any], job: Job, readable: list[pathlib.Path]
) -> _Fork:
  """Forks a process for calls."""
  call_reader, call_writer = os.pipe()
  reader, writer = os.pipe()
  gc.freeze()  # else the collector of each fork would copy all objects
  process = os.fork()
  if not process:
    _serve_calls(function, job, readable, call_reader, writer)
  os.close(call_reader)
  os.close(writer)
  left = _CALLS_PER_PROCESS if job["access"] == "folder" else 1
  calls = os.fdopen(call_writer, "wb")
  return _Fork(process, calls, reader, readable, len(sys.modules), left)


def _serve_calls(
  function: Callable[..., Any],
  job: Job,
  readable: list[pathlib.Path],
  reader: int,
  writer: int,
) -> NoReturn:
  """Gives up all rights, answers calls and ends this process."""
  message = b""
  try:
    sandbox.end_with_parent()
    os.dup2(reader, 0)
    os.dup2(writer, 3)
    # Nothing else may reach the parent or files that the child has open.
    os.closerange(4, _MAX_DESCRIPTORS)
    calls, answers = os.fdopen(0, "rb"), os.fdopen(3, "wb")
    _limit_memory(job["memory"])
    if job["access"] != "all":
      try:
        sandbox.restrict(readable)
      except Dr3dError as error:
        message = codec.encode(["error", str(error)])
    while True:
      call = read_message(calls, limit=sys.maxsize)
      _set_alarm(job["seconds"] + _PARENT_TIMEOUT)
      answer = message or _call(function, codec.decode(call), job)
      write_message(answers, answer)
      _set_alarm(0)
  except EOFError:
    os._exit(0)
  except BaseException:
    os._exit(1)


def _find_readable(
  keywords: dict[str, Any], access: Access
) -> list[pathlib.Path]:
  """What a call may read: the paths that it was given, or their folders.

  A link into another folder is named beside its own folder.
  """
  paths = [
    value for value in keywords.values() if isinstance(value, pathlib.Path)
  ]
  if access != "folder":
    return paths
  links = [path for path in paths if path.is_symlink()]
  return [*links, *(path.parent for path in paths)]


def _collect(
  fork: _Fork, job: Job, parent: IO[bytes]
) -> tuple[bytes | None, list | None]:
  """Reads an answer of bounded size in bounded time.

  Returns:
    The answer, or None; and why there is none, if the process has not ended.
    With an answer, a reason says that it was slow.
  """
  start = time.monotonic()
  data = bytearray()
  poll = select.poll()
  poll.register(fork.answers, select.POLLIN)
  poll.register(parent, 0)  # POLLHUP: the parent is gone
  is_patient = True
  while True:
    passed = time.monotonic() - start
    if passed >= job["seconds"]:
      return None, ["ended", TIMEOUT]
    if is_patient and passed >= _PATIENCE:
      is_patient = False
      os.setpriority(os.PRIO_PROCESS, fork.process, _NICE)
    until = job["seconds"] if not is_patient else min(job["seconds"], _PATIENCE)
    ready = dict(poll.poll(1000 * max(0.001, until - passed)))
    if parent.fileno() in ready:
      os.kill(fork.process, signal.SIGKILL)
      os._exit(0)
    if fork.answers not in ready:
      continue
    chunk = os.read(fork.answers, _CHUNK)
    data += chunk
    if not chunk:
      return None, None
    if len(data) >= _HEADER.size:
      (length,) = _HEADER.unpack_from(data)
      if length > job["answer"]:
        return None, ["error", "gives more data than is allowed"]
      if len(data) == _HEADER.size + length:
        return bytes(data[_HEADER.size :]), None if is_patient else ["slow"]
      if len(data) > _HEADER.size + length:
        return None, ["error", "gives more data than is allowed"]


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
