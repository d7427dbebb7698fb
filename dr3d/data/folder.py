"""Lists the mesh files of a folder with their labels."""

import collections
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import posixpath
import stat
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Literal

from dr3d.error import Dr3dError, LabelError
from dr3d.mesh.io.format import (
  FORMATS,
  find_format,
  is_cad,
  is_shapeless,
  suffix_of,
)
from dr3d.mesh.unit import UNITS, Unit, is_unit

_SHOWN = 12  # formats that one line can name
_FILE, _CLASS, _UNIT = _COLUMNS = ("file", "class", "unit")


@dataclasses.dataclass(frozen=True)
class ModelFile:
  """A mesh file of a model.

  Attributes:
    path: path of the file.
    name: its path relative to the folder, with forward slashes.
    label: class of the model, empty if unknown.
    metadata: the other columns of the label table, text by column; None if
      there is no table.
    digest: `hash_file` of the file, if it is known already; empty otherwise.
    unit: assumed if the file does not state one; None if no unit was given for
      this file.
    label_source: "folder": the label is the name of its folder; "table": a
      label table is used; "hand": it was given for this file.
    is_listed: False if a label table is used and does not list the file.
  """

  path: pathlib.Path
  name: str
  label: str
  metadata: Mapping[str, str] | None = None
  digest: str = ""
  unit: Unit | None = None
  label_source: Literal["folder", "table", "hand"] = "folder"
  is_listed: bool = True


def find_models(
  directory: str | os.PathLike[str],
  *,
  labels: str | os.PathLike[str] | None = None,
) -> list[ModelFile]:
  """Lists the mesh files of a folder and its subfolders.

  Skips files and folders whose names begin with a dot. Follows links to folders
  and enters each folder once; its own path precedes that of a link to it.

  Args:
    directory: the folder.
    labels: a CSV file in UTF-8. Its header has the column `file` (path relative
      to the folder, with forward slashes) and at least one of `class` and
      `unit` (assumed if the file does not state one; may be empty). Other
      columns become metadata. Files that a table with `class` does not list
      have no label. Without one, a file's label is the name of its folder, and
      files in `directory` itself have none.

  Returns:
    At least one model, sorted by name.

  Raises:
    Dr3dError: the folder is missing, cannot be read, or contains no mesh file.
    LabelError: the table cannot be read, lacks a column, lists a file that is
      not a mesh file of the folder, or lists one with two different classes.
  """
  root = pathlib.Path(directory)
  if not root.is_dir():
    what = "is not a folder" if root.exists() else "does not exist"
    raise Dr3dError(f"{root} {what}; give a folder of mesh files.")
  paths = {
    to_text(path.relative_to(root).as_posix()): path
    for path in _walk(root)
    if find_format(path.name) is not None
  }
  if not paths:
    known = ", ".join(f".{name}" for name in FORMATS)
    others = describe_other_files(count_other_files(root))
    raise Dr3dError(
      f"{root} contains no mesh file ({known})"
      + (f"; {others}" if others else ".")
    )
  table: dict[str, _Row] = {}
  if labels is not None:
    table = _read_table(pathlib.Path(labels))
    _check_listed(table, paths, root, pathlib.Path(labels))
  has_class = labels is not None and all(
    row.label is not None for row in table.values()
  )
  models = []
  for name in sorted(paths):
    row, path = table.get(name), paths[name]
    label = to_text(path.parent.name) if path.parent != root else ""
    if has_class:
      label = (row.label or "") if row else ""
    models.append(
      ModelFile(
        path,
        name,
        label,
        None if labels is None else dict(row.rest) if row else {},
        unit=row.unit if row else None,
        label_source="table" if has_class else "folder",
        is_listed=row is not None or not has_class,
      )
    )
  return models


