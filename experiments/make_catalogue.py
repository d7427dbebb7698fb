"""Writes dr3d/data/catalogue.zip: standard parts for the quickstart.

    pip install 'dr3d[samples]'
    python -m experiments.make_catalogue

bd_warehouse builds the parts to tables of ISO, DIN, ASME and manufacturers,
without modelled threads. Sizes of gears, racks, worms and bends are chosen
here. OpenCascade triangulates them. A folder of the archive is a class: a type
that a person recognises by its shape, so standards that look alike share one.
The same versions of the libraries write the same bytes, in about two minutes on
one core.
"""

import math
import pathlib
import re
import zipfile
from collections.abc import Callable
from importlib import metadata

import build123d as b3d
import fast_simplification
import numpy as np
from absl import app, flags, logging
from bd_warehouse.bearing import (
  SingleRowCappedDeepGrooveBallBearing,
  SingleRowCylindricalRollerBearing,
  SingleRowDeepGrooveBallBearing,
  SingleRowTaperedRollerBearing,
)
from bd_warehouse.fastener import (
  ButtonHeadScrew,
  CounterSunkScrew,
  DomedCapNut,
  HeatSetNut,
  HexHeadScrew,
  HexHeadWithFlangeScrew,
  HexNut,
  InternalToothLockWasher,
  PanHeadScrew,
  PlainWasher,
  SetScrew,
  ShoulderScrew,
  SocketHeadCapScrew,
)
from bd_warehouse.flange import BlindFlange, SlipOnFlange, WeldNeckFlange
from bd_warehouse.gear import HelicalGear, RackGear, SpurGear, Worm
from bd_warehouse.o_rings import ORing
from bd_warehouse.pipe import Pipe
from bd_warehouse.retaining_ring import ExternalSnapRing, InternalSnapRing
from bd_warehouse.shaft_key import ShaftKey
from bd_warehouse.sprocket import Sprocket
from OCP.BRepMesh import BRepMesh_IncrementalMesh

OUT = flags.DEFINE_string("out", "dr3d/data/catalogue.zip", "Archive to write.")
CLASSES = flags.DEFINE_list("classes", None, "Classes to build; default: all.")

MAX_ANGLE = 0.8  # between neighbouring facets, radians
MAX_DEFLECTION = 3e-3  # from the true surface, share of the part's diagonal
FACE_LIMIT = 1024  # of a part; the default face budget of a pipeline
GRID_STEPS = 4000  # of a coordinate along a part's diagonal, at least

# Roller chains of ISO 606: pitch, roller diameter and width of the teeth, mm.
CHAINS = {
  "05B": (8.0, 5.0, 2.8),
  "06B": (9.525, 6.35, 5.3),
  "08B": (12.7, 8.51, 7.2),
  "10B": (15.875, 10.16, 9.1),
  "12B": (19.05, 12.07, 11.1),
  "16B": (25.4, 15.88, 16.2),
}


def spur_gear(module: float, teeth: int, width: float, bore: float):
  """Builds an involute gear of 20 degrees with a bore; lengths in mm."""
  return SpurGear(module, teeth, 20, width) - b3d.Cylinder(bore / 2, 2 * width)


def helical_gear(
  module: float, teeth: int, helix: float, width: float, bore: float
):
  """Builds a spur gear whose teeth are inclined by helix degrees."""
  blank = HelicalGear(module, teeth, 20, helix, width)
  return blank - b3d.Cylinder(bore / 2, 2 * width)


def gear_rack(module: float, teeth: int, width: float):
  """Builds the straight gear that meshes with a spur gear."""
  return RackGear(module, teeth, 20, width)


def plate_wheel(chain: str, teeth: int, bore: float):
  """Builds a sprocket without a hub for a simplex chain."""
  pitch, roller, width = CHAINS[chain]
  return Sprocket(teeth, pitch, roller, thickness=width, bore_diameter=bore)


def tapered_roller_bearing(size: str):
  """Builds a bearing without its cage, too thin a sheet to be simplified."""
  bearing = SingleRowTaperedRollerBearing(size)
  pieces = [piece for piece in bearing.children if piece.label != "Cage"]
  return b3d.Compound(children=pieces)


def pipe_elbow(nps: str, schedule: str, bend: float, angle: float):
  """Builds a pipe bend; its radius is bend times the nominal size."""
  radius = bend * float(nps) * b3d.IN
  path = b3d.Edge.make_circle(radius, start_angle=0, end_angle=angle)
  return Pipe(nps, "stainless", schedule, path)


