"""`dr3d remove`: models leave a database."""

from typing import Any

from dr3d.cli.subcommand import Flag, Subcommand


def run(flags: Any, files: list[str]) -> int:
  """Takes the models out."""
  from dr3d.database import catalogue
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  database.remove(files)
  searchable = database.count_states()[catalogue.INDEXED]
  print(f"{flags.db}: {len(files)} removed, {searchable} models to search.")
  return 0


SUBCOMMAND = Subcommand(
  name="remove",
  summary="Take models out of a database; no file is touched.",
  details="""
    Models are named as dr3d query and dr3d info name them. All are removed, or
    none where one is not known. A model whose file stays in the folder that
    dr3d index looks through comes back with the next dr3d index.
  """,
  example="""
    dr3d remove --db=parts.db bolt/m8.stl
  """,
  flags=(Flag("db", "Folder of the database.", "DIR", required=True),),
  files="MODEL...",
  run=run,
)
