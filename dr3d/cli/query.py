"""`dr3d query`: which models of the database are these files?"""

import dataclasses
import json
import sys
from typing import Any

from dr3d import table
from dr3d.cli import report
from dr3d.cli.verb import Flag, Verb
from dr3d.error import Dr3dError


def run(flags: Any, files: list[str]) -> int:
  """Answers for each file; one that fails does not stop the others."""
  from dr3d.folder import to_text
  from dr3d.mesh import load_mesh
  from dr3d.search.database import Database

  database = Database.open(flags.db)
  database.gallery  # noqa: B018  what is wrong with it is told once
  face_budget = database.pipeline.face_budget
  entries: list[dict[str, Any]] = []
  with report.progress(len(files), "asking") as progress:
    for done, file in enumerate(files, start=1):
      entry: dict[str, Any] = {"query": to_text(file)}
      try:
        mesh = load_mesh(file, face_budget=face_budget)
        answer = database.query(mesh, k=flags.k)
      except Dr3dError as error:
        entry["error"] = to_text(str(error))
        report.tell(f"dr3d: {entry['error']}")
      else:
        entry |= dataclasses.asdict(answer)
      entries.append(entry)
      progress(done, len(files))
      if not flags.json and "error" not in entry:
        report.answer(format_entry(entry))
  if flags.json:
    json.dump(entries, sys.stdout, indent=2)
    print()
  return int(any("error" in entry for entry in entries))


def format_entry(entry: dict[str, Any]) -> str:
  """An answer as a table for a person."""
  prediction = entry["prediction"]
  share = f"{prediction['confidence']:.0%} of the votes"
  trust = "reliable" if prediction["reliable"] else "not reliable"
  label = prediction["label"] or "no label"
  rows = [
    (
      str(match["rank"]),
      match["model"],
      match["label"] or "-",
      f"{match['score']:.3f}",
      str(match["votes"]),
    )
    for match in entry["matches"]
  ]
  lines = table.format_table(
    ("rank", "model", "label", "score", "votes"), rows, right=(0, 3, 4)
  )
  return f"{entry['query']}: {label} ({share}, {trust})\n{lines}\n"


VERB = Verb(
  name="query",
  summary="Tell which models of a database the given mesh files look like.",
  details="""
    Each picture of a file votes for the model with the picture most like it;
    the label with most votes is the prediction. The score is the mean
    likeness of the pictures, at most 1.

    With --json, stdout is one JSON document: a list with, for each file,
    query, prediction {label, confidence, reliable} and matches [{rank, model,
    label, score, votes}]; a file that failed has error instead. The exit
    status is 0 where every file was answered and 1 where one failed.
  """,
  example="""
    dr3d query --db=parts.db scan.stl
    dr3d query --db=parts.db --k=3 --json *.stl > answers.json
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("k", "Matches for each file.", "N", 10, "integer", least=1),
    Flag("json", "Print JSON.", kind="switch"),
  ),
  files="FILE...",
  run=run,
)
