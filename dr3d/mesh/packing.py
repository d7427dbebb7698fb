"""A mesh as bytes and back, exactly: its normals are made anew."""

import struct
import zlib

import numpy as np

from dr3d.mesh import Mesh
from dr3d.mesh.normal import corner_normals

_HEAD = struct.Struct("<BII")  # version, vertices, faces
_VERSION = 1
_FACTS = 9 + 3 + 1 + 3  # frame, moments, radius, extent


def pack_mesh(mesh: Mesh) -> bytes:
  """Returns some ten bytes a face."""
  facts = np.concatenate(
    [mesh.frame.reshape(-1), mesh.moments, [mesh.radius], mesh.extent]
  )
  parts = [
    _HEAD.pack(_VERSION, len(mesh.vertices), len(mesh.faces)),
    facts.astype("<f8").tobytes(),
    mesh.vertices.astype("<f4").tobytes(),
    mesh.faces.astype("<i4").tobytes(),
  ]
  return zlib.compress(b"".join(parts))


def unpack_mesh(data: bytes) -> Mesh:
  """Returns the mesh that was packed.

  Raises:
    ValueError: the bytes are no mesh.
  """
  try:
    data = zlib.decompress(data)
    version, vertex_count, face_count = _HEAD.unpack_from(data)
    split = _HEAD.size + 8 * _FACTS
    facts = np.frombuffer(data, "<f8", _FACTS, _HEAD.size)
    vertices = np.frombuffer(data, "<f4", 3 * vertex_count, split)
    faces = np.frombuffer(data, "<i4", -1, split + 12 * vertex_count)
    vertices = vertices.reshape(-1, 3).astype(np.float32)
    faces = faces.reshape(face_count, 3).astype(np.int32)
  except (zlib.error, struct.error, ValueError) as error:
    raise ValueError(f"no packed mesh: {error}") from error
  if version != _VERSION:
    raise ValueError(f"a mesh packed in version {version}, not {_VERSION}")
  return Mesh(
    vertices=vertices,
    faces=faces,
    normals=corner_normals(vertices, faces).astype(np.float32),
    frame=facts[:9].reshape(3, 3).astype(np.float32),
    moments=facts[9:12].astype(np.float32),
    radius=float(facts[12]),
    extent=facts[13:].copy(),
  )
