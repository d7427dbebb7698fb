"""A mesh as compressed bytes and back, without loss.

Normals are not stored: `corner_normals` computes the same ones again.
"""

import struct
import zlib

import numpy as np

from dr3d.mesh.mesh import Mesh
from dr3d.mesh.normal import corner_normals

_HEADER = struct.Struct("<BII")  # format version, vertex count, face count
_VERSION, _COLORED = 2, 3
# float64: frame, moments, radius, extent; since version 2, boxes
_MEASURE_COUNTS = {1: 9 + 3 + 1 + 3, _VERSION: 9 + 3 + 1 + 3 + 3 + 3}
_MEASURE_COUNTS[_COLORED] = _MEASURE_COUNTS[_VERSION]
_STEPS = 255  # of a colour, see `io.color`


def pack_mesh(mesh: Mesh) -> bytes:
  """Returns the mesh as bytes, about 10 for each face."""
  measures: list[np.ndarray] = [
    mesh.frame.reshape(-1),
    mesh.moments,
    np.array([mesh.radius]),
    mesh.extent,
  ]
  version = 1
  if mesh.box is not None and mesh.smallest_box is not None:
    version = _VERSION
    measures += [mesh.box, mesh.smallest_box]
    if mesh.colors is not None:
      version = _COLORED
  parts = [
    _HEADER.pack(version, len(mesh.vertices), len(mesh.faces)),
    np.concatenate(measures).astype("<f8").tobytes(),
    mesh.vertices.astype("<f4").tobytes(),
    mesh.faces.astype("<i4").tobytes(),
  ]
  if version == _COLORED:
    assert mesh.colors is not None
    parts.append(np.rint(mesh.colors * _STEPS).astype("u1").tobytes())
  return zlib.compress(b"".join(parts))


def unpack_boxes(data: bytes) -> tuple[np.ndarray, np.ndarray] | None:
  """Boxes of a packed mesh, without unpacking all of it.

  Returns:
    `box` and `smallest_box` of the mesh; None if they were not stored.
  """
  length = _HEADER.size + 8 * _MEASURE_COUNTS[_VERSION]
  head = zlib.decompressobj().decompress(data, length)
  if len(head) < length or _HEADER.unpack_from(head)[0] < _VERSION:
    return None
  count = _MEASURE_COUNTS[_VERSION]
  box, smallest = np.frombuffer(head, "<f8", count, _HEADER.size)[-6:].reshape(
    2, 3
  )
  return box, smallest


def unpack_mesh(data: bytes) -> Mesh:
  """Returns the mesh that `pack_mesh` was given.

  Raises:
    ValueError: the bytes are not a packed mesh of a version that is known.
  """
  vertices, faces, measures, colors = _unpack(data)
  boxes = measures[16:].reshape(-1, 3).copy()
  return Mesh(
    vertices=vertices,
    faces=faces,
    normals=corner_normals(vertices, faces).astype(np.float32),
    frame=measures[:9].reshape(3, 3).astype(np.float32),
    moments=measures[9:12].astype(np.float32),
    radius=float(measures[12]),
    extent=measures[13:16].copy(),
    box=boxes[0] if len(boxes) else None,
    smallest_box=boxes[1] if len(boxes) else None,
    colors=colors,
  )


def unpack_surface(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns vertices, faces and frame of a packed mesh.

  For those who need no normals, which take most of the time of `unpack_mesh`:
  1.6 of 1.8 ms for 1 000 faces.

  Raises:
    ValueError: the bytes are not a packed mesh of a version that is known.
  """
  vertices, faces, measures, _ = _unpack(data)
  return vertices, faces, measures[:9].reshape(3, 3).astype(np.float32)


def _unpack(
  data: bytes,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
  """Returns vertices [V, 3], faces [F, 3], the measures and the colours."""
  try:
    data = zlib.decompress(data)
    version, vertex_count, face_count = _HEADER.unpack_from(data)
    if version not in _MEASURE_COUNTS:
      raise ValueError(f"version {version} is not known")
    count = _MEASURE_COUNTS[version]
    split = _HEADER.size + 8 * count
    measures = np.frombuffer(data, "<f8", count, _HEADER.size)
    vertices = np.frombuffer(data, "<f4", 3 * vertex_count, split)
    split += 12 * vertex_count
    faces = np.frombuffer(data, "<i4", 3 * face_count, split)
    rest = data[split + 12 * face_count :]
    colors = None
    if version == _COLORED:
      steps = np.frombuffer(rest, "u1").reshape(face_count, 3, 3)
      steps = steps.astype(np.float64)
      colors = (steps / _STEPS).astype(np.float32)
    elif len(rest):
      raise ValueError(f"{len(rest)} bytes too many")
    vertices = vertices.reshape(-1, 3).astype(np.float32)
    faces = faces.reshape(face_count, 3).astype(np.int32)
  except (zlib.error, struct.error, ValueError) as error:
    raise ValueError(f"not a packed mesh: {error}") from error
  return vertices, faces, measures, colors
