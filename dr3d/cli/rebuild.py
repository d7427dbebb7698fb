"""`dr3d rebuild`: whatever is derived in a database is made anew."""

from typing import Any

from dr3d.cli import report
from dr3d.cli.subcommand import Flag, Subcommand


def run(flags: Any, files: list[str]) -> int:
  """Rebuilds the database."""
  del files
  from dr3d.database import catalogue
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  pipeline = report.load_pipeline(flags.pipeline) if flags.pipeline else None
  total = len(database.models())
  with report.progress(total, "embedding") as progress:
    count = database.rebuild(pipeline, progress=progress)
  states = database.count_states()
  print(
    f"{flags.db}: {states[catalogue.INDEXED]} models to search, {count}"
    f" embedded anew, index: {database.describe_index()}."
  )
  if states[catalogue.OUTDATED]:
    report.tell(
      f"dr3d: {states[catalogue.OUTDATED]} models are outdated: dr3d index"
      " reads their files again."
    )
    return 1
  return 0


SUBCOMMAND = Subcommand(
  name="rebuild",
  summary="Check a database and make its index anew, or change its pipeline.",
  details="""
    Every page of the catalogue is checked, its free space given back, and the
    index of the vectors built anew. With --pipeline the database changes to
    another pipeline: models are embedded anew from the meshes that the
    database keeps, where both pipelines simplify to as many faces; otherwise
    they are outdated, and not searched, until dr3d index reads their files.
    The exit status is 1 where models stay outdated.
  """,
  example="""
    dr3d rebuild --db=parts.db
    dr3d rebuild --db=parts.db --pipeline=work/pipeline
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("pipeline", "What dr3d train wrote, to be used from now on.", "DIR"),
  ),
  run=run,
)
