"""The JSON, buffers and tables of numbers of a glTF 2.0 file.

Sections of the specification: 3.6 binary data storage, 4 GLB file format.
"""

import base64
import binascii
import dataclasses
import json
import pathlib
import struct
import urllib.parse
from typing import Any

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.raw import ROW_LIMIT
from dr3d.mesh.io.text import decode_text

_TYPES: dict[int, np.dtype] = {  # 3.6.2.2: component types
  5120: np.dtype("<i1"),
  5121: np.dtype("<u1"),
  5122: np.dtype("<i2"),
  5123: np.dtype("<u2"),
  5125: np.dtype("<u4"),
  5126: np.dtype("<f4"),
}
_SIZES = {
  "SCALAR": 1,
  "VEC2": 2,
  "VEC3": 3,
  "VEC4": 4,
  "MAT2": 4,
  "MAT3": 9,
  "MAT4": 16,
}
_JSON, _BIN = 0x4E4F534A, 0x004E4942  # 4.4.3.1: types of chunks


@dataclasses.dataclass(eq=False)
class Document:
  """A glTF file.

  Attributes:
    tree: its JSON.
    chunk: the binary chunk of a GLB file.
    folder: where its buffers lie.
  """

  tree: dict[str, Any]
  chunk: bytes
  folder: pathlib.Path

  def __post_init__(self):
    self._buffers: dict[int, bytes] = {}

  def items(self, name: str) -> list:
    """Returns a list of the document; empty if it has none."""
    items = self.tree.get(name, [])
    if not isinstance(items, list):
      raise MeshError(f"is damaged: its {name} are no list; export it again")
    return items

  def item(self, name: str, number: Any) -> dict[str, Any]:
    """Returns an entry of a list of the document."""
    items = self.items(name)
    if (
      not isinstance(number, int)
      or isinstance(number, bool)
      or not 0 <= number < len(items)
    ):
      raise MeshError(
        f"refers to number {str(number)[:40]} of its {name}, of which it has "
        f"{len(items)}; export it again"
      )
    return items[number]

  def has_data(self, number: int) -> bool:
    """Tells whether an accessor has numbers, not only their count."""
    accessor = self.item("accessors", number)
    return "bufferView" in accessor or "sparse" in accessor

  def read(self, number: int, *, exact: bool = False) -> np.ndarray:
    """Returns the numbers of an accessor, [count, components].

    Args:
      number: of the accessor.
      exact: integers as they are, int64; otherwise float64, integers that
        are normalised as 3.6.2.2 says.

    Raises:
      MeshError: the numbers are not there. The message is a predicate.
    """
    accessor = self.item("accessors", number)
    kind = _TYPES.get(accessor["componentType"])
    size = _SIZES.get(accessor["type"])
    count = accessor["count"]
    if kind is None or size is None or not isinstance(count, int) or count < 0:
      raise MeshError("has a table of an unknown type; export it again")
    if count > ROW_LIMIT:
      raise MeshError(f"announces {count} rows in one table, more than allowed")
    sparse = accessor.get("sparse")
    if "bufferView" in accessor:
      view, start = accessor["bufferView"], accessor.get("byteOffset", 0)
      table = self._read_view(view, start, kind, count, size)
    else:
      table = np.zeros((count, size), kind)  # 3.6.2.3: all zero
    if sparse:
      table = self._replace(table, sparse, size)
    if exact:
      return table.astype(np.int64)
    if accessor.get("normalized") and kind.kind in "iu":
      # 3.6.2.2: f = max(c / 127, -1) and so on
      scaled = table.astype(np.float64) / np.iinfo(kind).max
      return np.maximum(scaled, -1)
    return table.astype(np.float64)

  def view_bytes(self, number: int) -> bytes:
    """Returns the bytes of a buffer view."""
    view = self.item("bufferViews", number)
    extensions = view.get("extensions", {})
    data = self._buffer(view["buffer"])
    start, length = view.get("byteOffset", 0), view["byteLength"]
    packed = [name for name in extensions if "meshopt_compression" in name]
    if packed and start + length > len(data):
      raise MeshError(
        f"is compressed by meshoptimizer (extension {packed[0]}), which "
        "cannot be read; export it without compression"
      )
    if start < 0 or length < 0 or start + length > len(data):
      raise _truncated(f"{start + length} bytes of a buffer of {len(data)}")
    return data[start : start + length]

  def _replace(
    self, table: np.ndarray, sparse: dict[str, Any], size: int
  ) -> np.ndarray:
    """Puts the rows of a sparse accessor into a table (3.6.2.3)."""
    count, places, values = (
      sparse[name] for name in ("count", "indices", "values")
    )
    if not 0 <= count <= len(table):
      raise MeshError("has a sparse table of more rows than it replaces")
    kind = _TYPES[places["componentType"]]
    rows = self._read_view(
      places["bufferView"], places.get("byteOffset", 0), kind, count, 1
    )[:, 0].astype(np.int64)
    if count and not (rows.min() >= 0 and rows.max() < len(table)):
      raise MeshError("has a sparse table with a row number out of range")
    table = table.copy()
    table[rows] = self._read_view(
      values["bufferView"],
      values.get("byteOffset", 0),
      table.dtype,
      count,
      size,
    )
    return table

  def _read_view(
    self, view: int, start: int, kind: np.dtype, count: int, size: int
  ) -> np.ndarray:
    """Returns rows of numbers of a buffer view, [count, size]."""
    data = self.view_bytes(view)
    width = kind.itemsize * size
    stride = self.item("bufferViews", view).get("byteStride") or width
    need = start + stride * (count - 1) + width if count else start
    if start < 0 or stride < width or need > len(data):
      raise _truncated(f"{need} bytes of a view of {len(data)}")
    return np.ndarray((count, size), kind, data, start, (stride, kind.itemsize))

  def _buffer(self, number: int) -> bytes:
    """Returns a buffer, out of the file or beside it."""
    if number not in self._buffers:
      buffer = self.item("buffers", number)
      uri = buffer.get("uri")
      fallback = any(
        extension.get("fallback")
        for name, extension in buffer.get("extensions", {}).items()
        if "meshopt_compression" in name
      )
      if fallback and uri is None:
        data = b""
      elif uri is not None:
        data = _read_uri(uri, self.folder)
      elif number == 0 and self.chunk:
        data = self.chunk
      else:
        # What an extension packs may leave its plain buffer without bytes.
        data = b""
      if uri is not None and len(data) < buffer.get("byteLength", 0):
        raise _truncated(f"a buffer of {buffer['byteLength']} bytes")
      self._buffers[number] = data
    return self._buffers[number]


