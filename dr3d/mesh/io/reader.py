"""A mesh file becomes raw vertices and faces, or one clear MeshError.

Every reader raises a MeshError whose text is the predicate of a sentence that
begins with the name of the file, and it is completed here. Whatever else a
library raises on a damaged file becomes such a sentence as well.
"""

import dataclasses
import os
import pathlib

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.format import FORMATS, Format, advise, find_format, recognize
from dr3d.mesh.io.raw import Geometry, RawMesh
from dr3d.mesh.io.text import unpack_gzip

__all__ = ["FORMATS", "RawMesh", "read_geometry", "read_raw"]

_HEAD = 4096  # bytes by which another format is recognised
_PICTURES = {
  b"\x89PNG": "a PNG picture",
  b"\xff\xd8\xff": "a JPEG picture",
  b"%PDF": "a PDF document",
  b"<!DOCTYPE html": "a web page",
  b"<html": "a web page",
}


def read_geometry(path: str | pathlib.Path) -> Geometry:
  """Returns vertices and faces as `read_raw` does, without the rest."""
  raw = read_raw(path)
  return raw.vertices, raw.faces


def read_raw(path: str | pathlib.Path) -> RawMesh:
  """Returns all triangles of a file, bodies joined with their transforms.

  Polygons are split into triangles. Nothing is welded, dropped or scaled. A
  file that gzip packed is unpacked. A file that was cut off is refused if its
  format shows it; OBJ does not between two lines.

  Args:
    path: a file whose name ends as one of FORMATS, or so and ".gz".

  Raises:
    MeshError: the file is missing, unreadable, damaged, of another format or
      without faces.
  """
  path = pathlib.Path(path)
  entry = _find_format(path)
  data = _read_bytes(path)
  try:
    with np.errstate(all="ignore"):
      data = unpack_gzip(data)
      raw = entry.load()(data, path)
  except MeshError as error:
    raise MeshError(f"{path} {_explain(error, entry, data)}.") from error
  except MemoryError as error:
    raise MeshError(
      f"{path} needs more memory than it may have; allow more, or simplify it."
    ) from error
  except Exception as error:
    raise MeshError(
      f"{path} cannot be read as {entry.name}: it is damaged or of another "
      f"format ({_describe(error)}); export it again."
    ) from error
  if not len(raw.faces):
    reason = _explain(MeshError("has no faces"), entry, data)
    raise MeshError(f"{path} {reason}.")
  return dataclasses.replace(raw, body_count=max(raw.body_count, 1))


def _find_format(path: pathlib.Path) -> Format:
  if os.path.isdir(path):
    raise MeshError(f"{path} is a directory, not a mesh file.")
  entry = find_format(path.name)
  if entry is None:
    known = ", ".join(f".{name}" for name in FORMATS)
    suffix = path.suffix.lower()
    ending = f'ends in "{suffix}"' if suffix else "has no extension"
    raise MeshError(
      f"{path} {ending}, but only {known} can be read; {advise(path.name)}."
    )
  return entry


def _read_bytes(path: pathlib.Path) -> bytes:
  """Returns the content of a file."""
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    raise MeshError(f"{path} does not exist.") from None
  except (OSError, ValueError, MemoryError) as error:
    reason = getattr(error, "strerror", None) or error or "out of memory"
    raise MeshError(f"{path} cannot be read: {reason}.") from error
  if not data.strip(b"\0 \t\r\n"):
    raise MeshError(f"{path} is empty.")
  if data.startswith(b"version https://git-lfs"):
    raise MeshError(
      f"{path} is only a pointer to a file in Git LFS; run git lfs pull."
    )
  return data


def _explain(error: MeshError, entry: Format, data: bytes) -> str:
  """Returns a reason, or that the file is of another format than its name."""
  head = data[:_HEAD]
  for mark, what in _PICTURES.items():
    if head.lstrip()[: len(mark)].lower() == mark.lower():
      return f"is {what}, not {entry.name}; name another file"
  other = recognize(head)
  if other is not None and other is not entry:
    return (
      f"holds {other.name}, not {entry.name} as its name says; rename it to "
      f".{other.suffixes[0]}"
    )
  return str(error)


def _describe(error: Exception) -> str:
  """Returns kind and first line of an exception, for use in a sentence."""
  lines = str(error).strip().splitlines()
  line = lines[0].strip().rstrip(".")[:120] if lines else ""
  return f"{type(error).__name__}: {line}" if line else type(error).__name__
