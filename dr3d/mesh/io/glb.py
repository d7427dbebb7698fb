"""A mesh as GLB, the binary form of glTF 2.0, for viewers.

glTF 2.0 specification, The Khronos Group, sections 4 (GLB) and 3.6 (buffers).
"""

import json
import struct

import numpy as np

from dr3d.mesh import Mesh

_METRES = 1e-3  # of a millimetre; glTF's unit is the metre
_FLOAT, _UNSIGNED = 5126, 5125  # glTF's component types
_CORNERS, _INDICES = 34962, 34963  # its targets of buffer views
_FINE = 64  # steps of a normal's components, within which two are one
_PAINT = {
  "pbrMetallicRoughness": {
    "baseColorFactor": [0.62, 0.68, 0.76, 1],
    "metallicFactor": 0.1,
    "roughnessFactor": 0.6,
  },
  "doubleSided": True,  # scans and surfaces have no inside
}


def write_glb(mesh: Mesh) -> bytes:
  """Writes a mesh in its principal pose, as the learned views see it.

  The centre of the smallest enclosing sphere is the origin; the size is the
  true one where the mesh is in millimetres.

  Args:
    mesh: the model.

  Returns:
    A GLB file with one body, whose normals are those of the mesh.
  """
  corners = mesh.faces.reshape(-1)
  normals = (mesh.normals @ mesh.frame.T).reshape(-1, 3)
  grid = np.round(normals * _FINE).astype(np.int64) + _FINE
  side = 2 * _FINE + 1
  key = corners.astype(np.int64)
  for axis in range(3):
    key = key * side + grid[:, axis]
  _, first, index = np.unique(key, return_index=True, return_inverse=True)
  places = mesh.vertices @ mesh.frame.T * (mesh.radius * _METRES)
  places = places[corners[first]].astype("<f4")
  parts = [
    places.tobytes(),
    normals[first].astype("<f4").tobytes(),
    index.reshape(-1).astype("<u4").tobytes(),
  ]
  count = len(places)
  tree = {
    "asset": {"version": "2.0", "generator": "dr3d"},
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0}],
    "materials": [_PAINT],
    "meshes": [
      {
        "primitives": [
          {
            "attributes": {"POSITION": 0, "NORMAL": 1},
            "indices": 2,
            "material": 0,
          }
        ]
      }
    ],
    "accessors": [
      {
        **_accessor(0, _FLOAT, count, "VEC3"),
        "min": places.min(axis=0).tolist(),
        "max": places.max(axis=0).tolist(),
      },
      _accessor(1, _FLOAT, count, "VEC3"),
      _accessor(2, _UNSIGNED, index.size, "SCALAR"),
    ],
    "bufferViews": _views(parts),
    "buffers": [{"byteLength": sum(map(len, parts))}],
  }
  text = json.dumps(tree, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 4)
  data = b"".join(parts)  # multiples of four bytes, all of them
  head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
  return b"".join(
    [
      head,
      struct.pack("<I4s", len(text), b"JSON"),
      text,
      struct.pack("<I4s", len(data), b"BIN\0"),
      data,
    ]
  )


def _accessor(view: int, component: int, count: int, kind: str) -> dict:
  return {
    "bufferView": view,
    "componentType": component,
    "count": count,
    "type": kind,
  }


def _views(parts: list[bytes]) -> list[dict]:
  """Where each part lies in the buffer."""
  views, start = [], 0
  for part, target in zip(parts, (_CORNERS, _CORNERS, _INDICES), strict=True):
    views.append(
      {
        "buffer": 0,
        "byteOffset": start,
        "byteLength": len(part),
        "target": target,
      }
    )
    start += len(part)
  return views
