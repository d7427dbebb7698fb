r"""Draws real scans beside their clean models and measures how they differ.

    python -m experiments.scan_sheet --source=scans --picture=sheet.png

Each object of the half that settings are chosen on has a row of the picture:
clean model, Poisson scan, TSDF scan, each as it is framed and posed by its own
axes. The table has the columns of `scan_statistic` for each scan, registered to
its clean model.

With `--simulate` the scans of the clean models are simulated instead, by
`scan_camera`.
"""

import io
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

from dr3d.evaluation.report.table import format_table
from dr3d.mesh import Mesh, load_mesh, make_mesh, thumbnail
from dr3d.mesh.io.reader import read_geometry
from experiments.scan_camera import Fusion, scan_model
from experiments.scan_set import read_objects, split_objects
from experiments.scan_statistic import COLUMNS, format_statistic, measure

SOURCE = flags.DEFINE_string(
  "source", None, "Folder of the scans.", required=True
)
PICTURE = flags.DEFINE_string("picture", None, "PNG file to write.")
SIMULATE = flags.DEFINE_bool("simulate", False, "Simulate the scans.")

FUSIONS: dict[str, Fusion] = {"scan_poisson": "poisson", "scan_tsdf": "tsdf"}
SIZE = 150  # of a picture, pixels
FACES = 2048  # of a mesh that is drawn and measured


def main(argv: list[str]) -> None:
  del argv
  root = pathlib.Path(SOURCE.value)
  objects = read_objects(root)
  half = split_objects(sorted(objects))["choose"]
  sheet = Image.new("RGB", (3 * SIZE, len(half) * SIZE), "white")
  rows = []
  for row, name in enumerate(half):
    clean = load_mesh(root / objects[name]["clean"], face_budget=FACES)
    scans = {
      kind: simulate(root / objects[name]["clean"], fusion, clean.radius, row)
      if SIMULATE.value
      else load_mesh(root / objects[name][kind], face_budget=FACES)
      for kind, fusion in FUSIONS.items()
    }
    for column, mesh in enumerate([clean, *scans.values()]):
      picture = Image.open(io.BytesIO(thumbnail.draw(mesh, size=SIZE)))
      sheet.paste(picture, (column * SIZE, row * SIZE), picture)
    rows += [
      [name, kind, *format_statistic(measure(mesh, clean))]
      for kind, mesh in scans.items()
    ]
  if PICTURE.value:
    sheet.save(PICTURE.value)
  header = ["object", "scan", *COLUMNS]
  print(format_table(header, rows, right=range(2, len(header))))


def simulate(
  path: pathlib.Path, fusion: Fusion, radius: float, seed: int
) -> Mesh:
  """Simulates a scan of a clean model."""
  vertices, faces = scan_model(
    *read_geometry(path),
    fusion=fusion,
    radius=radius,
    rng=np.random.default_rng(seed),
  )
  return make_mesh(vertices, faces, face_budget=FACES)


if __name__ == "__main__":
  app.run(main)
