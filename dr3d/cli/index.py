"""`dr3d index`: make a database of a folder of models, or update it."""

import pathlib

from dr3d.cli import argument, console, pipeline_flag, reader_flags
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Updates the database to the state of the folder."""
  del files
  argument.check_models(flags.models, flags.labels)
  argument.check_new_folder(flags.db)
  if flags.pipeline:
    pipeline_flag.find_pipeline(flags.pipeline)
  from dr3d.data.folder import find_models
  from dr3d.database import catalogue
  from dr3d.database.writer import Database

  # Before the database is created, so that a wrong table leaves no empty one.
  count = len(find_models(flags.models, labels=flags.labels))
  directory = pathlib.Path(flags.db)
  pipeline = None
  if flags.pipeline or not catalogue.is_complete(directory):
    pipeline = pipeline_flag.load_pipeline(flags.pipeline)
  database = Database.create(directory, pipeline)
  with console.progress(count, "indexing") as progress:
    report = database.update(
      flags.models,
      labels=flags.labels,
      unit=flags.unit,
      replace=flags.replace,
      reader=reader_flags.make_reader(flags),
      progress=progress,
    )
  return reader_flags.print_report(database, report)


SUBCOMMAND = Subcommand(
  name="index",
  summary="Make a folder of models searchable, or update a database.",
  details="""
    Reads only files that are new or have changed. A model whose file is gone is
    kept, but it is not searched until the file is back. Files that cannot be
    read are listed with the reason, and the next run tries them again. The exit
    status is 1 only if no model can be searched. The same command resumes an
    interrupted run.

    What was given for a model is kept: a label of a table or set by hand, when
    a run without a table would take the name of the folder; metadata; and the
    unit of a file, given by dr3d add --unit or by the column unit of the table.
    --unit is for all other files that state none.
  """,
  example="""
    dr3d index --db=parts.db --models=models
    dr3d index --db=parts.db --models=models --pipeline=work/pipeline
  """,
  flags=(
    Flag("db", "Folder of the database; created.", "DIR", required=True),
    Flag(
      "models",
      "Folder of mesh files, with subfolders.",
      "DIR",
      required=True,
    ),
    Flag(
      "labels",
      "Table with the column file and at least one of class and unit; other"
      " columns are metadata. Without it, the class of a model is the name of"
      " its folder.",
      "FILE.csv",
    ),
    Flag(
      "replace",
      "Replace labels, metadata and units that were given before by those of"
      " this run.",
      kind="switch",
    ),
    Flag(
      "pipeline",
      "Pipeline that dr3d train wrote; a new database keeps a copy. Default:"
      " the general pipeline that ships with dr3d.",
      "DIR",
    ),
    *reader_flags.FLAGS,
  ),
  run=run,
)
