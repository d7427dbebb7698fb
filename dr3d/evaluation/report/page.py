"""A page with the charts and images of an evaluation: one file, no server."""

import base64
import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from PIL import Image

from dr3d.error import Dr3dError
from dr3d.evaluation import metric
from dr3d.evaluation.average import Means
from dr3d.evaluation.report import preview, summary
from dr3d.evaluation.report.chart import Curve, draw_curves
from dr3d.evaluation.run import Evaluation
from dr3d.evaluation.task import (
  APPROXIMATE,
  EXACT,
  VERIFIED,
  MethodResult,
  RetrievalTask,
)
from dr3d.runtime.atomic import atomic_file

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline

QUERY_COUNT = 6  # on each of the two sheets, of the best and the worst
MODEL_COUNT = 3  # whose views are shown
CONFUSED_COUNT = 12  # pairs of classes listed by name
_LINE_STYLES = {EXACT: "-", APPROXIMATE: "--", VERIFIED: ":"}


def write_page(
  evaluation: Evaluation,
  means: Sequence[dict[str, Means]],
  path: str | os.PathLike[str],
  *,
  name: str,
  pipeline: "Pipeline",
) -> None:
  """Writes the page, whole or not at all; makes its folder if it is missing.

  The images below the charts are those of the first result.

  Args:
    evaluation: what is shown.
    means: from `summary.summarize_all`.
    path: of the HTML file.
    name: of the gallery.
    pipeline: draws the models.

  Raises:
    Dr3dError: the file cannot be written.
  """
  path = pathlib.Path(path)
  result, task = evaluation.results[0], evaluation.task
  counts, labels, predicted = count_confusion(task, result)
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, ""),
    autoescape=True,  # class and file names are not HTML
    trim_blocks=True,
    lstrip_blocks=True,
  )
  text = environment.get_template("page.html").render(
    name=name,
    protocol=summary.describe_protocol(evaluation, name=name),
    leaks=summary.describe_leaks(evaluation),
    header=["method", "search", "mean"]
    + [summary.HEADINGS.get(measure, measure) for measure in means[0]],
    rows=_make_rows(evaluation, means),
    precision=_draw_precision(evaluation.results),
    coverage=_draw_coverage(evaluation.results),
    false_accepts=summary.describe_false_accepts(evaluation),
    method=result.method,
    queries=_draw_queries(evaluation, result, pipeline),
    views=[
      _encode(image, model)
      for model, image in preview.draw_views(
        evaluation, pipeline, count=MODEL_COUNT
      )
    ],
    confused=_list_confused(counts, labels, predicted)[:CONFUSED_COUNT],
    counts=counts.tolist(),
    labels=labels,
    predicted=predicted,
  )
  try:
    with atomic_file(path) as partial:
      # File names may hold bytes that are not UTF-8.
      partial.write_text(text, encoding="utf-8", errors="backslashreplace")
  except OSError as error:
    raise Dr3dError(f"{path} cannot be written ({error.strerror}).") from error


def count_confusion(
  task: RetrievalTask, result: MethodResult
) -> tuple[np.ndarray, list[str], list[str]]:
  """Counts how often the vote takes a query of one class for another.

  Returns:
    int [R, C]; the R classes of the queries; the C predicted classes: these R,
    then the others that were predicted.
  """
  rows = sorted(set(task.query_labels))
  columns = rows + sorted(set(result.known.labels) - set(rows))
  counts = np.zeros((len(rows), len(columns)), int)
  row = {label: i for i, label in enumerate(rows)}
  column = {label: i for i, label in enumerate(columns)}
  for label, predicted in zip(
    task.query_labels, result.known.labels, strict=True
  ):
    counts[row[label], column[predicted]] += 1
  return counts, rows, columns


def _make_rows(
  evaluation: Evaluation, means: Sequence[dict[str, Means]]
) -> list[tuple[list[str], list[tuple[str, str]]]]:
  """Names of each row of the table, and its values with their intervals."""
  rows = []
  for result, measures in zip(evaluation.results, means, strict=True):
    for kind in ("micro", "macro"):
      estimates = [getattr(mean, kind) for mean in measures.values()]
      cells = [
        (summary.format_value(estimate), summary.format_interval(estimate))
        for estimate in estimates
      ]
      rows.append(([result.method, result.search, kind], cells))
  return rows


def _draw_precision(results: Sequence[MethodResult]) -> str:
  curves = [
    _make_curve(result, results, metric.RECALLS, result.precision.mean(axis=0))
    for result in results
  ]
  return draw_curves(curves, x_label="recall", y_label="precision")


def _draw_coverage(results: Sequence[MethodResult]) -> str:
  """Share of right predictions among the accepted ones, over their share."""
  curves = []
  for result in results:
    if result.search == APPROXIMATE:  # its vote margin is that of EXACT
      continue
    observations = result.known.observations
    margin, right = observations.margin, observations.right
    accepted = margin >= np.unique(margin)[:, None]
    coverage = accepted.mean(axis=1)
    accuracy = (accepted & right).sum(axis=1) / accepted.sum(axis=1)
    curves.append(_make_curve(result, results, coverage, accuracy))
  return draw_curves(
    curves, x_label="share accepted", y_label="share right of accepted"
  )


def _make_curve(
  result: MethodResult,
  results: Sequence[MethodResult],
  x: np.ndarray,
  y: np.ndarray,
) -> Curve:
  """The colour tells the method, the line style the search."""
  methods = list(dict.fromkeys(each.method for each in results))
  name = f"{result.method}, {result.search}"
  color = methods.index(result.method)
  return Curve(name, x, y, color, _LINE_STYLES[result.search])


def _draw_queries(
  evaluation: Evaluation, result: MethodResult, pipeline: "Pipeline"
) -> list[tuple[str, dict[str, str] | None]]:
  """Titles and sheets; None for a sheet whose files cannot be read."""
  labels = evaluation.task.query_labels
  chosen = preview.choose_queries(result, labels, count=QUERY_COUNT)
  sheets = preview.draw_queries(evaluation, result, chosen, pipeline)
  return [
    (title, _encode(image, f"{title} queries") if image else None)
    for title, image in zip(("Best", "Worst"), sheets, strict=True)
  ]


def _list_confused(
  counts: np.ndarray, labels: Sequence[str], predicted: Sequence[str]
) -> list[str]:
  """Pairs of different classes in [R, C] counts, the largest count first."""
  total = counts.sum(axis=1)
  cells = sorted(
    (-counts[i, j], labels[i], predicted[j] or "no label", total[i])
    for i, j in np.argwhere(counts)
    if labels[i] != predicted[j]
  )
  return [
    f"{label}: {-count} of {total} taken for {other}"
    for count, label, other, total in cells
  ]


def _encode(image: Image.Image, text: str) -> dict[str, str]:
  """An image for the template: base64 of a WebP file, and its description."""
  file = io.BytesIO()
  image.save(file, "WEBP", quality=85)
  return {"data": base64.b64encode(file.getvalue()).decode(), "text": text}
