"""Real scans and the clean models of the same objects, and their split."""

import csv
import pathlib

import numpy as np
import trimesh

from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh.io.reader import read_geometry

RADII = 0.02, 0.17
"""Metres: of the smallest and of the largest object."""


def read_objects(root: pathlib.Path) -> dict[str, dict[str, str]]:
  """Files of each object by kind."""
  objects: dict[str, dict[str, str]] = {}
  with (root / "index.csv").open(newline="") as file:
    for row in csv.DictReader(file):
      objects.setdefault(row["object"], {})[row["kind"]] = row["file"]
  return objects


def split_objects(names: list[str]) -> dict[str, list[str]]:
  """Every second object to choose settings on, the others to report."""
  return {"choose": names[1::2], "report": names[::2]}


def write_gallery(
  root: pathlib.Path,
  objects: dict[str, dict[str, str]],
  folder: pathlib.Path,
  *,
  others: pathlib.Path,
  count: int,
) -> None:
  """Links the clean meshes and writes the distractors at random sizes.

  Args:
    root: folder of the scans.
    objects: from `read_objects`.
    folder: of the gallery; made.
    others: folder of other meshes.
    count: distractors, evenly many of all files by path.
  """
  (folder / "clean").mkdir(parents=True)
  (folder / "distractor").mkdir()
  for name, files in objects.items():
    target = (root / files["clean"]).resolve()
    (folder / "clean" / f"{name}.ply").symlink_to(target)
  paths = sorted(
    path.relative_to(others).as_posix() for path in others.rglob("*.ply")
  )
  rng = np.random.default_rng(1)
  for i in range(count):
    path = others / paths[i * len(paths) // count]
    vertices, faces = read_geometry(path)
    _, radius = enclosing_sphere(vertices)
    size = np.exp(rng.uniform(*np.log(RADII)))
    mesh = trimesh.Trimesh(vertices * size / radius, faces, process=False)
    mesh.export(folder / "distractor" / f"{path.stem}.ply")
