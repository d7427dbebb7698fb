"""`dr3d remove`: remove models from a database."""

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Removes the models."""
  argument.check_database(flags.db)
  from dr3d.database import catalogue
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  database.remove(files, purge=flags.purge)
  searchable = database.count_states()[catalogue.INDEXED]
  print(f"{flags.db}: {len(files)} removed, {searchable} models to search.")
  return 0


SUBCOMMAND = Subcommand(
  name="remove",
  summary="Remove models from a database; files are not deleted.",
  details="""
    Use the names that dr3d query and dr3d info print. If one is unknown,
    nothing is removed. The next dr3d index adds a model again if its file is
    still in the folder.

    The rows, meshes and images of removed models are overwritten at once. Their
    vectors stay in a file, without a name, until dr3d rebuild or --purge writes
    it again. Backups keep them.
  """,
  example="""
    dr3d remove --db=parts.db bolt/m8.stl
    dr3d remove --db=parts.db --purge secret.step
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("purge", "Overwrite vectors, too.", kind="switch"),
  ),
  files="MODEL...",
  run=run,
)