def count_other_files(directory: str | os.PathLike[str]) -> dict[str, int]:
  """Counts the files of a folder that may be models, but cannot be read.

  Files that have no shape in any format, such as pictures and texts, are not
  counted; see `find_models` for the files that are looked at.

  Args:
    directory: the folder.

  Returns:
    Number of files by extension, without the dot; the most frequent first.

  Raises:
    Dr3dError: a folder cannot be read.
  """
  counts = collections.Counter(
    to_text(suffix_of(path.name))
    for path in _walk(pathlib.Path(directory))
    if find_format(path.name) is None and not is_shapeless(path.name)
  )
  return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def describe_other_files(counts: Mapping[str, int]) -> str:
  """Returns one sentence on the result of `count_other_files`, or ""."""
  if not counts:
    return ""
  shown = list(counts.items())[:_SHOWN]
  listed = ", ".join(f"{count} .{suffix}" for suffix, count in shown)
  total = sum(counts.values())
  cad = [f".{suffix}" for suffix, _ in shown if is_cad(suffix)]
  return (
    f"{total} {'file' if total == 1 else 'files'} of {len(counts)} other "
    f"{'format' if len(counts) == 1 else 'formats'} "
    f"{'was' if total == 1 else 'were'} not read: {listed}"
    + (", …" if len(counts) > _SHOWN else "")
    + (f"; export STEP from CAD programs ({', '.join(cad)})" if cad else "")
    + "."
  )


def read_labels(path: str | os.PathLike[str]) -> dict[str, str]:
  """Reads the classes of a label table.

  Args:
    path: a CSV file in the format of `find_models`.

  Returns:
    The class of each file, in the order of the table.

  Raises:
    LabelError: the table cannot be read, lacks a column or contradicts itself.
  """
  table = _read_table(pathlib.Path(path))
  if any(row.label is None for row in table.values()):
    raise LabelError(
      f"{path} must have the columns file and class in its first line; it lacks"
      " class."
    )
  return {name: row.label or "" for name, row in table.items()}


def hash_file(path: pathlib.Path) -> str:
  """SHA-256 of a model file in hexadecimal digits.

  The hash of a glTF file includes the buffer files that it refers to, as far as
  they lie beside it or below. To find them it is parsed, so that a file of
  unknown origin is hashed in a process of its own; see `FileReader.hash_each`.

  Raises:
    OSError: the file cannot be read.
  """
  with path.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256")
  if path.suffix.lower() == ".gltf":
    for buffer in _gltf_buffers(path):
      with buffer.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
  return digest.hexdigest()


def hash_or_explain(path: pathlib.Path) -> str:
  """As `hash_file`, for a call in a child process.

  Raises:
    Dr3dError: the file cannot be read; the message is a predicate.
  """
  try:
    return hash_file(path)
  except OSError as error:
    raise Dr3dError(f"cannot be read ({error.strerror})") from error


def to_text(name: str) -> str:
  r"""Escapes the bytes of a file name that are not UTF-8 as \xFF.

  SQLite and JSON cannot store the surrogates that Python uses for them.
  """
  return name.encode("utf-8", "surrogateescape").decode(
    "utf-8", "backslashreplace"
  )


