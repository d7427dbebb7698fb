"""Writes the training set of the general pipeline.

    python -m experiments.make_general --parts=parts --out=work/general

The set holds families of random solids (`experiments.synthesis`), and the train
split of the parts whose licence allows weights to be made from them and
distributed. Writes `index.csv` with the columns class, file, split, for
`experiments.train`. With `--scans` it also writes a simulated scan of each
model, and `scans.csv`, which lists models and scans.
"""

import csv
import math
import os
import pathlib
import zlib

import numpy as np
import tqdm
import trimesh
from absl import app, flags

from dr3d.data.scan import simulate_scan
from dr3d.error import MeshError
from dr3d.mesh.io.reader import read_geometry
from experiments.synthesis.family import make_solid

OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
PARTS = flags.DEFINE_string(
  "parts", None, "Folder with an index.csv that has the column source_set."
)
SOURCE = flags.DEFINE_list(
  "source", ["freecad_parts"], "Source sets of the parts to use."
)
FAMILIES = flags.DEFINE_integer("families", 1500, "Families of solids.")
MEMBERS = flags.DEFINE_integer("members", 3, "Solids per family.")
SCANS = flags.DEFINE_bool("scans", False, "Simulate a scan of each model.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the solids and the scans.")
HEADER = ("class", "file", "split")


def main(_) -> None:
  out = pathlib.Path(OUT.value)
  rows = []
  if PARTS.value:
    rows += _link_parts(pathlib.Path(PARTS.value), out)
  rows += _write_solids(out)
  _write_table(out / "index.csv", rows)
  print(f"{out}: {len(rows)} models of {len({row[0] for row in rows})} classes")
  if SCANS.value:
    scans = _write_scans(out, rows)
    _write_table(out / "scans.csv", [*rows, *scans])
    print(f"{out}: scans of {len(scans)} of them")


def _write_table(path, rows):
  with path.open("w", newline="") as file:
    csv.writer(file).writerows([HEADER, *rows])


def _write_solids(out):
  rows, empty = [], 0
  for family in tqdm.trange(FAMILIES.value, unit="family"):
    folder = f"solid_{family:04d}"
    (out / folder).mkdir(parents=True, exist_ok=True)
    for member in range(MEMBERS.value):
      try:
        vertices, faces = make_solid(family, member, seed=SEED.value)
      except ValueError:  # its cuts removed everything
        empty += 1
        continue
      name = f"{folder}/{member}.ply"
      trimesh.Trimesh(vertices, faces, process=False).export(out / name)
      rows.append((folder, name, "train"))
  if empty:
    print(f"{empty} solids were left out: their cuts removed everything.")
  return rows


def _write_scans(out, rows):
  """Writes scans of random quality beside the models, with their classes."""
  scans = []
  for label, name, split in tqdm.tqdm(rows, unit="scan"):
    rng = np.random.default_rng([SEED.value, zlib.crc32(name.encode())])
    try:
      vertices, faces = simulate_scan(
        *read_geometry(out / name),
        rng=rng,
        noise=math.exp(rng.uniform(math.log(0.002), math.log(0.01))),
        holes=int(rng.integers(0, 6)),
        hole_radius=rng.uniform(0.1, 0.25),
        faces_left=rng.uniform(0.15, 1),
      )
    except MeshError as error:
      print(f"{name} was not scanned: {error}")
      continue
    scan = f"{pathlib.PurePosixPath(name).with_suffix('')}-scan.ply"
    trimesh.Trimesh(vertices, faces, process=False).export(out / scan)
    scans.append((label, scan, split))
  return scans


def _link_parts(parts, out):
  """Links the parts of classes that come wholly from these sources."""
  with (parts / "index.csv").open(newline="") as file:
    known = list(csv.DictReader(file))
  foreign = {
    row["class"] for row in known if row["source_set"] not in SOURCE.value
  }
  rows = []
  for row in known:
    if row["split"] != "train" or row["class"] in foreign:
      continue
    link = out / row["file"]
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
      os.symlink((parts / row["file"]).resolve(), link)
    rows.append((row["class"], row["file"], "train"))
  return rows


if __name__ == "__main__":
  app.run(main)
