"""What child processes of a pool are asked to do in tests."""

import gc
import os
import signal

from dr3d.error import MeshError


def act(action, value=None):
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