# Class -> what builds a part, and the arguments for each part. A size or
# proportion stands once, so that no two parts have the same shape up to scale.
# fmt: off
PARTS: dict[str, tuple[Callable, list[tuple]]] = {
  "ball_bearing": (SingleRowDeepGrooveBallBearing, [
    ("M3-10-4",), ("M4-9-2.5",), ("M5-16-5",), ("M6-13-3.5",), ("M6-19-6",),
    ("M7-14-3.5",), ("M8-22-7",), ("M9-20-6",), ("M10-19-5",), ("M10-26-8",),
    ("M10-35-11",),
  ]),
  "blind_flange": (BlindFlange, [
    ("3/4", 300, "Raised"), ("1", 300, "Raised"), ("1 1/2", 150, "Flat"),
    ("2", 300, "Flat"), ("3", 150, "Raised"), ("4", 300, "Raised"),
    ("6", 150, "Flat"), ("8", 300, "Raised"), ("10", 150, "Raised"),
    ("12", 300, "Raised"), ("20", 150, "Raised"),
  ]),
  "button_head_screw": (ButtonHeadScrew, [
    ("M3-0.5", 6, "iso7380_1"), ("M3-0.5", 20, "iso7380_1"),
    ("M4-0.7", 12, "iso7380_1"), ("M4-0.7", 35, "iso7380_1"),
    ("M5-0.8", 10, "iso7380_1"), ("M6-1", 25, "iso7380_1"),
    ("M8-1.25", 16, "iso7380_1"), ("M8-1.25", 60, "iso7380_1"),
    ("M10-1.5", 40, "iso7380_1"), ("M12-1.75", 30, "iso7380_1"),
    ("M16-2", 90, "iso7380_1"),
  ]),
  "cap_nut": (DomedCapNut, [
    ("M4-0.7", "din1587"), ("M5-0.8", "din1587"), ("M6-1", "din1587"),
    ("M8-1.25", "din1587"), ("M10-1.5", "din1587"), ("M12-1.75", "din1587"),
    ("M14-2", "din1587"), ("M16-2", "din1587"), ("M18-2.5", "din1587"),
    ("M20-2.5", "din1587"), ("M24-3", "din1587"),
  ]),
  "countersunk_screw": (CounterSunkScrew, [
    ("M2-0.4", 10, "iso2009"), ("M3-0.5", 8, "iso10642"),
    ("M3-0.5", 25, "iso7046"), ("M4-0.7", 16, "iso2009"),
    ("M4-0.7", 35, "iso14581"), ("M5-0.8", 12, "iso10642"),
    ("M6-1", 40, "iso7046"), ("M8-1.25", 25, "iso10642"),
    ("M8-1.25", 50, "iso2009"), ("M10-1.5", 80, "iso10642"),
    ("M12-1.75", 40, "iso10642"),
  ]),
  "cylindrical_roller_bearing": (SingleRowCylindricalRollerBearing, [
    ("M15-35-11",), ("M17-40-12",), ("M17-40-16",), ("M17-47-14",),
    ("M20-47-14",), ("M20-47-18",), ("M20-52-15",), ("M20-52-21",),
    ("M25-52-15",),
  ]),
  "external_retaining_ring": (ExternalSnapRing, [
    ("4",), ("6",), ("8",), ("10",), ("12",), ("15",), ("20",), ("25",),
    ("30",), ("40",), ("55",),
  ]),
  "gear_rack": (gear_rack, [
    (0.5, 30, 4), (1, 12, 15), (1, 24, 10), (1.5, 10, 8), (1.5, 20, 17),
    (2, 8, 20), (2, 16, 20), (2.5, 12, 40), (3, 9, 30), (3, 20, 15),
    (4, 15, 40),
  ]),
  "heat_set_insert": (HeatSetNut, [
    ("M2-0.4-Short", "McMaster-Carr"), ("M2-0.4-Standard", "McMaster-Carr"),
    ("M3-0.5-Short", "McMaster-Carr"), ("M3-0.5-Standard", "McMaster-Carr"),
    ("M4-0.7-Short", "McMaster-Carr"), ("M4-0.7-Standard", "McMaster-Carr"),
    ("M5-0.8-Standard", "McMaster-Carr"), ("M3-0.5-10", "Hilitchi"),
    ("M4-0.7-10", "Hilitchi"), ("M5-0.8-6", "Hilitchi"),
    ("M6-1-12", "Hilitchi"),
  ]),
  "helical_gear": (helical_gear, [
    (1, 20, 20, 14, 6), (1, 36, 20, 10, 10), (1.5, 18, 15, 20, 10),
    (1.5, 30, 30, 12, 14), (2, 24, 20, 25, 15), (2, 34, 15, 20, 30),
    (2.5, 16, 20, 45, 14), (2.5, 28, 30, 20, 22), (3, 20, 25, 30, 20),
    (3, 32, 20, 30, 30), (4, 18, 15, 60, 25),
  ]),
  "hex_flange_screw": (HexHeadWithFlangeScrew, [
    ("M5-0.8", 12, "din1662"), ("M5-0.8", 40, "din1665"),
    ("M6-1", 20, "din1662"), ("M6-1", 60, "din1665"),
    ("M8-1.25", 16, "din1665"), ("M8-1.25", 45, "din1662"),
    ("M10-1.5", 30, "din1665"), ("M10-1.5", 80, "din1662"),
    ("M12-1.75", 35, "din1662"), ("M16-2", 100, "din1665"),
    ("M20-2.5", 80, "din1665"),
  ]),
  "hex_head_screw": (HexHeadScrew, [
    ("M3-0.5", 8, "iso4017"), ("M4-0.7", 30, "iso4014"),
    ("M5-0.8", 16, "iso4017"), ("M6-1", 50, "iso4014"),
    ("M8-1.25", 20, "iso4017"), ("M10-1.5", 100, "din931"),
    ("M12-1.75", 40, "iso4017"), ("M16-2", 80, "iso4014"),
    ("M20-2.5", 50, "iso4017"), ("M24-3", 200, "iso4014"),
    ("M30-3.5", 60, "iso4017"),
  ]),
  "hex_nut": (HexNut, [
    ("M3-0.5", "iso4032"), ("M4-0.7", "iso4035"), ("M5-0.8", "iso4032"),
    ("M6-1", "iso4033"), ("M8-1.25", "iso4035"), ("M10-1.5", "iso4033"),
    ("M12-1.75", "iso4032"), ("M14-2", "iso4035"), ("M16-2", "iso4033"),
    ("M8-1.25", "iso4032"), ("M36-4", "iso4035"),
  ]),
  "internal_retaining_ring": (InternalSnapRing, [
    ("8",), ("10",), ("12",), ("14",), ("16",), ("18",), ("22",), ("26",),
    ("30",), ("42",), ("48",),
  ]),
  "o_ring": (ORing, [
    ("004",), ("006",), ("010",), ("014",), ("024",), ("112",), ("125",),
    ("206",), ("219",), ("312",), ("425",),
  ]),
  "pan_head_screw": (PanHeadScrew, [
    ("M2-0.4", 8, "iso1580"), ("M3-0.5", 20, "iso1580"),
    ("M3.5-0.6", 10, "iso14583"), ("M4-0.7", 30, "iso14583"),
    ("M5-0.8", 12, "iso1580"), ("M5-0.8", 40, "iso14583"),
    ("M6-1", 25, "iso1580"), ("M8-1.25", 16, "iso14583"),
    ("M10-1.5", 45, "iso1580"), ("#10-24", 31.75, "asme_b_18.6.3"),
    ("1/4-20", 50.8, "asme_b_18.6.3"),
  ]),
  "parallel_key": (ShaftKey, [
    (8, 6, "A"), (8, 20, "A"), (10, 12, "A"), (12, 10, "A"), (12, 32, "A"),
    (16, 16, "A"), (20, 40, "A"), (25, 18, "A"), (30, 56, "A"),
    (40, 28, "A"), (50, 100, "A"),
  ]),
  "pipe_elbow": (pipe_elbow, [
    ("1", "40S", 1.5, 90), ("1", "80S", 1.5, 45), ("2", "80S", 1.5, 90),
    ("2", "40S", 1, 90), ("3", "40S", 1.5, 45), ("3", "80S", 3, 90),
    ("4", "10S", 1.5, 60), ("6", "80S", 1.5, 60), ("8", "40S", 1.5, 90),
    ("10", "10S", 1, 90), ("12", "40S", 3, 45),
  ]),
  "plain_washer": (PlainWasher, [
    ("M3", "iso7089"), ("M4", "iso7093"), ("M5", "iso7091"),
    ("M6", "iso7089"), ("M8", "iso7094"), ("M10", "iso7093"),
    ("M12", "iso7091"), ("M16", "iso7089"), ("M20", "iso7094"),
    ("M24", "iso7093"), ("M36", "iso7091"),
  ]),
  "sealed_ball_bearing": (SingleRowCappedDeepGrooveBallBearing, [
    ("M3-10-4",), ("M4-9-3.5",), ("M4-12-4",), ("M5-11-5",), ("M5-13-4",),
    ("M6-19-6",), ("M7-14-5",), ("M8-16-6",), ("M8-22-7",), ("M8-22-11",),
    ("M8-28-6",),
  ]),
  "set_screw": (SetScrew, [
    ("M2-0.4", 4, "iso4026"), ("M2.5-0.45", 10, "iso4026"),
    ("M3-0.5", 6, "iso4026"), ("M4-0.7", 20, "iso4026"),
    ("M5-0.8", 8, "iso4026"), ("M6-1", 25, "iso4026"),
    ("M8-1.25", 10, "iso4026"), ("M8-1.25", 30, "iso4026"),
    ("M10-1.5", 20, "iso4026"), ("M12-1.75", 20, "iso4026"),
    ("M16-2", 40, "iso4026"),
  ]),
  "shoulder_screw": (ShoulderScrew, [
    ("M5-0.8", 10, "iso7379"), ("M5-0.8", 30, "iso7379"),
    ("M6-1", 16, "iso7379"), ("M6-1", 50, "iso7379"),
    ("M8-1.25", 20, "iso7379"), ("M8-1.25", 70, "iso7379"),
    ("M10-1.5", 40, "iso7379"), ("M12-1.75", 25, "iso7379"),
    ("M12-1.75", 90, "iso7379"), ("M16-2", 60, "iso7379"),
    ("M20-2.5", 50, "iso7379"),
  ]),
  "slip_on_flange": (SlipOnFlange, [
    ("3/4", 300, "Raised"), ("1", 300, "Raised"), ("1 1/2", 150, "Flat"),
    ("2", 300, "Flat"), ("3", 150, "Raised"), ("4", 300, "Raised"),
    ("6", 150, "Flat"), ("8", 300, "Raised"), ("10", 150, "Raised"),
    ("12", 300, "Raised"), ("20", 150, "Raised"),
  ]),
  "socket_head_cap_screw": (SocketHeadCapScrew, [
    ("M2-0.4", 10, "iso4762"), ("M3-0.5", 25, "iso4762"),
    ("M4-0.7", 8, "iso4762"), ("M5-0.8", 30, "iso4762"),
    ("M6-1", 12, "iso4762"), ("M8-1.25", 60, "iso4762"),
    ("M10-1.5", 25, "iso4762"), ("M12-1.75", 100, "iso4762"),
    ("M16-2", 40, "iso4762"), ("M20-2.5", 80, "iso4762"),
    ("1/4-20", 38.1, "asme_b18.3"),
  ]),
  "sprocket": (plate_wheel, [
    ("05B", 12, 6), ("05B", 38, 10), ("06B", 15, 8), ("06B", 30, 12),
    ("08B", 10, 10), ("08B", 19, 14), ("08B", 36, 16), ("10B", 17, 20),
    ("10B", 25, 14), ("12B", 13, 20), ("16B", 21, 30),
  ]),
  "spur_gear": (spur_gear, [
    (0.5, 35, 3, 4), (0.8, 26, 12, 6), (1, 18, 10, 6), (1, 30, 8, 8),
    (1.5, 24, 15, 12), (1.5, 34, 12, 20), (2, 20, 20, 14), (2, 36, 16, 18),
    (2.5, 16, 30, 15), (3, 28, 30, 20), (4, 22, 20, 30),
  ]),
  "tapered_roller_bearing": (tapered_roller_bearing, [
    ("M15-42-14.25",), ("M17-40-13.25",), ("M17-47-20.25",), ("M20-42-15",),
    ("M20-52-22.25",), ("M22-44-15",), ("M25-52-19.25",), ("M25-62-18.25",),
    ("M28-58-20.25",), ("M30-62-25",), ("M32-58-17",),
  ]),
  "tooth_lock_washer": (InternalToothLockWasher, [
    ("M2", "din6797"), ("M3", "din6797"), ("M5", "din6797"),
    ("M6", "din6797"), ("M8", "din6797"), ("M10", "din6797"),
    ("M12", "din6797"), ("M16", "din6797"), ("M24", "din6797"),
    ("1/4", "asme_b18.21.1"), ("1/2", "asme_b18.21.1"),
  ]),
  "weld_neck_flange": (WeldNeckFlange, [
    ("3/4", 300, "Raised"), ("1", 300, "Flat"), ("1 1/2", 150, "Flat"),
    ("2", 300, "Raised"), ("2 1/2", 150, "Raised"), ("3", 300, "Flat"),
    ("4", 150, "Raised"), ("5", 300, "Raised"), ("6", 150, "Raised"),
    ("8", 150, "Flat"), ("12", 150, "Raised"),
  ]),
  "worm": (Worm, [
    (1, 1, 16, 20), (1, 2, 12, 30), (1.5, 1, 14, 20), (2, 1, 11.2, 40),
    (2, 2, 11.2, 30), (2, 4, 11.2, 50), (2.5, 1, 10, 60), (3, 1, 10, 40),
    (3, 3, 8, 30), (4, 2, 10, 60), (5, 4, 9, 60),
  ]),
}
# fmt: on


