"""Simulated scans of the parts of a split, to fit constants to.

A scan is made in three ways: noise and holes (`dr3d.simulate_scan`), and by
virtual depth cameras, fused by TSDF or by Poisson (`scan_camera`).
"""

import csv
import dataclasses
import pathlib

import numpy as np

from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.mesh import Mesh, make_mesh
from dr3d.mesh.io.reader import read_geometry
from experiments.scan_camera import Fusion, scan_model
from experiments.scan_set import RADII

KINDS = ("noise", "tsdf", "poisson")
FACES = 1024
"""Of a scan, if the database does not say."""


@dataclasses.dataclass(frozen=True)
class Part:
  """A part of a split.

  Attributes:
    number: of its row in the table of the split.
    path: of its file.
    model: its name in a database of the split; see `experiments.split`.
    label: its class.
    group: number of its near duplicates.
    source: the set that it comes from.
  """

  number: int
  path: pathlib.Path
  model: str
  label: str
  group: int
  source: str


def read_parts(
  root: pathlib.Path, split: str
) -> tuple[list[Part], dict[int, set[str]]]:
  """Reads the parts of a split from `index.csv`.

  Returns:
    The parts, and the models of each group.
  """
  with (root / "index.csv").open(newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["split"] == split]
  parts = [
    Part(
      number,
      root / row["file"],
      f"{row['class']}/{pathlib.Path(row['file']).name}",
      row["class"],
      int(row["near_duplicate_group"]),
      row["source_set"],
    )
    for number, row in enumerate(rows)
  ]
  groups: dict[int, set[str]] = {}
  for part in parts:
    groups.setdefault(part.group, set()).add(part.model)
  return parts, groups


def scan_part(part: Part, kind: str, *, seed: int, budget: int) -> Mesh:
  """Simulates a scan of a part, in any pose.

  Args:
    part: to scan.
    kind: of `KINDS`.
    seed: of the pose and of the noise.
    budget: faces of the scan at most.

  Raises:
    ValueError: nothing of the part was seen.
  """
  vertices, faces = read_geometry(part.path)
  if kind == "noise":
    return make_query(
      vertices,
      faces,
      name=part.path.name,
      protocol=Protocol(rotation="so3", scan=True, seed=seed),
      face_budget=budget,
    )
  rng = np.random.default_rng([seed, part.number, KINDS.index(kind)])
  radius = np.exp(rng.uniform(*np.log(RADII)))
  fusion: Fusion = "tsdf" if kind == "tsdf" else "poisson"
  scanned = scan_model(vertices, faces, fusion=fusion, radius=radius, rng=rng)
  return make_mesh(*scanned, face_budget=budget)
