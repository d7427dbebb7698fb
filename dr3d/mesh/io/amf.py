"""AMF files: ISO/ASTM 52915:2020, plain XML or in a zip archive.

Curved triangles are read as flat ones: the standard allows a reader to.
"""

import pathlib

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.archive import Archive
from dr3d.mesh.io.assembly import Assembly
from dr3d.mesh.io.raw import Geometry, RawMesh, join_bodies
from dr3d.mesh.io.xml import (
  Element,
  child,
  children,
  local_name,
  parse_xml,
  to_array,
)
from dr3d.mesh.unit import UNITS, parse_unit

_ZIP = b"PK\3\4"


def read_amf(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads an AMF file; volumes of the type "support" are left out.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  del path
  if data.startswith(_ZIP):
    data = _unpack(data)
  root = parse_xml(data, "the file")
  if local_name(root).lower() != "amf":
    raise MeshError("is not an AMF file: its root is no amf element")
  assembly = Assembly()
  left_out = 0
  for element in children(root, "object"):
    bodies, supports = _read_object(element)
    key = ("object", element.get("id"))
    assembly.groups[key] = []
    for number, body in enumerate(bodies):
      assembly.meshes[key, number] = [body]
      assembly.place(key, (key, number))
    left_out += supports
  for key in _place_objects(root, assembly):
    assembly.place("build", key)
  bodies, count = assembly.expand("build")
  warnings = []
  if left_out:
    warnings.append(f"has {left_out} volumes of support, which were left out")
  unit = parse_unit(root.get("unit")) or UNITS["mm"]
  return join_bodies(
    bodies, unit=unit, body_count=count, warnings=warnings, runs=assembly.runs
  )


def is_amf(head: bytes) -> bool:
  """Tells whether a file begins as an AMF file in XML does."""
  return b"<amf" in head[:4096].lower()


def _unpack(data: bytes) -> bytes:
  archive = Archive(data, "AMF")
  names = [name for name in archive.names if name.lower().endswith(".amf")]
  if len(names) != 1:
    raise MeshError(
      f"is a zip archive with {len(names)} AMF files, not one; export it again"
    )
  return archive.read(names[0])


def _place_objects(root: Element, assembly: Assembly) -> list:
  """Adds the constellations; returns what stands in none of them."""
  inner = set()
  objects = set(assembly.groups)
  for constellation in children(root, "constellation"):
    key = ("constellation", constellation.get("id"))
    for instance in children(constellation, "instance"):
      number = instance.get("objectid")
      target = ("object", number)
      if target not in objects:
        target = ("constellation", number)
      inner.add(target)
      assembly.place(key, target, _read_place(instance))
  missing = [key for key in inner if key not in assembly.groups]
  if missing:
    raise MeshError(
      f"refers to the object {missing[0][1]!r}, which it lacks; export it again"
    )
  return [key for key in assembly.groups if key not in inner]


def _read_place(instance: Element) -> np.ndarray:
  """Returns the transform [4, 4] of an instance: turned, then moved."""
  import scipy.spatial.transform

  names = ("rx", "ry", "rz", "deltax", "deltay", "deltaz")
  numbers = to_array(
    [_text(child(instance, name)) or "0" for name in names], float, "a place"
  )
  result = np.eye(4)
  rotation = scipy.spatial.transform.Rotation.from_euler(
    "xyz", numbers[:3], degrees=True
  )
  result[:3, :3] = rotation.as_matrix()
  result[:3, 3] = numbers[3:]
  return result


def _read_object(element: Element) -> tuple[list[Geometry], int]:
  """Returns the volumes of an object, and how many supports there are."""
  bodies: list[Geometry] = []
  supports = 0
  for mesh in children(element, "mesh"):
    points = [
      _text(child(place, axis)) or "?"
      for vertex in children(child(mesh, "vertices"), "vertex")
      for place in children(vertex, "coordinates")
      for axis in "xyz"
    ]
    vertices = to_array(points, float, "a vertex").reshape(-1, 3)
    for volume in children(mesh, "volume"):
      if volume.get("type", "").lower() == "support":
        supports += 1
        continue
      corners = [
        _text(child(triangle, name)) or "?"
        for triangle in children(volume, "triangle")
        for name in ("v1", "v2", "v3")
      ]
      faces = to_array(corners, np.int64, "a triangle").reshape(-1, 3)
      bodies.append((vertices, faces))
  return bodies, supports


def _text(element: Element | None) -> str:
  return "" if element is None else (element.text or "").strip()
