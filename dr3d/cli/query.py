"""`dr3d query`: which models of the database are these files?"""

import csv
import dataclasses
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from dr3d.cli import report
from dr3d.cli.reader_flags import UNIT
from dr3d.cli.subcommand import Flag, Subcommand, UsageError, read_pairs
from dr3d.error import Dr3dError
from dr3d.evaluation.report import table
from dr3d.registration.relation import VERIFIED_COUNT

if TYPE_CHECKING:
  from collections.abc import Iterator

  from dr3d.database.condition import Condition
  from dr3d.database.writer import Database
  from dr3d.search.answer import Answer

REJECT_REASONS = {
  "ambiguous": "models of other labels are nearly as near",
  "unknown": "models whose own label is missing come as near",
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
  "scale",
  "distance",
  "mirrored",
  "same",
  "difference",
  "error",
)
REFINED = 20  # matches, where --refine does not say


def run(flags: Any, files: list[str]) -> int:
  """Answers for each file; one that fails does not stop the others."""
  if flags.json and flags.csv:
    raise UsageError("query: --json and --csv exclude each other.")
  if (flags.db is None) == (flags.server is None):
    raise UsageError(
      "query: give --db=DIR or --server=URL; see dr3d query --help."
    )
  if flags.server is not None and flags.pairs:
    raise UsageError(
      "query: --pairs needs --db; the page of the server shows the pairs."
    )
  if flags.server is not None and flags.refine is not None:
    raise UsageError(
      "query: --refine needs --db; a server does not lay parts upon each other."
    )
  from dr3d.data.folder import to_text

  rows: list[Any] = []
  if flags.server is not None:
    answers = ask_server(flags, files)
  else:
    answers = ask_database(flags, files, rows)
  entries: list[dict[str, Any]] = []
  with report.progress(len(files), "asking") as progress:
    for done, (file, answer) in enumerate(
      zip(files, answers, strict=True), start=1
    ):
      entry: dict[str, Any] = {"query": to_text(file)}
      if isinstance(answer, Dr3dError):
        entry["error"] = to_text(str(answer))
        report.tell(f"dr3d: {entry['error']}")
      else:
        entry |= dataclasses.asdict(answer)
      entries.append(entry)
      progress(done, len(files))
      if not flags.json and not flags.csv and "error" not in entry:
        report.answer(format_entry(entry))
  if flags.json:
    json.dump(entries, sys.stdout, indent=2)
    print()
  if flags.csv:
    write_csv(entries)
  if rows:
    from dr3d.evaluation.report import sheet

    sheet.save(sheet.draw_answers(rows, views=3), pathlib.Path(flags.pairs))
  return int(any("error" in entry for entry in entries))


def ask_database(
  flags: Any, files: list[str], rows: list[Any]
) -> "Iterator[Answer | Dr3dError]":
  """Yields the answer to each file, or why there is none.

  Args:
    flags: of the verb.
    files: the files.
    rows: is given a row of pictures for each answer, if --pairs wants it.
  """
  condition = make_condition(flags)
  refined = read_refined(flags.refine)
  from dr3d.database.file_reader import FileReader
  from dr3d.database.writer import Database
  from dr3d.runtime.pool import WorkerError

  database = Database.open(flags.db)
  # The first files are read while jax and the pipeline are loaded.
  results = FileReader(jobs=1).read(
    [pathlib.Path(file) for file in files],
    face_budget=database.face_budget,
    unit=flags.unit or database.unit,
  )
  database.gallery  # noqa: B018  what is wrong with it is told once
  database.pipeline  # noqa: B018
  for file, result in zip(files, results, strict=True):
    if isinstance(result, WorkerError):
      yield Dr3dError(f"{file} {result}.")
    elif isinstance(result, Dr3dError):
      yield result
    else:
      try:
        answer = database.query(
          result.mesh,
          k=flags.k,
          condition=condition,
          min_score=flags.min_score,
          refine=refined,
          verify=flags.verify,
        )
      except Dr3dError as error:
        yield error
      else:
        if flags.pairs:
          rows.append(draw_row(database, result.mesh, file, answer))
        yield answer


