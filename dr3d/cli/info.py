"""`dr3d info`: the contents of a database."""

import json
import sys

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.runtime.text import neutralize


def run(flags: FlagValues, files: list[str]) -> int:
  """Prints the states of the models, failures and the recall of the index."""
  del files
  argument.check_database(flags.db)
  from dr3d.database.writer import Database
  from dr3d.evaluation.report import table

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
      print(neutralize(f"  {failure['reason']}"))
  return 0


SUBCOMMAND = Subcommand(
  name="info",
  summary="Show the contents of a database, failed files and search quality.",
  details="""
    The first rows count the models in each state:

      indexed   can be searched
      failed    could not be read; the reasons are listed below the table
      missing   had no file when dr3d index last read the folder
      outdated  have vectors of a former pipeline

    recall is the share of the 10 nearest vectors that the index finds, measured
    on a sample of stored vectors; it is 1 for exact search.

    vote and accepted describe the answers to expect. Up to 256 models are
    queried against all others: vote is the share with the right label, accepted
    the share whose prediction is accepted by votes alone. dr3d query also
    verifies matches by registration and accepts more.

    With --json, stdout is one JSON document with these keys, and failures, a
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
