"""An evaluation as text: its protocol, a table of means, JSON."""

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
"""Measures of the predictions. vote: share of queries whose predicted label is
right. accepted: share of predictions that are accepted. right: share of right
ones among these. false_accept: the false-accept rate, share of predictions that
would be accepted if the gallery held no model of the query's class."""
HEADINGS = {"right": "right of accepted", "false_accept": "false-accept rate"}
"""Headings that say more than the measure's name, where there is room."""
LISTED_COUNT = 20  # false accepts listed by name; JSON holds all


def describe_protocol(evaluation: Evaluation, *, name: str) -> str:
  """Says in one line all that is needed to repeat the evaluation.

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
      f"; verified: the first {config.verify} models registered with each query"
      if config.verify
      else ""
    ),
    "of equally similar models the wrong one ranks first",
    f"{average.LEVEL:.0%} intervals by {average.RESAMPLES} resamplings of the"
    " queries",
  ]
  if evaluation.single:
    parts.insert(
      2,
      f"{evaluation.single} left out as queries: no other model of their class",
    )
  if evaluation.unlabelled:
    parts.insert(2, f"{evaluation.unlabelled} left out: no label")
  if evaluation.failures:
    parts.insert(2, f"{len(evaluation.failures)} left out: not readable")
  return "Protocol: " + "; ".join(parts) + "."


def describe_leaks(evaluation: Evaluation) -> str:
  """Says in one line which models are on both sides, with an example."""
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
  """Averages all measures of a result.

  Args:
    result: of Q queries.
    task: whose result it is.
    target_precision: share of the accepted predictions that are to be right.
    draws: [S, Q], from `average.resample`.

  Returns:
    The means by the name of the measure.
  """
  classes = np.array(task.query_labels)
  right = result.known.right
  means = {
    name: average.average(values, classes, draws)
    for name, values in result.measures.items()
  }
  accepted, false_accept = accept(
    result, task, target_precision=target_precision
  )
  means["vote"] = average.average(right, classes, draws)
  means["accepted"] = average.average(accepted, classes, draws)
  means["right"] = average.average(right, classes, draws, weights=accepted)
  means["false_accept"] = average.average(false_accept, classes, draws)
  return means


def summarize_all(evaluation: Evaluation) -> list[dict[str, Means]]:
  """Averages each result, all over the same resamplings."""
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
  """Formats the means in percent, their intervals below them."""
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
  """Lists the first method's predictions that are accepted and wrong.

  Takes the search that is most like `dr3d query`: verified, then exact.
  """
  method = evaluation.results[0].method
  result = max(
    (each for each in evaluation.results if each.method == method),
    key=lambda each: (APPROXIMATE, EXACT, VERIFIED).index(each.search),
  )
  false_accepts = list_false_accepts(evaluation, result)
  what = f"by {result.method}, {result.search}"
  if not false_accepts:
    return f"False accepts {what}: none."
  rows = [
    (
      each.query,
      each.prediction,
      "-" if each.distance is None else f"{100 * each.distance:.1f}",
      each.model,
    )
    for each in false_accepts[:LISTED_COUNT]
  ]
  header = ("query", "taken for", "distance", "first match of that class")
  lines = [
    f"False accepts {what}: {len(false_accepts)}; distance of the surfaces in"
    " % of the radius.",
    format_table(header, rows, right=[2]),
  ]
  near = sum(
    each.distance is not None and each.distance <= NEAR
    for each in false_accepts
  )
  if near:
    lines.append(
      f"{near} within {100 * NEAR:.1f}, which is the same shape: check their"
      " labels."
    )
  if len(false_accepts) > LISTED_COUNT:
    lines.insert(
      2, f"  ... and {len(false_accepts) - LISTED_COUNT} more, see --json."
    )
  return "\n".join(lines)


def list_false_accepts(
  evaluation: Evaluation, result: MethodResult
) -> list[FalseAccept]:
  """Finds the predictions of a result that are accepted and wrong."""
  return find_false_accepts(
    result, evaluation.task, target_precision=evaluation.config.target_precision
  )


def format_value(estimate: Estimate) -> str:
  """Formats a share in percent, or a dash if there is none."""
  return "-" if math.isnan(estimate.value) else f"{100 * estimate.value:.1f}"


def format_interval(estimate: Estimate) -> str:
  """Formats an interval in percent, or nothing if there is none."""
  if math.isnan(estimate.value):
    return ""
  return f"{100 * estimate.low:.1f}-{100 * estimate.high:.1f}"


def to_values(
  evaluation: Evaluation, means: list[dict[str, Means]], *, name: str
) -> dict[str, Any]:
  """Converts an evaluation to plain values for JSON: shares, not percent."""
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
          dataclasses.asdict(each)
          for each in list_false_accepts(evaluation, result)
        ],
      }
      for result, several in zip(evaluation.results, means, strict=True)
    ],
  }


def _to_plain(estimate: Estimate) -> dict[str, float | None]:
  """Replaces NaN, which JSON does not have, by None."""
  return {
    key: None if math.isnan(value) else value
    for key, value in dataclasses.asdict(estimate).items()
  }
