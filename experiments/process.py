"""Memory and time of a service and the processes below it; needs Linux."""

import contextlib
import os
import pathlib
import re


def measure_memory(pid: int) -> tuple[float, float]:
  """Resident memory of a process and of its children, MiB."""
  return read_memory(pid, "VmRSS"), sum(
    read_memory(child, "VmRSS") for child in list_descendants(pid)
  )


def read_memory(pid: int, field: str) -> float:
  """A field of `/proc/PID/status` in MiB; 0 if the process has ended."""
  try:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
  except OSError:
    return 0.0
  found = re.search(rf"{field}:\s+(\d+) kB", text)
  return int(found.group(1)) / 1024 if found else 0.0


def measure_cpu(pid: int) -> float:
  """CPU seconds of a process and its children."""
  ticks = 0
  for number in [pid, *list_descendants(pid)]:
    text = pathlib.Path(f"/proc/{number}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    # In user and in system mode, of it and of the children that have ended.
    ticks += sum(map(int, fields[11:15]))
  return ticks / os.sysconf("SC_CLK_TCK")


def list_children(pid: int) -> list[str]:
  """Numbers of the processes that a process has started."""
  task = pathlib.Path(f"/proc/{pid}/task")
  return [
    child
    for thread in task.iterdir()
    for child in (thread / "children").read_text().split()
  ]


def list_descendants(pid: int) -> list[int]:
  """Numbers of all processes below a process."""
  found: list[int] = []
  with contextlib.suppress(OSError):  # it has ended
    for child in map(int, list_children(pid)):
      found += [child, *list_descendants(child)]
  return found
