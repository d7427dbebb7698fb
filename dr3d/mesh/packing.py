"""A mesh as compressed bytes and back, without loss.

Normals are not stored: `corner_normals` computes the same ones again.
"""

import struct
import zlib

import numpy as np

from dr3d.mesh.mesh import Mesh
from dr3d.mesh.normal import corner_normals

_HEADER = struct.Struct("<BII")  # format version, vertex count, face count
_VERSION = 1
_MEASURE_COUNT = 9 + 3 + 1 + 3  # float64: frame, moments, radius, extent


def pack_mesh(mesh: Mesh) -> bytes:
  """Returns the mesh as bytes, about 10 for each face."""
  measures = np.concatenate(
    [mesh.frame.reshape(-1), mesh.moments, [mesh.radius], mesh.extent]
  )
  parts = [
    _HEADER.pack(_VERSION, len(mesh.vertices), len(mesh.faces)),
    measures.astype("<f8").tobytes(),
    mesh.vertices.astype("<f4").tobytes(),
    mesh.faces.astype("<i4").tobytes(),
  ]
  return zlib.compress(b"".join(parts))


def unpack_mesh(data: bytes) -> Mesh:
  """Returns the mesh that `pack_mesh` was given.

  Raises:
    ValueError: the bytes are not a packed mesh of this version.
  """
  try:
    data = zlib.decompress(data)
    version, vertex_count, face_count = _HEADER.unpack_from(data)
    split = _HEADER.size + 8 * _MEASURE_COUNT
    measures = np.frombuffer(data, "<f8", _MEASURE_COUNT, _HEADER.size)
    vertices = np.frombuffer(data, "<f4", 3 * vertex_count, split)
    faces = np.frombuffer(data, "<i4", -1, split + 12 * vertex_count)
    vertices = vertices.reshape(-1, 3).astype(np.float32)
    faces = faces.reshape(face_count, 3).astype(np.int32)
  except (zlib.error, struct.error, ValueError) as error:
    raise ValueError(f"not a packed mesh: {error}") from error
  if version != _VERSION:
    raise ValueError(f"a mesh packed in version {version}, not {_VERSION}")
  return Mesh(
    vertices=vertices,
    faces=faces,
    normals=corner_normals(vertices, faces).astype(np.float32),
    frame=measures[:9].reshape(3, 3).astype(np.float32),
    moments=measures[9:12].astype(np.float32),
    radius=float(measures[12]),
    extent=measures[13:].copy(),
  )
