"""`dr3d add`: add model files to a database."""

from dr3d.cli import argument, console, engine_flag, reader_flags
from dr3d.cli.parsing import read_pairs
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Adds the files."""
  pairs = read_pairs("add", "set", flags.set)
  engine_flag.check("add", flags)
  argument.check_database(flags.db)
  argument.check_files(files)
  from dr3d.database.writer import Database

  database = Database.open(flags.db, engine=flags.engine)
  with console.progress(len(files), "adding") as progress:
    report = database.add(
      files,
      label=flags.label,
      metadata={key: values[-1] for key, values in pairs.items()},
      unit=flags.unit,
      reader=reader_flags.make_reader(flags),
      progress=progress,
    )
  status = reader_flags.print_report(database, report)
  return 1 if report.failures else status


SUBCOMMAND = Subcommand(
  name="add",
  summary="Add model files to a database, or update them.",
  details="""
    A file in the folder that dr3d index read is stored under its name there.
    Any other file is stored under its path as typed, and dr3d index leaves it
    unchanged. --unit is for these files only. The exit status is 1 if a file
    could not be added.
  """,
  example="""
    dr3d add --db=parts.db new/bolt.stl --label=bolt
    dr3d add --db=parts.db *.3mf --set=supplier=acme,material=steel
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("label", "Class of the models.", "NAME"),
    Flag(
      "set",
      "Metadata of the models, which dr3d query --where filters by.",
      "KEY=VALUE,...",
      kind="names",
    ),
    engine_flag.FLAG,
    *reader_flags.FLAGS,
  ),
  files="FILE...",
  run=run,
)
