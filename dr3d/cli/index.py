"""`dr3d index`: make a database of a folder of models, or update it."""

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from dr3d.cli import (
  argument,
  console,
  engine_flag,
  objects_flag,
  pipeline_flag,
  query_photo,
  reader_flags,
)
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.database import shared

if TYPE_CHECKING:
  from dr3d.database.ingest import Report
  from dr3d.database.writer import Database


def run(flags: FlagValues, files: list[str]) -> int:
  """Updates the database to the state of the folder."""
  del files
  engine_flag.check("index", flags)
  argument.check_models(flags.models, flags.labels)
  if not shared.is_uri(flags.db):
    argument.check_new_folder(flags.db)
  objects_flag.check("index", flags.objects, flags.db)
  workers = reader_flags.make_workers(flags)
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
  directory = shared.find_directory(flags.db)
  pipeline = None
  if flags.pipeline or not catalogue.is_complete(directory):
    pipeline = pipeline_flag.load_pipeline(flags.pipeline)
  database = Database.create(
    directory, pipeline, engine=flags.engine, objects=flags.objects
  )
  with console.progress(count, "indexing") as progress:
    report = database.update(
      flags.models,
      labels=flags.labels,
      unit=flags.unit,
      replace=flags.replace,
      reader=reader_flags.make_reader(flags),
      workers=workers,
      bodies=flags.bodies,
      progress=progress,
    )
  if flags.photos and database.count_states()[catalogue.INDEXED]:
    query_photo.prepare(database)
  if flags.show is not None:
    keys = [key.strip().lower() for key in flags.show.split(",")]
    database.show_columns([key for key in keys if key])
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

    What was given for a model is kept: a label of a table or set by hand, when
    a run without a table would take the name of the folder; metadata; and the
    unit of a file, given by dr3d add --unit or by the column unit of the table.
    --unit is for all other files that state none.

    With --bodies, each body of an assembly is a model as well, named after its
    file: solids of STEP, objects of 3MF, meshes of glTF, or connected pieces of
    a surface where the format lists none. Its metadata name the parent, so that
    --where=parent=FILE finds the bodies of a file. Equal bodies are indexed
    once. Without --bodies in a later run they become missing.

    With --ray, the files are read and embedded by a Ray cluster (pip install
    'dr3d[ray]'), whose machines must see them under the same paths; --jobs then
    counts only for --bodies. This process writes. Workers and machines may be
    lost meanwhile; their work is repeated.

    With --json, stdout is one JSON document: searchable, new, changed,
    unchanged, missing, failures (a list of {model, reason}), warnings (the same
    of files that were read in part), relabelled, labels_kept, assumed (files by
    the unit that was assumed) and other_files (files that were not read, by
    extension).
  """,
  example="""
    dr3d index --db=parts.db --models=models
    dr3d index --db=parts.db --models=models --pipeline=work/pipeline
    dr3d index --db=parts.db --models=assemblies --bodies
    dr3d index --db=parts.db --models=/shared/models --ray=10.0.0.5:6379
  """,
  flags=(
    Flag(
      "db",
      "Folder of the database, created; or postgresql://USER@HOST/NAME, which"
      " several machines can use.",
      "DB",
      required=True,
    ),
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
      "show",
      "Metadata that the page shows with each model, in this order; kept for"
      " later runs. Default: the three columns that most models have.",
      "COLUMN,...",
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
      " the general pipeline that ships with dr3d. full names the one that"
      " also ships, with EfficientNet-Lite0, slower and more accurate.",
      "DIR",
    ),
    Flag(
      "bodies",
      "Index each body of a file as a model of its own, beside the file.",
      kind="switch",
    ),
    Flag(
      "photos",
      "Also make the models findable by photographs, about half a second for"
      " each; otherwise the first photograph does it.",
      kind="switch",
    ),
    Flag("json", "Print JSON.", kind="switch"),
    engine_flag.FLAG,
    reader_flags.RAY,
    objects_flag.FLAG,
    *reader_flags.FLAGS,
  ),
  run=run,
)
