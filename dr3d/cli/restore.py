"""`dr3d restore`: make a database of a backup."""

import pathlib

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Restores the backup."""
  del files
  argument.check_directory(flags.backup)
  from dr3d.database.backup import restore

  backup = restore(pathlib.Path(flags.backup), pathlib.Path(flags.db))
  print(
    f"{flags.db}: {backup.searchable} models to search, as of {backup.time}."
  )
  return 0


SUBCOMMAND = Subcommand(
  name="restore",
  summary="Make a database of a backup, after checking all of it.",
  details="""
    Reads the backup, compares every file, row, mesh and vector with the digest
    that was stored with it, and then makes the database. A damaged backup makes
    none. Uploads that waited to be indexed are indexed when a service starts.
  """,
  example="""
    dr3d restore --backup=backup/monday --db=restored.db
  """,
  flags=(
    Flag("backup", "Folder that dr3d backup wrote.", "DIR", required=True),
    Flag("db", "Folder of the database; must not exist.", "DIR", required=True),
  ),
  run=run,
)