def _walk(root: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the files of a folder tree, those of linked folders last."""
  seen: set[tuple[int, int]] = set()
  waiting = [root]
  while waiting:
    links: list[pathlib.Path] = []
    for start in waiting:
      for folder, folders, files in os.walk(start, onerror=_raise_unreadable):
        here = pathlib.Path(folder)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
          folders.clear()
          continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if name[0] != ".")
        links.extend(
          here / name for name in folders if (here / name).is_symlink()
        )
        for name in files:
          if name[0] != "." and _is_file(here / name):
            yield here / name
    waiting = sorted(links)


def _raise_unreadable(error: OSError) -> None:
  raise Dr3dError(
    f"{error.filename} cannot be read ({error.strerror})."
  ) from error


def _is_file(path: pathlib.Path) -> bool:
  """Returns False for pipes and devices.

  A broken link counts as a file, so that reading it reports the reason.
  """
  try:
    return stat.S_ISREG(path.stat().st_mode)
  except OSError:
    return True


@dataclasses.dataclass(frozen=True)
class _Row:
  """A row of a label table.

  Attributes:
    line: its number.
    name: of the file.
    label: class of the file; None if the table has no such column.
    unit: of the file; None if the table does not say.
    rest: the other columns.
  """

  line: int
  name: str
  label: str | None
  unit: Unit | None
  rest: dict[str, str]


def _read_table(path: pathlib.Path) -> dict[str, _Row]:
  """Reads a label table by file; of equal files the last row counts.

  Raises:
    LabelError: two rows contradict each other.
  """
  table: dict[str, _Row] = {}
  for row in _read_rows(path):
    before = table.get(row.name, row)
    for what, now, then in (
      ("class", row.label, before.label),
      ("unit", row.unit, before.unit),
    ):
      if now != then:
        raise LabelError(
          f"{path}, line {row.line}: {row.name!r} has the {what} {now!r}, but"
          f" line {before.line} says {then!r}."
        )
    table[row.name] = row
  return table


def _read_rows(path: pathlib.Path) -> Iterator[_Row]:
  """Yields the rows of a label table."""
  try:
    with path.open(encoding="utf-8-sig", newline="") as file:
      reader = csv.reader(file, strict=True)
      header = [column.strip().lower() for column in next(reader, [])]
      _check_header(header, path)
      for cells in reader:
        if any(cell.strip() for cell in cells):
          yield _parse_row(header, cells, path, reader.line_num)
  except OSError as error:
    raise LabelError(f"{path} cannot be read ({error.strerror}).") from error
  except (csv.Error, UnicodeDecodeError) as error:
    raise LabelError(f"{path} is not a CSV file in UTF-8 ({error}).") from error


def _check_header(header: list[str], path: pathlib.Path) -> None:
  """Raises unless a table says which files, and something about them."""
  needed = [_FILE] if _UNIT in header else [_FILE, _CLASS]
  missing = [column for column in needed if column not in header]
  if missing:
    raise LabelError(
      f"{path} must have the columns file and class in its first line; "
      f"it lacks {' and '.join(missing)}."
    )


def _parse_row(
  header: list[str], cells: list[str], path: pathlib.Path, line: int
) -> _Row:
  """Parses a row that is not empty.

  Raises:
    LabelError: it lacks a cell, or the unit is not known.
  """
  row = {
    column: cell.strip() for column, cell in zip(header, cells, strict=False)
  }
  needed = [_FILE] if _CLASS not in header else [_FILE, _CLASS]
  if not row.get(_FILE) or any(column not in row for column in needed):
    raise LabelError(f"{path}, line {line}: the row lacks file or class.")
  unit = row.get(_UNIT) or None
  if unit is not None and not is_unit(unit):
    raise LabelError(
      f"{path}, line {line}: the unit must be one of {', '.join(UNITS)}, got"
      f" {unit!r}."
    )
  rest = {
    column: cell
    for column, cell in row.items()
    if column not in _COLUMNS and column and cell
  }
  return _Row(line, posixpath.normpath(row[_FILE]), row.get(_CLASS), unit, rest)


def _check_listed(
  table: dict[str, _Row],
  paths: dict[str, pathlib.Path],
  root: pathlib.Path,
  labels: pathlib.Path,
) -> None:
  """Checks that every file of the table is a mesh file of the folder."""
  if table.keys() <= paths.keys():
    return
  row = next(row for row in table.values() if row.name not in paths)
  reason = (
    "is not among the mesh files of"
    if (root / row.name).exists()
    else "does not exist in"
  )
  raise LabelError(f"{labels}, line {row.line}: {row.name!r} {reason} {root}.")


def _gltf_buffers(path: pathlib.Path) -> list[pathlib.Path]:
  """Returns the buffer files that a glTF file refers to.

  A file elsewhere is left out, for it may be one that never ends, as some below
  /proc, or one that this file has no business with.
  """
  try:
    buffers = json.loads(path.read_bytes())["buffers"]
    uris = [buffer.get("uri", "data:") for buffer in buffers]
    home = path.parent.resolve()
    files = [
      (home / urllib.parse.unquote(uri)).resolve()
      for uri in uris
      if not uri.startswith("data:")
    ]
    return [
      file for file in files if file.is_relative_to(home) and file.is_file()
    ]
  except (
    *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
    OSError,  # a name that is too long
  ):
    return []  # damaged; the mesh reader reports the reason
