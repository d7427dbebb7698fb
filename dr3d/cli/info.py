"""`dr3d info`: what a database holds."""

import json
import sys
from typing import Any

from dr3d.cli.subcommand import Flag, Subcommand
from dr3d.evaluation.report import table


def run(flags: Any, files: list[str]) -> int:
  """Prints states, failures and the recall of the index."""
  del files
  from dr3d.database.writer import Database

  info = Database.open(flags.db).inspect()
  if flags.json:
    json.dump(info, sys.stdout, indent=2)
    print()
    return 0
  failures = info.pop("failures")
  info["size"] = f"{info.pop('bytes') / 1e6:.1f} MB"
  rows = [
    (name, "-" if value is None else str(value)) for name, value in info.items()
  ]
  print(table.format_table(("database", flags.db), rows))
  if failures:
    print("\nFailed:")
    for failure in failures:
      print(f"  {failure['reason']}")
  return 0


SUBCOMMAND = Subcommand(
  name="info",
  summary="Tell what a database holds, what failed, and how well it searches.",
  details="""
    indexed models are searched. failed ones could not be read, for the reason
    that is listed. missing ones had no file when the folder was last looked
    at. outdated ones have vectors of a former pipeline. recall is the share of
    the 10 nearest vectors that the index finds, measured with some of the
    stored vectors; 1 where the search is exact. vote and reliable tell what to
    expect of answers: of up to 256 of its models, each asked for among the
    others, the share whose label is told rightly, and the share whose answer is
    reliable by votes alone; what is laid upon a query makes more so.

    With --json, stdout is one JSON document with these keys and failures, a
    list of {model, reason}.
  """,
  example="""
    dr3d info --db=parts.db
    dr3d info --db=parts.db --json
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("json", "Print JSON.", kind="switch"),
  ),
  run=run,
)
