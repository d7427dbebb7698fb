"""`dr3d label`: give models of a database another label."""

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.runtime.text import count


def run(flags: FlagValues, files: list[str]) -> int:
  """Labels the models; none if a name is unknown."""
  argument.check_database(flags.db)
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  for name in files:
    database.find_model(name)
  for name in files:
    database.label(name, flags.label)
  print(f"{flags.db}: {count(len(files), 'model')} labelled {flags.label}.")
  return 0


SUBCOMMAND = Subcommand(
  name="label",
  summary="Give models of a database another label.",
  details="""
    Use the names that dr3d query and dr3d info print. The label was set by
    hand, so dr3d index keeps it; dr3d index --replace does not.
  """,
  example="""
    dr3d label --db=parts.db --label=bolt bolt/m8.stl new/m10.stl
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("label", "Class of the models.", "NAME", required=True),
  ),
  files="MODEL...",
  run=run,
)
