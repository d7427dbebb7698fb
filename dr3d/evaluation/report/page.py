"""A page with the pictures of an evaluation, one file for any browser."""

import base64
import html
import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dr3d.error import Dr3dError
from dr3d.evaluation import metric
from dr3d.evaluation.average import Means
from dr3d.evaluation.report import preview, summary
from dr3d.evaluation.report.chart import Curve, draw_confusion, draw_curves
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

QUERIES = 6  # best and worst ones
MODELS = 3  # whose views are shown
CONFUSIONS = 12  # listed by name
_DASHES = {EXACT: (), APPROXIMATE: (5, 4), VERIFIED: (2, 3)}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem;
  max-width: 76rem; color: #20262e; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #20262e; }
td { border-bottom: 1px solid #d6dbe2; }
td:nth-child(-n+3), th:nth-child(-n+3) { text-align: left; }
td small { color: #656f7c; }
pre { overflow-x: auto; }
.wide { overflow-x: auto; } .row { display: flex; flex-wrap: wrap; gap: 2rem; }
img { max-width: 100%; border: 1px solid #d6dbe2; }
svg text { font-size: 12px; fill: #20262e; } svg.small text { font-size: 8px; }
.end { text-anchor: end; } .mid { text-anchor: middle; }
.grid { stroke: #d6dbe2; fill: none; } .curve { fill: none; stroke-width: 2; }
.frame { fill: none; stroke: #d6dbe2; }
.right { fill: #1a7f37; } .wrong { fill: #c82828; }
"""


def write_page(
  evaluation: Evaluation,
  means: Sequence[dict[str, Means]],
  path: str | os.PathLike[str],
  *,
  name: str,
  pipeline: "Pipeline",
) -> None:
  """Writes the page, whole or not at all; its folder is made if need be.

  The pictures below the curves are those of the first method, by exact
  search.

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
  first = evaluation.results[0]
  protocol = summary.describe_protocol(evaluation, name=name)
  sections = [
    f"<h1>{html.escape(name)}</h1>",
    f"<p>{html.escape(protocol)}</p>",
    f"<p>{html.escape(summary.describe_leaks(evaluation))}</p>",
    _format_table(evaluation, means),
    '<div class="row">',
    _draw_precision(evaluation.results),
    _draw_coverage(evaluation),
    "</div>",
    *_show_false_accepts(evaluation),
    *_show_queries(evaluation, first, pipeline),
    *_show_views(evaluation, pipeline),
    *_show_confusion(evaluation.task, first),
  ]
  title = f"dr3d evaluate: {html.escape(name)}"
  text = "\n".join(
    [
      '<!doctype html><html lang="en"><meta charset="utf-8">',
      '<meta name="viewport" content="width=device-width">',
      f"<title>{title}</title><style>{_STYLE}</style>",
      *sections,
      "</html>\n",
    ]
  )
  try:
    with atomic_file(path) as partial:
      partial.write_text(text, encoding="utf-8", errors="backslashreplace")
  except OSError as error:
    raise Dr3dError(f"{path} cannot be written ({error.strerror}).") from error


def count_confusion(
  task: RetrievalTask, result: MethodResult
) -> tuple[np.ndarray, list[str], list[str]]:
  """How often a query of one class is taken for another, by vote.

  Returns:
    int [R, C]; the R classes of the queries; these and behind them the others
    that were voted for.
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


def _format_table(
  evaluation: Evaluation, means: Sequence[dict[str, Means]]
) -> str:
  header = ["method", "search", "mean", *means[0]]
  lines = [
    '<div class="wide"><table><tr>',
    *(f"<th>{html.escape(cell)}</th>" for cell in header),
    "</tr>",
  ]
  for result, several in zip(evaluation.results, means, strict=True):
    for kind in ("micro", "macro"):
      lines.append("<tr>")
      for cell in (result.method, result.search, kind):
        lines.append(f"<td>{html.escape(cell)}</td>")
      for mean in several.values():
        estimate = getattr(mean, kind)
        lines.append(
          f"<td>{summary.format_value(estimate)}<br><small>"
          f"{summary.format_interval(estimate)}</small></td>"
        )
      lines.append("</tr>")
  return "\n".join([*lines, "</table></div>"])


def _draw_precision(results: Sequence[MethodResult]) -> str:
  curves = [
    _make_curve(result, results, metric.RECALLS, result.precision.mean(axis=0))
    for result in results
  ]
  chart = draw_curves(curves, x_label="recall", y_label="precision")
  return f"<div><h2>Precision and recall</h2>{chart}</div>"


def _make_curve(
  result: MethodResult,
  results: Sequence[MethodResult],
  x: np.ndarray,
  y: np.ndarray,
) -> Curve:
  """A curve of the colour of its method, and the dashes of its search."""
  methods = list(dict.fromkeys(each.method for each in results))
  name = f"{result.method}, {result.search}"
  color = methods.index(result.method)
  return Curve(name, x, y, color, _DASHES[result.search])


def _draw_coverage(evaluation: Evaluation) -> str:
  """Accuracy of the votes that are accepted, over how many are."""
  results = [o for o in evaluation.results if o.search != APPROXIMATE]
  curves = []
  for result in results:
    observations = result.known.observations
    margin, right = observations.margin, observations.right
    accepted = margin >= np.unique(margin)[:, None]
    coverage = accepted.mean(axis=1)
    accuracy = (accepted & right).sum(axis=1) / accepted.sum(axis=1)
    curves.append(_make_curve(result, results, coverage, accuracy))
  chart = draw_curves(
    curves, x_label="share of answers accepted", y_label="share of right ones"
  )
  return f"<div><h2>Answers by threshold</h2>{chart}</div>"


def _show_false_accepts(evaluation: Evaluation) -> list[str]:
  text = html.escape(summary.describe_false_accepts(evaluation))
  return ["<h2>Reliable and wrong</h2>", f"<pre>{text}</pre>"]


def _show_queries(
  evaluation: Evaluation, result: MethodResult, pipeline: "Pipeline"
) -> list[str]:
  labels = evaluation.task.query_labels
  several = preview.choose_queries(result, labels, count=QUERIES)
  sheets = preview.draw_queries(evaluation, result, several, pipeline)
  parts = []
  for what, drawn in zip(("Best", "Worst"), sheets, strict=True):
    parts.append(
      f"<h2>{what} queries of {html.escape(result.method)}</h2>"
      "<p>One of a class; behind its name the average precision.</p>"
    )
    parts.append(_embed(drawn, f"{what} queries") if drawn else _MISSING)
  return parts


def _show_views(evaluation: Evaluation, pipeline: "Pipeline") -> list[str]:
  sheets = preview.draw_views(evaluation, pipeline, count=MODELS)
  parts = ["<h2>The views of the database's pipeline</h2>"]
  for name, drawn in sheets:
    parts.append(f"<p>{html.escape(name)}</p>{_embed(drawn, name)}")
  return parts if sheets else [*parts, _MISSING]


def _show_confusion(task: RetrievalTask, result: MethodResult) -> list[str]:
  counts, rows, columns = count_confusion(task, result)
  wrong = sorted(
    (-counts[i, j], rows[i], columns[j] or "no label", counts[i].sum())
    for i, j in np.argwhere(counts)
    if rows[i] != columns[j]
  )
  listed = "".join(
    f"<li>{html.escape(one)}: {-count} of {total} taken for"
    f" {html.escape(other)}</li>"
    for count, one, other, total in wrong[:CONFUSIONS]
  )
  return [
    f"<h2>Classes by the vote of {html.escape(result.method)}</h2>",
    "<p>Rows are what the queries are, columns what they are taken for.</p>",
    f"<ul>{listed}</ul>",
    f'<div class="wide">{draw_confusion(counts, rows, columns)}</div>',
  ]


_MISSING = "<p>The files of these models cannot be read.</p>"


def _embed(image: Image.Image, text: str) -> str:
  data = io.BytesIO()
  image.save(data, "WEBP", quality=85)
  encoded = base64.b64encode(data.getvalue()).decode()
  return (
    f'<img src="data:image/webp;base64,{encoded}" alt="{html.escape(text)}">'
  )
