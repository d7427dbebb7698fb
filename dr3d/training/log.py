"""The log of a run: a file of JSON lines, one for each step."""

import collections
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from dr3d.runtime.atomic import atomic_file

Row = dict[str, Any]
"""A step's number, its metrics, its seconds, and what a system adds."""

RECENT_ROWS = 1_000  # kept in memory for checks; bounds a long run's memory


class Log:
  """A log open for appending.

  Attributes:
    recent: the latest rows, at most `RECENT_ROWS`, the newest last.
  """

  def __init__(self, path: pathlib.Path, *, step: int, is_written: bool = True):
    """Opens the log of a run that resumes after a step.

    Steps after the checkpoint run again, so their rows are dropped; otherwise
    the log would hold them twice. A row that a kill cut short is dropped too.

    Args:
      path: the log; made if missing.
      step: steps made so far; later rows are dropped.
      is_written: whether this process writes the file; of several hosts one
        does.
    """
    rows = [row for row in read_rows(path) if row["step"] <= step]
    self.recent = collections.deque(rows, maxlen=RECENT_ROWS)
    self._file = None
    if is_written:
      with atomic_file(path) as partial:
        partial.write_text("".join(map(_to_line, rows)), encoding="utf-8")
      self._file = path.open("a", encoding="utf-8")

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, *_: object) -> None:
    if self._file is not None:
      self._file.close()

  def write(self, row: Row) -> None:
    """Appends a row; a killed process loses none that was written."""
    if self._file is not None:
      self._file.write(_to_line(row))
      self._file.flush()
    self.recent.append(row)


def read_rows(path: pathlib.Path) -> Iterator[Row]:
  """Yields the rows of a log, without lines that a kill cut short."""
  if not path.exists():
    return
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      yield json.loads(line)
    except ValueError:
      continue


def _to_line(row: Row) -> str:
  return json.dumps(row) + "\n"
