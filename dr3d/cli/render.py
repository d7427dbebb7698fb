"""`dr3d render`: the views of a model as one image."""

import pathlib

from dr3d.cli import argument, pipeline_flag
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Draws the views."""
  argument.check_suffix("render", "out", flags.out, argument.IMAGE_SUFFIXES)
  argument.check_files(files)
  if flags.pipeline:
    pipeline_flag.find_pipeline(flags.pipeline)
  from dr3d.evaluation.report import sheet
  from dr3d.mesh import load_mesh
  from dr3d.retrieval.pipeline import Pipeline

  if flags.pipeline:
    pipeline = pipeline_flag.load_pipeline(flags.pipeline)
  else:
    pipeline = Pipeline.create()
  mesh = load_mesh(
    files[0],
    face_budget=pipeline.face_budget,
    appearance=pipeline.appearance,
  )
  if flags.look == "plain":
    pipeline = sheet.with_white_light(pipeline)
  images = sheet.render_preview(pipeline, mesh, size=flags.size)
  sheet.save(sheet.draw_views(images), pathlib.Path(flags.out))
  print(f"{flags.out}: {len(images)} views of {files[0]}")
  return 0


SUBCOMMAND = Subcommand(
  name="render",
  summary="Draw the views of a mesh file that a pipeline compares.",
  details="""
    Without --pipeline, the views are those at the start of a training: evenly
    distributed around the model.
  """,
  example="""
    dr3d render part.stl --out=part.png
    dr3d render part.stl --out=part.png --pipeline=work/pipeline --look=network
  """,
  flags=(
    Flag(
      "out",
      "Image to write: .png, .jpg or .webp.",
      "FILE.png",
      required=True,
    ),
    Flag("pipeline", "Pipeline that dr3d train wrote.", "DIR"),
    Flag(
      "size",
      "Height and width of a view, pixels.",
      "N",
      256,
      "integer",
      minimum=16,
    ),
    Flag(
      "look",
      "plain: one white light, for people; network: the coloured lights with"
      " which the network sees the model.",
      "NAME",
      "plain",
      choices=("plain", "network"),
    ),
  ),
  files="FILE",
  max_files=1,
  run=run,
)
