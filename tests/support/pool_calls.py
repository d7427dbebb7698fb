"""What child processes of a pool are asked to do in tests."""

import gc
import os
import pathlib
import signal
import socket
import subprocess
import time

from dr3d.error import MeshError


def act(action, value=None, path=None):
  """Does what a test asks of a child process."""
  match action:
    case "return":
      return value
    case "print":
      print("to be discarded", flush=True)
      os.write(1, b"this too")
      return value
    case "hang":
      while True:
        gc.collect()
    case "allocate":
      return len(bytearray(4 << 30))
    case "crash":
      os.kill(os.getpid(), signal.SIGSEGV)
    case "exit":
      os._exit(3)
    case "reject":
      raise MeshError(f"{value} is empty.")
    case "fail":
      raise KeyError(value)
    case "pid":
      return os.getpid()
    case "sleep":
      time.sleep(value)
    case "environment":
      return dict(os.environ)
    case "unknown type":
      return object()
    case "read":
      return pathlib.Path(value).read_bytes()
    case "write":
      pathlib.Path(value).write_bytes(b"x")
    case "connect":
      socket.create_connection(("127.0.0.1", value), timeout=5)
    case "program":
      subprocess.run(["/bin/true"], check=True)
    case "signal":
      os.kill(value, 0)
    case "parents":
      return os.getpid(), os.getppid()
