"""`dr3d migrate`: convert a database of a former version."""

import pathlib

from dr3d.cli import argument, console
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Converts the database."""
  del files
  argument.check_directory(flags.db)
  from dr3d.database import catalogue, sqlite_file
  from dr3d.database.migration import migrate

  directory = pathlib.Path(flags.db)
  with catalogue.open_catalogue(directory, any_format=True) as connection:
    count = sum(catalogue.count_states(connection).values())
  with sqlite_file.writer_lock(directory):
    before = migrate(directory)
  if before == catalogue.FORMAT:
    print(f"{directory} has format {before} already.")
    return 0
  print(
    f"{directory}: {count} models, from format {before} to {catalogue.FORMAT}."
  )
  if before <= 2:
    console.print_error(
      "dr3d: the former version measured less of a model; dr3d index reads the"
      " files again."
    )
  return 0


SUBCOMMAND = Subcommand(
  name="migrate",
  summary="Convert a database of a former version; no model is lost.",
  details="""
    Formats 1 and 2 were written before version 0.1, format 3 by version 0.1.
    Format 3 can be searched as it is, and the first change converts it. Former
    versions cannot open the result, so make a backup first.
  """,
  example="""
    dr3d migrate --db=parts.db
  """,
  flags=(Flag("db", "Folder of the database.", "DIR", required=True),),
  run=run,
)
