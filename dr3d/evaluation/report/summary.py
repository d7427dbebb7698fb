"""An evaluation in words and numbers: the protocol, a table, JSON."""

import dataclasses
import math
from typing import Any

import numpy as np

from dr3d.evaluation import average
from dr3d.evaluation.acceptance import accept
from dr3d.evaluation.average import Estimate, Means
from dr3d.evaluation.false_accept import FalseAccept, find_false_accepts
from dr3d.evaluation.report.table import format_table
from dr3d.evaluation.run import Evaluation
from dr3d.evaluation.task import (
  APPROXIMATE,
  EXACT,
  VERIFIED,
  MethodResult,
  RetrievalTask,
)
from dr3d.registration.relation import NEAR
from dr3d.search.calibration import UNKNOWN_SHARE

VOTES = ("vote", "accepted", "right", "false_accept")
"""Share of queries whose label by vote is right; share whose answer is relied
on; share of right ones among these; share whose answer would be relied on if
all models of their label were missing."""
LISTED = 20  # listed by name at most


def describe_protocol(evaluation: Evaluation, *, name: str) -> str:
  """The protocol in one line: whoever repeats it must come to the same.

  Args:
    evaluation: what was done.
    name: of the gallery.
  """
  task, config = evaluation.task, evaluation.config
  classes = len(set(task.query_labels))
  own = task.own is not None
  parts = [
    f"leave-one-out in {name}" if own else f"queries to {name}",
    f"{len(task.queries)} queries of {classes} classes among"
    f" {len(task.models) - own} {'other ' if own else ''}models",
    f"queries {config.protocol}"
    + (f", seed {config.protocol.seed}" if config.protocol.changes else ""),
    f"similarity {config.similarity} of"
    f" {'all' if config.views is None else config.views} views",
    f"target precision {config.target_precision:.0%}, accepted if nearer than"
    f" {1 - UNKNOWN_SHARE:.0%} of unknown-class queries"
    + (
      f"; laid: the first {config.verify} models laid upon each query"
      if config.verify
      else ""
    ),
    "of equally like models the wrong one first",
    f"intervals {average.LEVEL:.0%} of {average.RESAMPLES} resamplings of the"
    " queries",
  ]
  if evaluation.single:
    parts.insert(
      2,
      f"{evaluation.single} left out as queries, no other model has their"
      " class",
    )
  if evaluation.unlabelled:
    parts.insert(2, f"{evaluation.unlabelled} left out, without a label")
  if evaluation.failures:
    parts.insert(2, f"{len(evaluation.failures)} left out, not readable")
  return "Protocol: " + "; ".join(parts) + "."


def describe_leaks(evaluation: Evaluation) -> str:
  """One line on the leaks, with the first of them."""
  leaks = evaluation.leaks
  if not leaks:
    return "Leaks: none; no file and no geometry is on both sides."
  parts = []
  for kind, what in (("file", "file"), ("geometry", "geometry")):
    several = [leak for leak in leaks if leak.kind == kind]
    if several:
      first = several[0]
      count = len({leak.query for leak in several})
      parts.append(
        f"{count} {'query has' if count == 1 else 'queries have'} the same"
        f" {what} among the models ({first.query} is {first.model})"
      )
  return "Leaks: " + "; ".join(parts) + "."


def summarize(
  result: MethodResult,
  task: RetrievalTask,
  *,
  target_precision: float,
  draws: np.ndarray,
) -> dict[str, Means]:
  """The means of all measures of an outcome, by name.

  Args:
    result: of Q queries.
    task: whose outcome it is.
    target_precision: share of the accepted answers that are to be right.
    draws: [S, Q], from `average.resample`.
  """
  classes = np.array(task.query_labels)
  right = result.known.right
  means = {
    name: average.average(values, classes, draws)
    for name, values in result.measures.items()
  }
  vote, accepts, precise, strange = VOTES
  means[vote] = average.average(right, classes, draws)
  accepted, fooled = accept(result, task, target_precision=target_precision)
  means[accepts] = average.average(accepted, classes, draws)
  means[precise] = average.average(right, classes, draws, weights=accepted)
  means[strange] = average.average(fooled, classes, draws)
  return means


