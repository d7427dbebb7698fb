"""`dr3d render`: the views of a model on one sheet."""

import pathlib
from typing import Any

from dr3d.cli import report
from dr3d.cli.subcommand import Flag, Subcommand, UsageError

FORMATS = (".jpeg", ".jpg", ".png", ".webp")


def run(flags: Any, files: list[str]) -> int:
  """Draws the sheet."""
  out = pathlib.Path(flags.out)
  if out.suffix.lower() not in FORMATS:
    raise UsageError(
      f"render: --out={flags.out} must end in one of {', '.join(FORMATS)};"
      " see dr3d render --help."
    )
  from dr3d.evaluation.report import sheet
  from dr3d.mesh import load_mesh
  from dr3d.retrieval.pipeline import Pipeline

  if flags.pipeline:
    pipeline = report.load_pipeline(flags.pipeline)
  else:
    pipeline = Pipeline.create()
  mesh = load_mesh(files[0], face_budget=pipeline.face_budget)
  if flags.look == "plain":
    pipeline = sheet.with_white_light(pipeline)
  images = sheet.render_preview(pipeline, mesh, size=flags.size)
  sheet.save(sheet.draw_views(images), out)
  print(f"{out}: {len(images)} views of {files[0]}")
  return 0


SUBCOMMAND = Subcommand(
  name="render",
  summary="Draw the views of a mesh file that the pipeline compares.",
  details="""
    Without --pipeline the views are those that training starts from, spread
    evenly around the model.
  """,
  example="""
    dr3d render part.stl --out=part.png
    dr3d render part.stl --out=part.png --pipeline=work/pipeline --look=network
  """,
  flags=(
    Flag(
      "out",
      "Picture to write: .png, .jpg or .webp.",
      "FILE.png",
      required=True,
    ),
    Flag("pipeline", "What dr3d train wrote.", "DIR"),
    Flag(
      "size",
      "Height and width of a view, pixels.",
      "N",
      256,
      "integer",
      least=16,
    ),
    Flag(
      "look",
      "plain for people: one white light; network: the coloured lights by"
      " which the network sees the shape.",
      "NAME",
      "plain",
      choices=("plain", "network"),
    ),
  ),
  files="FILE",
  most=1,
  run=run,
)
