"""What the verbs tell a person, and where: progress and failures on stderr."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from dr3d.data.collection import ModelCollection
  from dr3d.data.folder import ModelFile
  from dr3d.database.ingest import Failure
  from dr3d.retrieval.pipeline import Pipeline


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[Callable[..., None]]:
  """A bar on stderr, where that is a terminal and there is some way to go.

  It shows the rate, the time left, and how many files failed.

  Args:
    total: files.
    what: is done to them.

  Yields:
    A function of the files done, all files, and, if known, those that failed.
  """
  import tqdm

  suppress_output = total < 2 or not sys.stderr.isatty()
  with tqdm.tqdm(
    total=total, desc=what, unit="file", disable=suppress_output, leave=False
  ) as bar:

    def show(done: int, total: int, failed: int = 0) -> None:
      bar.total = total
      if failed:
        bar.set_postfix_str(f"{failed} failed", refresh=False)
      bar.update(done - bar.n)

    yield show


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
  """Bars on stderr, one after the other, for work of several stages.

  Yields:
    A function of what is being done, how many are done, and all.
  """
  with contextlib.ExitStack() as stack:
    current: list[str] = []
    bars: list[Callable[[int, int], None]] = []

    def show(what: str, done: int, total: int) -> None:
      if current != [what]:
        stack.close()
        bars[:] = [stack.enter_context(progress(total, what))]
        current[:] = [what]
      bars[0](done, total)

    yield show


def tell(line: str) -> None:
  """Prints a line on stderr, above a bar where there is one."""
  import tqdm

  tqdm.tqdm.write(line, file=sys.stderr)


def answer(text: str) -> None:
  """Prints on stdout, above a bar where there is one."""
  import tqdm

  tqdm.tqdm.write(text, file=sys.stdout)
  sys.stdout.flush()


def tell_failures(failures: "Sequence[Failure]", what: str) -> None:
  """Lists files that failed, with the reasons, on stderr."""
  for failure in failures:
    tell(f"dr3d: {what}: {failure.reason}")


def read_models(
  files: "Sequence[ModelFile]", *, face_budget: int
) -> "ModelCollection":
  """Reads model files with a bar, and lists those that are left out."""
  from dr3d.data.collection import read_models

  with progress(len(files), "reading") as show:
    reading = read_models(files, face_budget=face_budget, progress=show)
  tell_failures(reading.failures, "skipped")
  return reading


def load_pipeline(directory: str | None) -> "Pipeline":
  """Loads a pipeline; the folder of a training run or a database will do.

  Args:
    directory: None or "pretrained" for the one that ships with dr3d.
  """
  from dr3d.retrieval.pipeline import CONFIG_FILE, Pipeline

  if directory is None or directory == "pretrained":
    return Pipeline.load()
  path = pathlib.Path(directory)
  inside = path / "pipeline"
  if not (path / CONFIG_FILE).exists() and (inside / CONFIG_FILE).exists():
    path = inside
  return Pipeline.load(os.fspath(path))