def summarize_all(evaluation: Evaluation) -> list[dict[str, Means]]:
  """The means of each outcome, all from the same resamplings."""
  draws = average.resample(len(evaluation.task.queries))
  return [
    summarize(
      result,
      evaluation.task,
      target_precision=evaluation.config.target_precision,
      draws=draws,
    )
    for result in evaluation.results
  ]


def format_means(evaluation: Evaluation, means: list[dict[str, Means]]) -> str:
  """A table in percent, the intervals below the means."""
  header = ["method", "search", "mean", *means[0]]
  rows = []
  for result, several in zip(evaluation.results, means, strict=True):
    for kind in ("micro", "macro"):
      estimates = [getattr(mean, kind) for mean in several.values()]
      rows.append(
        [result.method, result.search, kind, *map(format_value, estimates)]
      )
      rows.append(["", "", "", *map(format_interval, estimates)])
  return format_table(header, rows, right=range(3, len(header)))


def describe_false_accepts(evaluation: Evaluation) -> str:
  """Which answers of the first method are relied on and wrong.

  Of the search that is the most like `dr3d query`.
  """
  method = evaluation.results[0].method
  result = max(
    (each for each in evaluation.results if each.method == method),
    key=lambda each: (APPROXIMATE, EXACT, VERIFIED).index(each.search),
  )
  mistakes = list_false_accepts(evaluation, result)
  what = f"by {result.method}, {result.search}"
  if not mistakes:
    return f"False accepts {what}: none."
  rows = [
    (
      mistake.query,
      mistake.prediction,
      "-" if mistake.distance is None else f"{100 * mistake.distance:.1f}",
      mistake.model,
    )
    for mistake in mistakes[:LISTED]
  ]
  header = ("query", "taken for", "apart", "first match with that label")
  lines = [
    f"False accepts {what}: {len(mistakes)}; apart, in % of the radius.",
    format_table(header, rows, right=[2]),
  ]
  near = sum(
    mistake.distance is not None and mistake.distance <= NEAR
    for mistake in mistakes
  )
  if near:
    lines.append(
      f"{near} within {100 * NEAR:.1f}, which is one shape: look at the labels."
    )
  if len(mistakes) > LISTED:
    lines.insert(2, f"  ... and {len(mistakes) - LISTED} more, see --json.")
  return "\n".join(lines)


def list_false_accepts(
  evaluation: Evaluation, result: MethodResult
) -> list[FalseAccept]:
  """The answers of an outcome that are relied on and wrong."""
  return find_false_accepts(
    result, evaluation.task, target_precision=evaluation.config.target_precision
  )


def format_value(estimate: Estimate) -> str:
  """A share in percent, a dash for none."""
  return "-" if math.isnan(estimate.value) else f"{100 * estimate.value:.1f}"


def format_interval(estimate: Estimate) -> str:
  """An interval in percent, nothing for none."""
  if math.isnan(estimate.value):
    return ""
  return f"{100 * estimate.low:.1f}-{100 * estimate.high:.1f}"


def to_values(
  evaluation: Evaluation, means: list[dict[str, Means]], *, name: str
) -> dict[str, Any]:
  """An evaluation as plain values, ready for JSON; shares, not percent."""
  config = dataclasses.asdict(evaluation.config)
  return {
    "protocol": describe_protocol(evaluation, name=name),
    "config": config | {"methods": list(config["methods"])},
    "queries": len(evaluation.task.queries),
    "models": len(evaluation.task.models),
    "leave_one_out": evaluation.task.own is not None,
    "unlabelled": evaluation.unlabelled,
    "single": evaluation.single,
    "failures": [dataclasses.asdict(f) for f in evaluation.failures],
    "leaks": [dataclasses.asdict(leak) for leak in evaluation.leaks],
    "results": [
      {
        "method": result.method,
        "search": result.search,
        "seconds": result.seconds,
        "measures": {
          measure: {
            kind: _to_plain(getattr(mean, kind)) for kind in ("micro", "macro")
          }
          for measure, mean in several.items()
        },
        "false_accepts": [
          dataclasses.asdict(mistake)
          for mistake in list_false_accepts(evaluation, result)
        ],
      }
      for result, several in zip(evaluation.results, means, strict=True)
    ],
  }


def _to_plain(estimate: Estimate) -> dict[str, float | None]:
  """JSON knows no NaN."""
  return {
    key: None if math.isnan(value) else value
    for key, value in dataclasses.asdict(estimate).items()
  }
