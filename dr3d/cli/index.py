"""`dr3d index`: a folder of models becomes, or updates, a database."""

import pathlib
from typing import Any

from dr3d.cli import reader_flags, report
from dr3d.cli.subcommand import Flag, Subcommand


def run(flags: Any, files: list[str]) -> int:
  """Brings the database to the state of the folder."""
  del files
  from dr3d.data.folder import find_models
  from dr3d.database import catalogue
  from dr3d.database.writer import Database

  # A wrong folder or table is told before a database is made.
  count = len(find_models(flags.models, labels=flags.labels))
  directory = pathlib.Path(flags.db)
  pipeline = None
  if flags.pipeline or not catalogue.is_complete(directory):
    pipeline = report.load_pipeline(flags.pipeline)
  database = Database.create(directory, pipeline)
  with report.progress(count, "indexing") as progress:
    result = database.update(
      flags.models,
      labels=flags.labels,
      unit=flags.unit,
      reader=reader_flags.make_reader(flags),
      progress=progress,
    )
  return reader_flags.tell_report(database, result)


SUBCOMMAND = Subcommand(
  name="index",
  summary="Make a folder of models searchable, or bring a database up to date.",
  details="""
    Only files that are new or have changed are read again. Models whose file
    has gone are kept but not searched, until the file comes back. Files that
    cannot be read are listed with the reason, and tried again by the next run;
    the exit status is 1 only where no model can be searched. A run that was
    interrupted is completed by the same command.
  """,
  example="""
    dr3d index --db=parts.db --models=models
    dr3d index --db=parts.db --models=models --pipeline=work/pipeline
  """,
  flags=(
    Flag("db", "Folder of the database; made.", "DIR", required=True),
    Flag(
      "models",
      "Folder of mesh files, subfolders included.",
      "DIR",
      required=True,
    ),
    Flag(
      "labels",
      "Table with the columns file and class, instead of the folders' names.",
      "FILE.csv",
    ),
    Flag(
      "pipeline",
      "What dr3d train wrote, of which a new database keeps a copy; the general"
      " one that ships with dr3d if not given.",
      "DIR",
    ),
    *reader_flags.FLAGS,
  ),
  run=run,
)
