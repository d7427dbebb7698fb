"""What must be looked at in a mesh file before trimesh is asked to read it.

Each function returns the data to read on, or raises a MeshError whose text is
the predicate of a sentence that begins with the name of the file.
"""

import io
import json
import pathlib
import re
import urllib.parse
import zipfile
from typing import Any

from dr3d.error import MeshError

_UNPACKED_LIMIT = 4 << 30  # bytes; an archive can claim to hold anything
_COUNT_LIMIT = 300_000_000  # rows; so can an accessor that has no data
_ZERO = re.compile(r"^[ \t]*f[ \t](.*[ \t])?0+([/ \t]|$)", re.MULTILINE)
_RELATIVE = re.compile(r"^[ \t]*f[ \t].*-\d", re.MULTILINE)


def tidy_text(data: bytes) -> bytes:
  """Returns text as UTF-8 without a byte order mark, lines ended by LF."""
  try:
    text = data.decode("utf-8-sig")
  except UnicodeDecodeError:  # names and comments in some older code page
    text = data.decode("latin-1")
  return text.replace("\r\n", "\n").replace("\r", "\n").encode()


def tidy_obj(data: bytes) -> bytes:
  """Returns an OBJ whose vertex numbers count from the first vertex.

  Relative numbers count back from the line they stand in; trimesh counts
  from the end of the file.
  """
  data = tidy_text(data)
  text = data.decode().replace("\\\n", " ")
  if _ZERO.search(text):
    raise MeshError("has a face with vertex 0, where OBJ counts from 1")
  if not _RELATIVE.search(text):
    return data
  lines, count = [], 0
  for line in text.splitlines():
    words = line.split()
    if words and words[0] == "v":
      count += 1
    elif words and words[0] == "f":
      numbers = [int(word.split("/")[0]) for word in words[1:]]
      if min(numbers, default=0) < -count:
        raise MeshError(
          f"has a face with vertex {min(numbers)} where only {count} came "
          "before; export it again"
        )
      numbers = [n + count + 1 if n < 0 else n for n in numbers]
      line = " ".join(["f", *map(str, numbers)])
    lines.append(line)
  return "\n".join(lines).encode()


def tidy_off(data: bytes) -> bytes:
  """Returns an OFF file that has as many rows as its head announces."""
  text = re.sub(r"#.*", "", tidy_text(data).decode())
  mark = text.find("OFF")
  if mark < 0 or len(text[:mark].strip()) > 4:
    raise MeshError('is no OFF file: it does not begin with "OFF"')
  head, *rows = [row for row in text[mark + 3 :].splitlines() if row.strip()]
  vertex_count, face_count = (int(word) for word in head.split()[:2])
  wanted = vertex_count + face_count
  cut = len(rows) < wanted
  if face_count and not cut:
    last = rows[wanted - 1].split()
    cut = len(last) < 1 + int(last[0])
  if cut:
    raise MeshError(
      f"is truncated: it has {len(rows)} rows where its head announces "
      f"{wanted}, or the last row is cut; export it again"
    )
  return "\n".join(["OFF", head, *rows]).encode()


def check_archive(data: bytes) -> bytes:
  """Refuses what is no zip archive, and what unpacks without end."""
  try:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
      unpacked = sum(entry.file_size for entry in archive.infolist())
  except Exception as error:
    raise MeshError(
      "is damaged: a 3MF file is a zip archive, and this one cannot be "
      "opened; export it again"
    ) from error
  if unpacked > _UNPACKED_LIMIT:
    raise MeshError(
      f"would unpack to {unpacked >> 20} MB, more than the "
      f"{_UNPACKED_LIMIT >> 20} MB that are allowed"
    )
  return data


def check_gltf(data: bytes, folder: pathlib.Path) -> bytes:
  """Refuses glTF and GLB that would be misread or lack a file beside them."""
  if data[:4] == b"glTF":
    length = int.from_bytes(data[12:16], "little")
    total = int.from_bytes(data[8:12], "little")
    if len(data) < max(total, 20 + length):
      raise MeshError(
        f"is truncated: it has {len(data)} of {total} bytes; export it again"
      )
    text = data[20 : 20 + length]
  else:
    text = data
  try:
    tree: dict[str, Any] = json.loads(text)
    accessors = tree.get("accessors", [])
    files = [buffer.get("uri", "") for buffer in tree.get("buffers", [])]
    positions = {
      primitive["attributes"].get("POSITION")
      for mesh in tree.get("meshes", [])
      for primitive in mesh["primitives"]
    } - {None}
    scaled = any(accessors[index].get("normalized") for index in positions)
    rows = max((accessor["count"] for accessor in accessors), default=0)
  except Exception as error:
    raise MeshError(
      "is damaged: its description of the scene cannot be read; export it again"
    ) from error
  for name in files:
    beside = folder / urllib.parse.unquote(name)
    if name and not name.startswith("data:") and not beside.is_file():
      raise MeshError(f"needs the file {name} beside it, which is missing")
  if scaled:
    raise MeshError(
      "has positions as normalised integers, which cannot be read at their "
      "true size; export it without quantisation"
    )
  if rows > _COUNT_LIMIT:
    raise MeshError(f"announces {rows} rows in one table, more than allowed")
  return data