def triangulate(part) -> np.ndarray:
  """Returns the triangles of a part, outward, float64 [F, 3, 3] in mm."""
  diagonal = part.bounding_box().diagonal
  tolerance = MAX_DEFLECTION * diagonal
  # part.mesh alone would take the tolerance relative to the edges.
  BRepMesh_IncrementalMesh(part.wrapped, tolerance, False, MAX_ANGLE, False)
  nodes, faces = part.tessellate(tolerance, MAX_ANGLE)
  vertices, index = np.unique(
    np.round([tuple(node) for node in nodes], 3), axis=0, return_inverse=True
  )
  faces = index[np.array(faces)]
  if len(faces) > FACE_LIMIT:
    # The simplifier's thresholds are absolute: at 1000 they order the edges.
    unit = diagonal / 1000
    vertices, faces = fast_simplification.simplify(
      (vertices / unit).astype(np.float32), faces, target_count=FACE_LIMIT
    )
    vertices = vertices.astype(float) * unit
  # On a grid of a power of two the low bits are zero, which packs better.
  grid = 2.0 ** math.floor(math.log2(diagonal / GRID_STEPS))
  triangles = (np.round(vertices / grid) * grid)[faces]
  edges = triangles[:, 1:] - triangles[:, :1]
  return triangles[np.cross(edges[:, 0], edges[:, 1]).any(axis=-1)]


