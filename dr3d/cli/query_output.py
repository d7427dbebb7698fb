"""What `dr3d query` prints: a table, JSON or CSV, and an image of pairs."""

import csv
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from dr3d.cli import console
from dr3d.runtime.text import escape_row

if TYPE_CHECKING:
  from dr3d.database.writer import Database
  from dr3d.evaluation.report.sheet import Row
  from dr3d.image.cutout import CutOut
  from dr3d.mesh.mesh import Mesh
  from dr3d.retrieval.pipeline import Pipeline
  from dr3d.search.answer import Answer, Match, Prediction
  from dr3d.search.size import QuerySize, UnitQuestion

REJECT_REASONS = {
  "ambiguous": "models of other labels are nearly as similar",
  "unknown": "the label may be missing in the database",
  "unverified": "the service could not register the matches; ask again",
  "unlabelled": "no vote went to a model with a label",
}
COLUMNS = (
  "query",
  "prediction",
  "confidence",
  "probability",
  "accepted",
  "reject_reason",
  "rank",
  "model",
  "label",
  "score",
  "votes",
  "query_view",
  "view",
  "length",
  "width",
  "height",
  "x",
  "y",
  "z",
  "side_1",
  "side_2",
  "side_3",
  "scale",
  "distance",
  "deviation",
  "mirrored",
  "same",
  "difference",
  "error",
)
"""Of the CSV output."""
UNIT_NAMES = {
  "mm": "millimetres",
  "cm": "centimetres",
  "m": "metres",
  "inch": "inches",
  "foot": "feet",
  "micron": "micrometres",
}
MAX_PROBABILITY = 0.999  # estimated from some hundred queries: none is certain
PAIRED_MATCHES = 3  # shown for each file in the image of pairs
PAIR_SIZE = 128  # height and width of a view in it, pixels
# A smaller difference of sizes is not mentioned: no scan measures it.
MIN_SCALE_DIFFERENCE = 0.02


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The answer to a file, or the reason why there is none.

  Attributes:
    query: the file.
    answer: None if the file failed.
    error: empty if it did not.
  """

  query: str
  answer: "Answer | None" = None
  error: str = ""


class Writer:
  """Writes outcomes in the chosen format.

  Attributes:
    failed: whether a file failed.
  """

  def __init__(self, *, json: bool, csv: bool, pairs: str | None):
    """Makes a writer.

    Args:
      json: print one JSON document at the end.
      csv: print CSV at the end; with neither, print a table for each file.
      pairs: image to write at the end.
    """
    self._json, self._csv, self._pairs = json, csv, pairs
    self._entries: list[dict[str, Any]] = []
    self._rows: list[Row] = []
    self.failed = False

  def add(self, outcome: Outcome) -> None:
    """Prints an outcome, or keeps it for the end."""
    from dr3d.data.folder import to_text

    query = to_text(outcome.query)
    if outcome.answer is None:
      error = to_text(outcome.error)
      console.print_error(f"dr3d: {error}")
      self._entries.append({"query": query, "error": error})
      self.failed = True
      return
    self._entries.append({"query": query, **dataclasses.asdict(outcome.answer)})
    if not self._json and not self._csv:
      console.print_answer(format_answer(query, outcome.answer))

  def draw_pairs(
    self, database: "Database", mesh: "Mesh", file: str, answer: "Answer"
  ) -> None:
    """Draws a file beside its matches, if --pairs is given."""
    if self._pairs:
      self._rows.append(draw_row(database, mesh, file, answer))

  def draw_photo_pairs(
    self,
    database: "Database",
    cutouts: "Sequence[CutOut]",
    name: str,
    answer: "Answer",
  ) -> None:
    """Draws photographs beside their matches, if --pairs is given."""
    if self._pairs:
      self._rows.append(draw_photo_row(database, cutouts, name, answer))

  def finish(self) -> None:
    """Prints the JSON or CSV document and writes the image of pairs."""
    if self._json:
      json.dump(self._entries, sys.stdout, indent=2)
      print()
    if self._csv:
      write_csv(self._entries)
    if self._rows and self._pairs:
      from dr3d.evaluation.report import sheet

      image = sheet.draw_answers(self._rows, views=3)
      sheet.save(image, pathlib.Path(self._pairs))


def draw_row(
  database: "Database", mesh: "Mesh", file: str, answer: "Answer"
) -> "Row":
  """Renders a query, and the most similar pair of views of each match."""
  import numpy as np

  from dr3d.evaluation.report import sheet
  from dr3d.mesh.packing import unpack_mesh

  pipeline = sheet.with_white_light(cast("Pipeline", database.pipeline))
  images = sheet.render_preview(pipeline, mesh, size=PAIR_SIZE)
  matches = answer.matches[:PAIRED_MATCHES]
  shapes = database.load_shapes([match.model for match in matches])
  rendered = []
  for match in matches:
    if match.model in shapes:
      other = unpack_mesh(shapes[match.model].mesh)
      views = sheet.render_preview(pipeline, other, size=PAIR_SIZE)
      pair = np.stack([images[match.query_view - 1], views[match.view - 1]])
      rendered.append(sheet.RenderedMatch(match, pair))
  return sheet.Row(file, images, rendered, prediction=answer.prediction)


def draw_photo_row(
  database: "Database",
  cutouts: "Sequence[CutOut]",
  name: str,
  answer: "Answer",
) -> "Row":
  """Draws what was cut out, and the most similar view of each match."""
  import numpy as np

  from dr3d.evaluation.report import sheet
  from dr3d.mesh.packing import unpack_mesh
  from dr3d.retrieval.photo import encoder

  images = np.concatenate([cut.turn(PAIR_SIZE, count=1) for cut in cutouts])
  pipeline = encoder.load_encoder()
  matches = answer.matches[:PAIRED_MATCHES]
  shapes = database.load_shapes([match.model for match in matches])
  rendered = []
  for match in matches:
    if match.model in shapes:
      mesh = unpack_mesh(shapes[match.model].mesh)
      view = encoder.draw_view(pipeline, mesh, match.view - 1, size=PAIR_SIZE)
      pair = np.stack([images[match.query_view - 1], view])
      rendered.append(sheet.RenderedMatch(match, pair))
  return sheet.Row(name, images, rendered, prediction=answer.prediction)


def format_answer(query: str, answer: "Answer") -> str:
  """Formats an answer as a table for a person."""
  lines = [f"{query}: {describe_prediction(answer.prediction)}"]
  if answer.size is not None:
    lines.append(f"  {describe_size(answer.size)}")
  lines += [f"  {note}" for note in answer.notes]
  if answer.unit_question is not None:
    lines.append(f"  {describe_question(answer.unit_question, answer.size)}")
  if answer.matches:
    lines.append(format_matches(answer.matches))
  elif answer.misses:
    lines[0] = f"{query}: no model has this size."
    lines += [
      "  These look like it, the nearest size first; --size=prefer or a larger"
      " --tolerance finds them:",
      format_matches(answer.misses),
    ]
  else:
    lines[0] = f"{query}: no model meets the conditions."
  return "\n".join(lines) + "\n"


def format_matches(matches: "Sequence[Match]") -> str:
  """Formats matches as a table."""
  from dr3d.evaluation.report import table

  rows = [
    (
      str(match.rank),
      match.model,
      match.label or "-",
      f"{match.score:.3f}",
      str(match.votes),
      "-" if match.distance is None else f"{100 * match.distance:.1f}%",
      "-" if match.deviation is None else f"{match.deviation:.2g}",
      format_sides(match.box or match.extent),
      describe_match(match),
    )
    for match in matches
  ]
  header = ("rank", "model", "label", "score", "votes", "distance", "in mm")
  return table.format_table(
    (*header, "size in mm", "note"), rows, right=(0, 3, 4, 5, 6)
  )


def format_sides(sides: "Sequence[float] | None") -> str:
  """Formats the sides of a box, millimetres."""
  return " x ".join(f"{side:.4g}" for side in sides or ())


def describe_size(size: "QuerySize") -> str:
  """Returns the size of a file and its unit, in one line."""
  drawn, smallest = size.box or size.extent, size.smallest_box
  text = f"size {format_sides(drawn)} mm"
  text += " as drawn" if size.box else " along the principal axes"
  if smallest and any(
    abs(one - two) > MIN_SCALE_DIFFERENCE * smallest[0]
    for one, two in zip(sorted(drawn), sorted(smallest), strict=True)
  ):
    text += f", smallest box {format_sides(smallest)} mm"
  text += f" (unit {size.unit}"
  if not size.unit_stated:
    text += "; --unit=NAME states it"
  return f"{text})"


def describe_question(
  question: "UnitQuestion", size: "QuerySize | None"
) -> str:
  """Returns the doubt whether the unit of a file is right, in one line."""
  factor = question.factor
  times, what = (factor, "as large") if factor > 1 else (1 / factor, "as small")
  text = f"{question.model} has this shape and is {times:.4g} times {what}: "
  if not question.unit:
    return f"{text}is the unit right?"
  text += f"the file may be in {UNIT_NAMES[question.unit]}"
  if size is not None and size.unit_stated and size.unit in UNIT_NAMES:
    return f"{text}, although it states {UNIT_NAMES[size.unit]}."
  return f"{text}; if so, ask again with --unit={question.unit}."


def describe_prediction(prediction: "Prediction") -> str:
  """Returns the label, its votes and whether it is accepted, in one line."""
  votes = f"{prediction.confidence:.0%} of the votes"
  if not prediction.label:
    name = prediction.model or "no label"
    return f"{name} ({votes}; {REJECT_REASONS['unlabelled']})"
  verdict = "accepted"
  if not prediction.accepted:
    reason = prediction.reject_reason
    verdict = f"rejected as {reason}: {REJECT_REASONS[reason]}"
  probability = format_probability(prediction.probability)
  return f"{prediction.label} ({votes}, probability {probability}, {verdict})"


def format_probability(probability: float) -> str:
  """Formats an estimated probability, which is never certain."""
  if probability > MAX_PROBABILITY:
    return f"> {MAX_PROBABILITY:.1%}"
  if probability < 1 - MAX_PROBABILITY:
    return f"< {1 - MAX_PROBABILITY:.1%}"
  digits = 1 if probability > 0.99 else 0
  return f"{probability:.{digits}%}"


def describe_match(match: "Match") -> str:
  """Returns what the registration has shown, in a few words."""
  words = []
  if match.same:
    words.append("mirrored" if match.mirrored else "same shape")
  if match.scale is not None and abs(match.scale - 1) > MIN_SCALE_DIFFERENCE:
    words.append(f"{match.scale:.3g} times its size")
  elif match.scale is not None and match.distance is not None:
    words.append("same size")
  return ", ".join(words)


def write_csv(entries: list[dict[str, Any]]) -> None:
  """Prints one row for each match, or one for a file without matches."""
  from dr3d.search.answer import BOXES

  writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
  writer.writeheader()
  for entry in entries:
    row = {"query": entry["query"], "error": entry.get("error", "")}
    if "prediction" in entry:
      row |= entry["prediction"]
      label, model = row.pop("label"), row.pop("model")
      row["prediction"] = label or model
    for match in entry.get("matches") or [{}]:
      match = dict(match)
      for field, names in BOXES.items():
        sides = match.pop(field, None) or ("", "", "")
        match |= dict(zip(names, sides, strict=True))
      cells = {**row, **match}
      writer.writerow(escape_row(cells))