def ask_server(flags: Any, files: list[str]) -> "Iterator[Answer | Dr3dError]":
  """Yields the answer of a service to each file, or why there is none.

  Raises:
    ServiceError: the service cannot be reached.
  """
  condition = make_condition(flags)
  from dr3d.client import Client
  from dr3d.error import ServiceError

  with Client(flags.server) as client:
    for file in files:
      try:
        yield client.query(
          file,
          k=flags.k,
          condition=condition,
          min_score=flags.min_score,
          verify=flags.verify,
          unit=flags.unit,
        )
      except ServiceError as error:
        if error.status is None:
          raise  # the next file would fare no better
        reason = str(error)
        name = pathlib.Path(file).name
        if reason.startswith(name):  # the service does not know its folder
          yield Dr3dError(f"{file}{reason.removeprefix(name)}")
        else:
          yield Dr3dError(f"{file}: {reason}")
      except Dr3dError as error:
        yield error


def make_condition(flags: Any) -> "Condition":
  """Which models the flags choose.

  Raises:
    UsageError: a flag has no value that it can have.
  """
  from dr3d.database.condition import TOLERANCE, Condition

  same_size = None
  if flags.same_size is not None:
    try:
      same_size = float(flags.same_size or TOLERANCE)
    except ValueError:
      same_size = -1.0
    if not 0 < same_size < 1:
      raise UsageError(
        "query: --same-size takes a share between 0 and 1, not"
        f" {flags.same_size!r}; see dr3d query --help."
      )
  return Condition(
    labels=flags.label or (),
    where=read_pairs("query", "where", flags.where),
    same_size=same_size,
  )


def read_refined(text: str | None) -> int:
  """How many matches are refined: 0 without the flag.

  Raises:
    UsageError: the flag has no value that it can have.
  """
  if text is None:
    return 0
  if text and not (text.isascii() and text.isdigit() and int(text)):
    raise UsageError(
      "query: --refine takes a whole number of matches, 1 or more, not"
      f" {text!r}; see dr3d query --help."
    )
  return int(text or REFINED)


def draw_row(database: "Database", mesh: Any, file: str, answer: Any) -> Any:
  """A row of pictures: the query, and of each match the pair of views."""
  import numpy as np

  from dr3d.evaluation.report import sheet
  from dr3d.mesh.packing import unpack_mesh

  pipeline: Any = sheet.with_white_light(database.pipeline)  # type: ignore[arg-type]
  images = sheet.render_preview(pipeline, mesh, size=128)
  best = answer.matches[:3]
  shapes = database.load_shapes([match.model for match in best])
  shown = []
  for match in best:
    if match.model in shapes:
      other = unpack_mesh(shapes[match.model].mesh)
      views = sheet.render_preview(pipeline, other, size=128)
      pair = np.stack([images[match.query_view - 1], views[match.view - 1]])
      shown.append(sheet.RenderedMatch(match, pair))
  return sheet.Row(file, images, shown)


def format_entry(entry: dict[str, Any]) -> str:
  """An answer as a table for a person."""
  prediction = entry["prediction"]
  label = prediction["label"] or "no label"
  known = f"{prediction['confidence']:.0%} of the votes"
  if prediction["label"]:
    known += f", {prediction['probability']:.0%} likely, "
    reject_reason = REJECT_REASONS.get(prediction["reject_reason"])
    known += f"not reliable: {reject_reason}" if reject_reason else "accepted"
  rows = [
    (
      str(match["rank"]),
      match["model"],
      match["label"] or "-",
      f"{match['score']:.3f}",
      str(match["votes"]),
      "-" if match["distance"] is None else f"{100 * match['distance']:.1f}",
      " x ".join(f"{side:.4g}" for side in match["extent"] or ()),
      describe(match),
    )
    for match in entry["matches"]
  ]
  if not rows:
    return f"{entry['query']}: no match: no model meets the conditions.\n"
  lines = table.format_table(
    (
      "rank",
      "model",
      "label",
      "score",
      "votes",
      "apart",
      "size in mm",
      "remark",
    ),
    rows,
    right=(0, 3, 4, 5),
  )
  return f"{entry['query']}: {label} ({known})\n{lines}\n"


def describe(match: dict[str, Any]) -> str:
  """What laying the match upon the query has shown, in a few words."""
  if not match["same"]:
    return ""
  words = ["mirrored" if match["mirrored"] else "same shape"]
  if abs(match["scale"] - 1) > 0.01:
    words.append(f"{match['scale']:.3g} times as large")
  return ", ".join(words)


