"""`dr3d rebuild`: check a database and compute derived data again."""

from dr3d.cli import argument, console, pipeline_flag
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Rebuilds the database."""
  del files
  argument.check_database(flags.db)
  if flags.pipeline:
    pipeline_flag.find_pipeline(flags.pipeline)
  from dr3d.database import catalogue
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  pipeline = None
  if flags.pipeline:
    pipeline = pipeline_flag.load_pipeline(flags.pipeline)
  total = len(database.models())
  with console.progress(total, "embedding") as progress:
    count = database.rebuild(pipeline, progress=progress)
  states = database.count_states()
  print(
    f"{flags.db}: {states[catalogue.INDEXED]} models to search, {count}"
    f" embedded again, index: {database.describe_index()}."
  )
  if states[catalogue.OUTDATED]:
    console.print_error(
      f"dr3d: {states[catalogue.OUTDATED]} models are outdated; run dr3d index"
      " to read their files again."
    )
    return 1
  return 0


SUBCOMMAND = Subcommand(
  name="rebuild",
  summary="Check a database and rebuild its index, or change its pipeline.",
  details="""
    Checks every page of the catalogue, frees unused space and builds the vector
    index again. With --pipeline, the database changes to another pipeline: all
    stored meshes are embedded first, then all of them change at once, so the
    database can be searched meanwhile and after a kill. If the pipelines
    simplify to different numbers of faces, the next dr3d index reads the files
    again. The exit status is 1 if models stay outdated.
  """,
  example="""
    dr3d rebuild --db=parts.db
    dr3d rebuild --db=parts.db --pipeline=work/pipeline
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag(
      "pipeline",
      "New pipeline, as dr3d train wrote it, or full; see dr3d index.",
      "DIR",
    ),
  ),
  run=run,
)
