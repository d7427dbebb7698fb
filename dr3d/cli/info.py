"""`dr3d info`: the contents of a database."""

import json
import pathlib
import sys
from typing import TYPE_CHECKING

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.error import Dr3dError
from dr3d.runtime.text import neutralize

if TYPE_CHECKING:
  from dr3d.database.writer import Database

MAP_SUFFIXES = (".svg",)


def run(flags: FlagValues, files: list[str]) -> int:
  """Prints the states of the models, failures and the recall of the index."""
  del files
  if flags.map:
    argument.check_suffix("info", "map", flags.map, MAP_SUFFIXES)
  argument.check_database(flags.db)
  from dr3d.database.writer import Database
  from dr3d.evaluation.report import table

  database = Database.open(flags.db)
  info = database.inspect()
  if flags.map:
    write_map(database, pathlib.Path(flags.map))
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


def write_map(database: "Database", path: pathlib.Path) -> None:
  """Writes a map of the vectors of all models.

  Raises:
    Dr3dError: no model is indexed, or the file cannot be written.
  """
  from dr3d.evaluation.report.embedding_map import draw_map
  from dr3d.search.embedding_map import make_map

  text = draw_map(make_map(database.gallery))
  try:
    path.write_text(text, encoding="utf-8")
  except OSError as error:
    raise Dr3dError(f"{path} cannot be written ({error.strerror}).") from error
  print(f"{path}: a map of the models by their vectors", file=sys.stderr)


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

    --map draws the models as points, near each other if they look alike to the
    network, coloured by label. It shows whether a database separates its
    labels, before anything is asked of it. The axes are the two directions in
    which the vectors differ most; the picture says how much of the differences
    they show.

    With --json, stdout is one JSON document with these keys, and failures, a
    list of {model, reason}.
  """,
  example="""
    dr3d info --db=parts.db
    dr3d info --db=parts.db --json
    dr3d info --db=parts.db --map=map.svg
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("json", "Print JSON.", kind="switch"),
    Flag("map", "Picture of the vectors to write.", "FILE.svg"),
  ),
  run=run,
)
