"""`dr3d add`: model files join a database one by one."""

from typing import Any

from dr3d.cli import reader_flags, report
from dr3d.cli.subcommand import Flag, Subcommand, read_pairs


def run(flags: Any, files: list[str]) -> int:
  """Adds the files."""
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  with report.progress(len(files), "adding") as progress:
    result = database.add(
      files,
      label=flags.label,
      metadata={
        key: values[-1]
        for key, values in read_pairs("add", "set", flags.set).items()
      },
      unit=flags.unit,
      reader=reader_flags.make_reader(flags),
      progress=progress,
    )
  status = reader_flags.tell_report(database, result)
  return 1 if result.failures else status


SUBCOMMAND = Subcommand(
  name="add",
  summary="Add model files to a database, or bring them up to date.",
  details="""
    A file in the folder that dr3d index looked through has the name that it
    has there; another one is called as its path is typed, and dr3d index
    leaves it alone. The exit status is 1 where a file could not be added.
  """,
  example="""
    dr3d add --db=parts.db new/bolt.stl --label=bolt
    dr3d add --db=parts.db *.3mf --set=supplier=acme,material=steel
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("label", "What the models are.", "NAME"),
    Flag(
      "set",
      "What else is known of the models; dr3d query --where asks for it.",
      "KEY=VALUE,...",
      kind="names",
    ),
    *reader_flags.FLAGS,
  ),
  files="FILE...",
  run=run,
)
