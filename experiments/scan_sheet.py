r"""Draws real scans beside their clean models and measures how they differ.

    python -m experiments.scan_sheet --source=scans --picture=sheet.png

Each object of the half that settings are chosen on has a row of the picture:
clean model, Poisson scan, TSDF scan, each as it is framed and posed by its own
axes. The table has, for each scan, registered to its clean model:

* size: radius of the enclosing sphere over that of the model;
* missing, extra: share of the model's points that have no point of the scan
  within 0.05 radii, and the reverse;
* rough: median distance of the other points, in thousandths of a radius;
* rim: length of all boundaries in radii;
* debris: pieces that are dropped;
* tilt: angle between the principal axes of both after registration, in degrees,
  the nearest of the 24 rotations that map axes to axes.

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
from dr3d.mesh.surface import half_edges, open_half_edges
from dr3d.registration.coarse import make_turns
from dr3d.registration.surface import (
  Cloud,
  find_pose,
  make_cloud,
  nearest_on_surface,
)
from experiments.scan_camera import Fusion, scan_model
from experiments.scan_set import read_objects, split_objects

SOURCE = flags.DEFINE_string(
  "source", None, "Folder of the scans.", required=True
)
PICTURE = flags.DEFINE_string("picture", None, "PNG file to write.")
SIMULATE = flags.DEFINE_bool("simulate", False, "Simulate the scans.")

FUSIONS: dict[str, Fusion] = {"scan_poisson": "poisson", "scan_tsdf": "tsdf"}
SIZE = 150  # of a picture, pixels
NEAR = 0.05  # radii: what is farther is missing or extra
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
    rows += [[name, kind, *measure(m, clean)] for kind, m in scans.items()]
  if PICTURE.value:
    sheet.save(PICTURE.value)
  header = [
    "object",
    "scan",
    "size",
    "missing",
    "extra",
    "rough",
    "rim",
    "debris",
    "tilt",
  ]
  print(format_table(header, rows, right=range(2, 9)))


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


def measure(scan: Mesh, clean: Mesh) -> list[str]:
  """How a scan differs from its model; see the module."""
  one, two = make_cloud(scan), make_cloud(clean)
  pose = find_pose(one, two)
  there = find_distances(one.points @ pose.turn.T + pose.shift, two)
  back = find_distances((two.points - pose.shift) @ pose.turn, one)
  near = there[there < NEAR]
  edges = open_half_edges(scan.faces, len(scan.vertices))
  tail, head = half_edges(scan.faces)
  ends = scan.vertices[tail[edges]] - scan.vertices[head[edges]]
  trace = np.einsum("tij,ij->t", make_turns(), pose.turn).max()
  tilt = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
  rough = 1000 * np.median(near) if len(near) else np.nan
  return [
    f"{scan.radius / clean.radius:.2f}",
    f"{(back > NEAR).mean():.2f}",
    f"{(there > NEAR).mean():.2f}",
    f"{rough:.0f}",
    f"{np.linalg.norm(ends, axis=1).sum():.1f}",
    f"{scan.debris}",
    f"{tilt:.0f}",
  ]


def find_distances(points: np.ndarray, cloud: Cloud) -> np.ndarray:
  """Distances of points from a surface."""
  return np.linalg.norm(points - nearest_on_surface(points, cloud), axis=1)


if __name__ == "__main__":
  app.run(main)
