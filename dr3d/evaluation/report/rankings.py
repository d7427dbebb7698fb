"""Writes ranked lists to a file, to be scored by other code."""

import contextlib
import csv
import os
import pathlib
from collections.abc import Iterator

from dr3d.error import Dr3dError
from dr3d.evaluation.task import Rankings, Sink
from dr3d.runtime.atomic import atomic_file
from dr3d.runtime.text import escape_cell

COLUMNS = ("query", "rank", "model", "score", "method", "search")


@contextlib.contextmanager
def write_rankings(path: str | os.PathLike[str]) -> Iterator[Sink]:
  """Writes a CSV file, which appears when the block ends without an error.

  It has a row for each query and model, best first. A model that approximate
  search did not find has the score -inf. Names that a spreadsheet would take
  for formulas are escaped; see `escape_cell`.

  Args:
    path: of the file; a missing folder is made.

  Yields:
    The `sink` of `run_task`.

  Raises:
    Dr3dError: the file cannot be written.
  """
  path = pathlib.Path(path)
  try:
    with (
      atomic_file(path) as partial,
      partial.open("w", encoding="utf-8", newline="") as file,
    ):
      writer = csv.writer(file, lineterminator="\n")
      writer.writerow(COLUMNS)

      def write(lists: Rankings) -> None:
        task = lists.task
        for i, (order, score) in enumerate(
          zip(lists.order.tolist(), lists.score.tolist(), strict=True)
        ):
          query = escape_cell(task.queries[lists.first + i])
          writer.writerows(
            (
              query,
              rank,
              escape_cell(task.models[model]),
              f"{value:.6f}",
              lists.method,
              lists.search,
            )
            for rank, (model, value) in enumerate(
              zip(order, score, strict=True), start=1
            )
          )

      yield write
  except OSError as error:
    raise Dr3dError(f"{path} cannot be written ({error.strerror}).") from error