def write_csv(entries: list[dict[str, Any]]) -> None:
  """Prints a line a match; a file without a match has one line."""
  writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
  writer.writeheader()
  for entry in entries:
    row = {"query": entry["query"], "error": entry.get("error", "")}
    if "prediction" in entry:
      row |= entry["prediction"]
      row["prediction"] = row.pop("label")
    for match in entry.get("matches") or [{}]:
      match = dict(match)
      sides = match.pop("extent", None) or ("", "", "")
      names = ("length", "width", "height")
      writer.writerow({**row, **match, **dict(zip(names, sides, strict=True))})


SUBCOMMAND = Subcommand(
  name="query",
  summary="Tell which models of a database the given mesh files look like.",
  details="""
    Each picture of a file votes for the model with the picture most like it;
    the label with most votes is the prediction. Models are ranked by their
    score, the mean likeness of the pictures, at most 1. How likely the
    prediction is right the database has learned by asking for its own models.
    It is called reliable where it is so likely that 99 of 100 such predictions
    are right, and where the file comes nearer to the models of the label, by
    the measure of how near these come to each other, than nine in ten of the
    models that are asked for without their label: a part of a kind that the
    database lacks comes as near as those.

    The models that score highest are also laid upon the file, as they are and
    mirrored, at one size. What comes close moves to the front, and its label is
    the surer for it. apart is how far their surfaces are apart, on the mean, in
    hundredths of the radius of the smallest sphere about them; the remark tells
    where the shape is the same, and its scale.

    With --refine, after that, the first matches are laid upon the file at more
    angles, and the three that fit best are drawn beside it from six sides,
    turned, moved and scaled until the pictures agree; then they are put in the
    order of both. With --same-size they are compared at their true sizes. That
    takes about a second.

    With --json, stdout is one JSON document: a list with, for each file,
    query, prediction {label, confidence, probability, reliable, doubt} and
    matches [{rank, model, label, score, votes, query_view, view, extent, scale,
    distance, mirrored, same, difference}]; a file that failed has error
    instead.
    query_view and view are the numbers of the two views that are most alike,
    extent is in mm. The exit status is 0 where every file was answered and 1
    where one failed.
  """,
  example="""
    dr3d query --db=parts.db scan.stl
    dr3d query --db=parts.db --k=3 --json *.stl > answers.json
    dr3d query --db=parts.db scan.stl --label=bolt,screw --same-size
    dr3d query --db=parts.db scan.stl --refine --k=3
    dr3d query --server=http://127.0.0.1:8000 scan.stl
    dr3d query --db=parts.db scan.stl --where=material=steel --pairs=pairs.png
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR"),
    Flag(
      "server",
      "Address of a dr3d serve that answers instead of a database here, such"
      " as http://127.0.0.1:8000; neither jax nor the database is needed.",
      "URL",
    ),
    Flag("k", "Matches for each file.", "N", 10, "integer", least=1),
    Flag("label", "Search only models of these labels.", "L,...", kind="names"),
    Flag(
      "where",
      "Search only models with this metadata: columns of the table of dr3d"
      " index --labels, or what dr3d add --set said. Of a key that comes twice"
      " either value will do.",
      "KEY=VALUE,...",
      kind="names",
    ),
    Flag("min-score", "Leave out matches of a lower score.", "S", -1, "number"),
    Flag(
      "same-size",
      "Search only models whose true sizes along the principal axes are those"
      " of the file, within this share of its longest; without a value 0.05.",
      "SHARE",
      kind="optional",
    ),
    UNIT,
    Flag(
      "refine",
      "Order so many first matches by how well the file fits upon them;"
      f" without a value {REFINED}.",
      "K",
      kind="optional",
    ),
    Flag(
      "verify",
      "Matches that are laid upon the file.",
      "N",
      VERIFIED_COUNT,
      "integer",
      least=0,
    ),
    Flag("json", "Print JSON.", kind="switch"),
    Flag("csv", "Print a table with commas, a line a match.", kind="switch"),
    Flag(
      "pairs",
      "Picture to write: each file, and the pairs of views that matched.",
      "FILE.png",
    ),
  ),
  files="FILE...",
  run=run,
)