def read_document(data: bytes, path: pathlib.Path) -> Document:
  """Takes a glTF or GLB file apart.

  Raises:
    MeshError: it is of another version, truncated or no JSON.
  """
  chunk = b""
  text = data
  if data[:4] == b"glTF":
    _check_version(str(int.from_bytes(data[4:8], "little")))
    text, chunk = _split_chunks(data)
  try:
    tree = json.loads(decode_text(text).rstrip("\0 "))
    if not isinstance(tree, dict) or not isinstance(tree["asset"], dict):
      raise ValueError("no asset")
  except (ValueError, KeyError, RecursionError) as error:
    raise MeshError(
      "is damaged: its description of the scene cannot be read; export it again"
    ) from error
  asset = tree["asset"]
  least = str(asset.get("minVersion", asset.get("version", "")))
  # A later minor version stays readable unless it says otherwise (3.2).
  exact = "minVersion" in asset or not least.startswith("2.")
  _check_version(least if exact else "2.0")
  return Document(tree, chunk, path.parent)


def _check_version(version: str) -> None:
  """Refuses all but version 2.0; 1 is the version of a GLB's head for 1.0."""
  if version in ("2", "2.0"):
    return
  name = {"1": "1.0", "": "unknown"}.get(version, version[:20])
  raise MeshError(
    f"is glTF of version {name}, but only version 2.0 can be read; export it "
    "as glTF 2.0"
  )


def _split_chunks(data: bytes) -> tuple[bytes, bytes]:
  """Returns the JSON and the binary chunk of a GLB file (4.4)."""
  total = int.from_bytes(data[8:12], "little")
  if len(data) < max(total, 20):
    raise _truncated(f"{max(total, 20)} bytes", len(data))
  found: dict[int, bytes] = {}
  at = 12
  while at + 8 <= total:
    length, kind = struct.unpack_from("<II", data, at)
    if at + 8 + length > total:
      raise _truncated(f"{at + 8 + length} bytes", total)
    found.setdefault(kind, data[at + 8 : at + 8 + length])
    at += 8 + length
  return found.get(_JSON, b""), found.get(_BIN, b"")


def _read_uri(uri: str, folder: pathlib.Path) -> bytes:
  """Returns what a URI holds: data in itself, or a file beside the glTF."""
  if uri.startswith("data:"):
    head, _, body = uri.partition(",")
    body = urllib.parse.unquote(body)
    if not head.endswith(";base64"):
      return body.encode("latin-1", "replace")
    try:
      return base64.b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError) as error:
      raise MeshError("is damaged: a buffer is not base64") from error
  if urllib.parse.urlsplit(uri).scheme in ("http", "https", "file", "ftp"):
    raise MeshError(
      f"keeps a buffer at the address {uri[:200]}, which is not opened; "
      "export it as GLB, which is one file"
    )
  # 2.8: reserved characters are escaped; not all writers do so
  plain = urllib.parse.unquote(uri)
  for name in (plain, uri, plain.replace("\\", "/")):
    try:
      return (folder / name).read_bytes()
    except (FileNotFoundError, ValueError, OSError):
      continue
  raise MeshError(
    f"needs the file {urllib.parse.unquote(uri)[:200]} beside it, which is "
    "missing"
  )


def _truncated(need: str, length: int | None = None) -> MeshError:
  has = f"it has {length} of {need}" if length is not None else f"needs {need}"
  if length is None:
    return MeshError(f"is truncated or damaged: it {has}; export it again")
  return MeshError(f"is truncated: {has}; export it again")