def encode_stl(triangles: np.ndarray) -> bytes:
  """Returns triangles [F, 3, 3] as a binary STL.

  The normals are zero, which tells a reader to derive them from the corners,
  and halves the archive.
  """
  facets = np.zeros(
    len(triangles),
    [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")],
  )
  facets["corners"] = triangles
  header = b"dr3d catalogue, millimetres".ljust(80, b"\0")
  return header + len(facets).to_bytes(4, "little") + facets.tobytes()


def name_part(arguments: tuple) -> str:
  """Returns a file name: ("1 1/4", 150, "Flat") -> "1-1-4_150_flat"."""
  words = (re.sub(r"[^a-z0-9.]+", "-", str(a).lower()) for a in arguments)
  return "_".join(word.strip("-") for word in words)


def build_class(name: str) -> dict[str, bytes]:
  """Returns the STL files of a class by their paths in the archive."""
  build, rows = PARTS[name]
  files = {}
  for row in rows:
    path = f"{name}/{name_part(row)}.stl"
    try:
      files[path] = encode_stl(triangulate(build(*row)))
    except Exception as error:  # bd_warehouse raises many types
      print(f"skipped {path}: {error!r}")
  return files


def describe_source() -> str:
  """Returns the text of SOURCE.txt."""
  warehouse = metadata.version("bd_warehouse")
  builder = metadata.version("build123d")
  return (
    "Standard parts, lengths in millimetres; a folder is a class.\n"
    f"Made with bd_warehouse {warehouse} (Apache-2.0) and build123d {builder}\n"
    "(Apache-2.0) by experiments/make_catalogue.py of dr3d. Threads are not\n"
    "modelled. For tests and teaching, not for manufacture.\n"
  )


def write_archive(path: str, files: dict[str, bytes]) -> None:
  """Writes a zip whose bytes depend on nothing but the files."""
  with zipfile.ZipFile(path, "w") as archive:
    for name in sorted(files):
      entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
      entry.external_attr = 0o644 << 16
      archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED, 9)


def main(argv: list[str]) -> None:
  del argv
  logging.set_verbosity(logging.WARNING)  # build123d logs every step
  files = {"SOURCE.txt": describe_source().encode()}
  for name in CLASSES.value or PARTS:
    made = build_class(name)
    files |= made
    print(f"{name:28}{len(made):3} parts", flush=True)
  write_archive(OUT.value, files)
  size = pathlib.Path(OUT.value).stat().st_size
  print(f"{OUT.value}: {len(files) - 1} parts, {size / 1e6:.2f} MB")


if __name__ == "__main__":
  app.run(main)
