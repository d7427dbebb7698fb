"""Progress: a bar on a terminal or in a notebook, else a line now and then."""

import contextlib
import sys
import threading
from collections.abc import Iterator

import tqdm
import tqdm.auto
import tqdm.notebook

LINE_SECONDS = 5.0  # between two lines; a log of an hour has 720 of them
BAR_SECONDS = 1.0  # a bar's clock moves, although no item has been completed


class LineBar(tqdm.tqdm):
  """Prints whole lines, for logs and pipes, when `print_line` is called."""

  def __init__(self, total: int, *, desc: str, unit: str, initial: int):
    super().__init__(
      total=total,
      desc=desc,
      unit=unit,
      initial=initial,
      leave=False,
    )

  def display(self, msg: str | None = None, pos: int | None = None) -> bool:
    """Draws nothing: tqdm calls this whenever a bar has to be redrawn."""
    del msg, pos
    return False

  def clear(self, nolock: bool = False) -> None:
    """Erases nothing: tqdm calls this before it prints something else."""
    del nolock

  def print_line(self) -> None:
    """Prints how far the task is."""
    note = f", {self.postfix}" if self.postfix else ""
    self.fp.write(
      f"{self.desc}: {self.n} of {self.total} {self.unit}s,"
      f" {self.format_dict['elapsed']:.0f} s{note}\n"
    )
    self.fp.flush()


@contextlib.contextmanager
def open_bar(
  total: int,
  what: str,
  *,
  unit: str = "file",
  initial: int = 0,
  hidden: bool = False,
  leave: bool = False,
  delay: float = 0.0,
) -> Iterator[tqdm.tqdm]:
  """Opens a progress bar on stderr.

  Without a terminal and outside of a notebook it prints a line every
  `LINE_SECONDS` instead, and one at the end if there was any before.

  Args:
    total: number of items.
    what: name of the task, such as "indexing".
    unit: name of one item.
    initial: items that an earlier run has done.
    hidden: shows nothing.
    leave: whether the completed bar stays on a terminal.
    delay: seconds until a bar appears, so that a short task shows none.
  """
  is_notebook = issubclass(tqdm.auto.tqdm, tqdm.notebook.tqdm_notebook)
  bar: tqdm.tqdm
  if hidden or is_notebook or sys.stderr.isatty():
    bar = tqdm.auto.tqdm(
      total=total,
      desc=what,
      unit=unit,
      initial=initial,
      disable=hidden,
      leave=leave,
      delay=delay,
    )
    seconds = BAR_SECONDS
  else:
    bar = LineBar(total, desc=what, unit=unit, initial=initial)
    seconds = LINE_SECONDS
  stop = threading.Event()
  thread = threading.Thread(
    target=_refresh, args=(bar, stop, seconds, delay), daemon=True
  )
  if not hidden:
    thread.start()
  try:
    yield bar
  finally:
    stop.set()
    if not hidden:
      thread.join()
    if isinstance(bar, LineBar) and bar.format_dict["elapsed"] >= seconds:
      bar.print_line()
    bar.close()


def _refresh(
  bar: tqdm.tqdm, stop: threading.Event, seconds: float, delay: float
) -> None:
  """Shows a bar again and again, also while its first item takes long."""
  if isinstance(bar, LineBar):
    delay = 0.0  # its lines come late enough
  if stop.wait(delay):
    return
  while not stop.wait(seconds):
    if isinstance(bar, LineBar):
      bar.print_line()
    else:
      bar.refresh()
