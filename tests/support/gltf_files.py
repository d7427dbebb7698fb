"""glTF files, written table by table."""

import json
import struct

import numpy as np

_TYPES = {
  "f4": 5126,
  "u4": 5125,
  "u2": 5123,
  "i2": 5122,
  "u1": 5121,
  "i1": 5120,
}


class Gltf:
  """A document under construction."""

  def __init__(self):
    self.tree = {
      "asset": {"version": "2.0"},
      "scene": 0,
      "scenes": [{"nodes": []}],
      "nodes": [],
      "meshes": [],
      "accessors": [],
      "bufferViews": [],
    }
    self.data = b""

  def view(self, data: bytes, **options) -> int:
    """Adds bytes; returns the number of their view."""
    self.data += b"\0" * (-len(self.data) % 4)
    view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
    self.tree["bufferViews"].append(view | options)
    self.data += data
    return len(self.tree["bufferViews"]) - 1

  def table(self, rows, kind="f4", **options) -> int:
    """Adds an accessor; returns its number."""
    rows = np.asarray(rows, "<" + kind)
    width = rows.shape[1] if rows.ndim == 2 else 1
    entry = {
      "bufferView": self.view(rows.tobytes()),
      "componentType": _TYPES[kind],
      "count": len(rows),
      "type": {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width],
    }
    return self.add("accessors", {**entry, **options})

  def add(self, name: str, entry: dict) -> int:
    """Adds an entry to a list; returns its number."""
    self.tree.setdefault(name, []).append(entry)
    return len(self.tree[name]) - 1

  def mesh(self, vertices, faces=None, **options) -> int:
    """Adds a mesh of one primitive, in millimetres; returns its number."""
    attributes = {"POSITION": self.table(np.asarray(vertices, float) / 1000)}
    primitive = {"attributes": attributes | options.pop("attributes", {})}
    if faces is not None:
      primitive["indices"] = self.table(np.reshape(faces, -1), "u2")
    return self.add("meshes", {"primitives": [primitive | options]})

  def node(self, root=True, **entry) -> int:
    """Adds a node, to the scene as well if it is a root."""
    number = self.add("nodes", entry)
    if root:
      self.tree["scenes"][0]["nodes"].append(number)
    return number

  def glb(self) -> bytes:
    """The document as one file."""
    tree = {k: v for k, v in self.tree.items() if v != []}
    if self.data:
      tree["buffers"] = [
        {"byteLength": len(self.data)} | tree.get("buffers", [{}])[0]
      ]
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    data = self.data + b"\0" * (-len(self.data) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if data:
      chunks += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
