"""The child process of a pool: answers calls within limits of time and memory.

Messages in both directions are pickled values, each after its length.
"""

import contextlib
import importlib
import os
import pathlib
import pickle
import signal
import struct
import sys
from typing import IO, Any

from dr3d.error import Dr3dError

_HEADER = struct.Struct("<Q")  # length of the message in bytes
# Seconds after the limit of a call. Then a child ends itself, because its
# parent, which should have ended it, is gone.
_PARENT_TIMEOUT = 5.0


def serve(job: dict[str, Any]) -> None:
  """Answers calls on standard input until it is closed; runs in the child.

  Args:
    job: `function` "package.module:name", and `seconds` and `memory` of
      `pool.Limits`.
  """
  calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
  # What a library prints would otherwise end up between the messages.
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
  module, name = job["function"].split(":")
  function = getattr(importlib.import_module(module), name)
  _limit_memory(job["memory"])
  with contextlib.suppress(ValueError):
    # Ctrl-C reaches the whole process group; the parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
  write_message(answers, ("ready", None))
  while True:
    try:
      keywords = read_message(calls)
    except EOFError:
      return
    _set_alarm(job["seconds"] + _PARENT_TIMEOUT)
    try:
      answer = ("done", function(**keywords))
    except Dr3dError as error:
      answer = ("error", error)
    except MemoryError:
      mebibytes = job["memory"] >> 20
      answer = (
        "error",
        f"needs more than {mebibytes} MiB of memory; allow more or simplify it",
      )
    except Exception as error:
      answer = ("error", f"fails ({type(error).__name__}: {error})")
    write_message(answers, answer)
    _set_alarm(0)


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

  A signal ends even code that holds the interpreter. The parent's timer usually
  comes first; this one matters if the parent is gone.
  """
  if hasattr(signal, "setitimer"):
    signal.setitimer(signal.ITIMER_REAL, seconds)


def write_message(stream: IO[bytes] | None, value: Any) -> None:
  """Writes a pickled value after its length."""
  assert stream is not None
  data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
  stream.write(_HEADER.pack(len(data)) + data)
  stream.flush()


def read_message(stream: IO[bytes] | None) -> Any:
  """Reads a value that `write_message` wrote.

  Raises:
    EOFError: the stream ended.
  """
  assert stream is not None
  header = stream.read(_HEADER.size)
  if len(header) < _HEADER.size:
    raise EOFError
  (length,) = _HEADER.unpack(header)
  data = stream.read(length)
  if len(data) < length:
    raise EOFError
  return pickle.loads(data)
