"""`dr3d migrate`: convert a database of a former version, or move one."""

import pathlib

from dr3d.cli import argument, console, objects_flag
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError


def run(flags: FlagValues, files: list[str]) -> int:
  """Converts or copies the database."""
  del files
  if flags["from"].value is not None or flags.to is not None:
    return _copy(flags)
  if flags.db is None:
    raise UsageError(
      "migrate: give --db=DIR to convert, or --from and --to to copy; see"
      " dr3d migrate --help."
    )
  argument.check_directory(flags.db)
  from dr3d.database import catalogue, lock
  from dr3d.database.migration import migrate

  directory = pathlib.Path(flags.db)
  with catalogue.open_catalogue(directory, any_format=True) as connection:
    count = sum(catalogue.count_states(connection).values())
  with lock.writer_lock(directory):
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


def _copy(flags: FlagValues) -> int:
  """Copies a database to a server, or from one to a folder."""
  source, target = flags["from"].value, flags.to
  if flags.db is not None or source is None or target is None:
    raise UsageError(
      "migrate: --from and --to go together, without --db; see dr3d migrate"
      " --help."
    )
  objects_flag.check("migrate", flags.objects, target)
  argument.check_database(source)
  from dr3d.database import shared
  from dr3d.database.transfer import copy_database

  with console.progress(0, "copying") as progress:
    count = copy_database(
      shared.find_directory(source),
      shared.find_directory(target),
      objects=flags.objects,
      progress=progress,
    )
  print(f"{argument.name_database(target)}: {count} models copied.")
  return 0


SUBCOMMAND = Subcommand(
  name="migrate",
  summary="Convert a database of a former version, or copy one to PostgreSQL.",
  details="""
    Formats 1 and 2 were written before version 0.1, format 3 by version 0.1.
    Format 3 can be searched as it is, and the first change converts it. Former
    versions cannot open the result, so make a backup first.

    --from and --to copy a database to a server that several machines use (pip
    install 'dr3d[postgres]'), or from there to a folder, which dr3d backup can
    then back up. The first one is not changed. A copy that was interrupted is
    completed by the same command.
  """,
  example="""
    dr3d migrate --db=parts.db
    dr3d migrate --from=parts.db --to=postgresql://dr3d@10.0.0.5/parts
  """,
  flags=(
    Flag("db", "Folder of the database to convert.", "DIR"),
    Flag("from", "Database to copy: a folder or a URI.", "DB"),
    Flag("to", "New database: a folder, or postgresql://USER@HOST/NAME.", "DB"),
    objects_flag.FLAG,
  ),
  run=run,
)
