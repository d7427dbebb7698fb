"""`dr3d index`: make a database of a folder of models, or update it."""

import dataclasses
import json
import pathlib
import sys
from typing import TYPE_CHECKING

from dr3d.cli import check, console, pipeline_flag, reader_flags
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand

if TYPE_CHECKING:
  from dr3d.database.ingest import Report
  from dr3d.database.writer import Database


def run(flags: FlagValues, files: list[str]) -> int:
  """Updates the database to the state of the folder."""
  del files
  check.check_models(flags.models, flags.labels)
  check.check_new_folder(flags.db)
  if flags.pipeline:
    pipeline_flag.find_pipeline(flags.pipeline)
  from dr3d.data.folder import (
    count_other_files,
    describe_other_files,
    find_models,
  )
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
      reader=reader_flags.make_reader(flags),
      progress=progress,
    )
  others = count_other_files(flags.models)
  if flags.json:
    return _print_json(database, report, others)
  status = reader_flags.print_report(database, report)
  if others:
    print(describe_other_files(others))
  return status


def _print_json(
  database: "Database", report: "Report", others: dict[str, int]
) -> int:
  """Prints what was done as JSON; returns the exit status."""
  from dr3d.database import catalogue

  searchable = database.count_states()[catalogue.INDEXED]
  result = {"searchable": searchable, **dataclasses.asdict(report)}
  json.dump(result | {"other_files": others}, sys.stdout, indent=2)
  print()
  return 0 if searchable else 1


SUBCOMMAND = Subcommand(
  name="index",
  summary="Make a folder of models searchable, or update a database.",
  details="""
    Reads only files that are new or have changed. A model whose file is gone is
    kept, but it is not searched until the file is back. Files that cannot be
    read are listed with the reason, and the next run tries them again. The exit
    status is 1 only if no model can be searched. The same command resumes an
    interrupted run. Files of formats that cannot be read are counted by format.

    With --json, stdout is one JSON document: searchable, new, changed,
    unchanged, missing, failures (a list of {model, reason}), warnings
    (likewise, of files that were read in part) and other_files (the number of
    files that were not read, by extension).
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
      "Table with the columns file and class. Without it, the class of a model"
      " is the name of its folder.",
      "FILE.csv",
    ),
    Flag(
      "pipeline",
      "Pipeline that dr3d train wrote; a new database keeps a copy. Default:"
      " the general pipeline that ships with dr3d.",
      "DIR",
    ),
    Flag("json", "Print JSON.", kind="switch"),
    *reader_flags.FLAGS,
  ),
  run=run,
)
