r"""Draws the image of the README: simulated scans beside their best matches.

    python -m experiments.draw_readme_picture

Indexes the shipped sample parts by the shipped pipeline, and queries with
simulated scans of some of them, rotated at random. All parts of one class are
left out, to show a prediction that is not accepted. Takes two minutes on two
cores.
"""

import pathlib
import tempfile

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.data.sample import unpack
from dr3d.database.writer import Database
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report import sheet
from dr3d.mesh import load_mesh
from dr3d.mesh.io.reader import read_geometry
from dr3d.retrieval.pipeline import Pipeline

OUT = flags.DEFINE_string(
  "out", "experiments/results/answers.png", "PNG file to write."
)
PARTS = flags.DEFINE_list(
  "parts",
  [
    "hex_flange_screw/m10-1.5_30_din1665.stl",
    "ball_bearing/m8-22-7.stl",
    "worm/2_2_11.2_30.stl",
  ],
  "Sample parts to scan.",
)
UNKNOWN = flags.DEFINE_string("unknown", "worm", "Class that is left out.")

MATCH_COUNT = 3
IMAGE_SIZE = 176  # pixels: makes the sheet about as wide as a README is shown


def main(_) -> None:
  environment.prepare(verbosity=-2)
  pipeline = Pipeline.load()
  with tempfile.TemporaryDirectory() as folder:
    models = unpack(pathlib.Path(folder) / "models")
    database = Database.create(pathlib.Path(folder) / "db", pipeline)
    database.update(models)
    rows = [make_row(database, pipeline, models, name) for name in PARTS.value]
  picture = sheet.draw_answers(rows, views=2, matches=MATCH_COUNT)
  sheet.save(picture, OUT.value)
  size = pathlib.Path(OUT.value).stat().st_size
  print(f"{OUT.value}: {picture.width} x {picture.height}, {size / 1e3:.0f} kB")


def make_row(
  database: Database, pipeline: Pipeline, models: pathlib.Path, name: str
) -> sheet.Row:
  """Queries with a simulated scan; shows the most similar pair of views."""
  scan = make_query(
    *read_geometry(models / name),
    name=name,
    protocol=Protocol("so3", scan=True),
    face_budget=pipeline.face_budget,
  )
  left_out = [
    model.name for model in database.models() if model.label == UNKNOWN.value
  ]
  answer = database.query(scan, k=MATCH_COUNT, exclude=left_out)
  white = sheet.with_white_light(pipeline)

  def draw(mesh):
    return sheet.render_preview(white, mesh, size=IMAGE_SIZE)

  images = draw(scan)
  matches = []
  for match in answer.matches:
    mesh = load_mesh(models / match.model, face_budget=pipeline.face_budget)
    view = draw(mesh)[match.view - 1 : match.view]
    matches.append(sheet.RenderedMatch(match, view))
  first = answer.matches[0].query_view - 1
  other = (first + len(images) // 2) % len(images)
  label, part = name.split("/")
  if label == UNKNOWN.value:
    label += ", not in the database"
  return sheet.Row(
    name=f"simulated scan of {part}",
    images=images[np.array([first, other])],
    matches=matches,
    label=label,
    prediction=answer.prediction,
  )


if __name__ == "__main__":
  app.run(main)
