"""`dr3d backup`: copy a database while it is in use."""

import pathlib

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.database import shared


def run(flags: FlagValues, files: list[str]) -> int:
  """Makes the backup."""
  del files
  argument.check_database(flags.db)
  from dr3d.database.backup import back_up

  backup = back_up(shared.find_directory(flags.db), pathlib.Path(flags.out))
  print(
    f"{flags.out}: {backup.searchable} models to search, vectors of generation"
    f" {backup.generation}, {backup.byte_count / 1e6:.1f} MB."
  )
  return 0


SUBCOMMAND = Subcommand(
  name="backup",
  summary="Copy a database while it is in use.",
  details="""
    The copy is of one moment: every model that was accepted before the command
    began is in it, with its vectors and file. It appears when it is complete.
    A copy by other means can lack models or files, or be damaged.

    dr3d restore makes a database of it. Models that are removed later stay in
    the backup.
  """,
  example="""
    dr3d backup --db=parts.db --out=backup/monday
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("out", "Folder of the backup; must not exist.", "DIR", required=True),
  ),
  run=run,
)
