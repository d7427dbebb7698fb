"""What the command prints: progress and failures to stderr, answers to stdout.

Everything is printed through tqdm, so that a line does not break a bar.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from dr3d.runtime.text import neutralize

if TYPE_CHECKING:
  from dr3d.data.collection import ModelCollection
  from dr3d.data.folder import ModelFile
  from dr3d.database.ingest import Failure


SHORT_SECONDS = 2.0  # a task of one file that takes longer shows a bar


class Progress(Protocol):
  """Shows how far a task is."""

  def __call__(self, done: int, total: int, failed: int = 0, /) -> None:
    """Updates the bar with the files done, all files and failed files."""


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[Progress]:
  """Shows how far a task of several files is, on stderr.

  A bar shows the rate, the remaining time and the number of failed files, for
  one file only after two seconds. Without a terminal a line does every few
  seconds.

  Args:
    total: number of files.
    what: name of the task, such as "indexing".

  Yields:
    The function that updates the bar.
  """
  from dr3d.runtime.progress import open_bar

  delay = SHORT_SECONDS if total < 2 else 0.0
  with open_bar(total, what, hidden=total < 1, delay=delay) as bar:

    def show(done: int, total: int, failed: int = 0, /) -> None:
      bar.total = total
      if failed:
        bar.set_postfix_str(f"{failed} failed", refresh=False)
      bar.update(done - bar.n)

    yield show


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
  """Shows one bar after the other, for a task of several stages.

  Yields:
    A function of the name of the stage, the files done and all files.
  """
  with contextlib.ExitStack() as stack:
    current: list[str] = []
    bars: list[Progress] = []

    def show(what: str, done: int, total: int) -> None:
      if current != [what]:
        stack.close()
        bars[:] = [stack.enter_context(progress(total, what))]
        current[:] = [what]
      bars[0](done, total)

    yield show


def print_error(line: str) -> None:
  """Prints a line on stderr."""
  import tqdm

  tqdm.tqdm.write(neutralize(line), file=sys.stderr)


def print_answer(text: str) -> None:
  """Prints text on stdout at once."""
  import tqdm

  tqdm.tqdm.write(neutralize(text), file=sys.stdout)
  sys.stdout.flush()


def print_failures(failures: "Sequence[Failure]", what: str) -> None:
  """Lists failed files with their reasons on stderr.

  Args:
    failures: the files.
    what: what happened to them, such as "skipped".
  """
  for failure in failures:
    print_error(f"dr3d: {what}: {failure.reason}")


def read_models(
  files: "Sequence[ModelFile]", *, face_budget: int, appearance: bool = False
) -> "ModelCollection":
  """Loads model files with a bar, and lists those that fail."""
  from dr3d.data.collection import read_models

  with progress(len(files), "reading") as show:
    collection = read_models(
      files, face_budget=face_budget, appearance=appearance, progress=show
    )
  print_failures(collection.failures, "skipped")
  return collection
