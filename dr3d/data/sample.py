"""The parts that travel with the package: standard parts, sorted by type.

`data/catalogue.zip` holds a folder for each class and in it binary STL files
in millimetres; experiments/make_catalogue.py writes it.
"""

import hashlib
import importlib.resources
import os
import pathlib
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Sequence

from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError


def unpack(directory: str | os.PathLike[str]) -> pathlib.Path:
  """Writes the catalogue into a directory, which is made if need be.

  Files that are there already stay as they are, so a second call, also after
  one that was cut short, completes the first. Nothing is written where one of
  them is not the catalogue's own.

  Args:
    directory: the folder that gets one folder for each class.

  Returns:
    The directory.

  Raises:
    Dr3dError: a file of the same name with other content is in the way, or
      the directory cannot be written.
  """
  directory = pathlib.Path(directory)
  files = _read_archive()
  try:
    missing = [name for name in files if not (directory / name).exists()]
    for name in files.keys() - set(missing):
      if (directory / name).read_bytes() != files[name]:
        raise Dr3dError(
          f"{directory / name} is in the way, it is not the catalogue's file: "
          "choose another directory, or move it away."
        )
    for name in missing:
      _write(directory / name, files[name])
  except OSError as error:
    raise Dr3dError(
      f"The catalogue cannot be unpacked to {directory}: {error}."
    ) from error
  return directory


def split(
  models: Sequence[ModelFile], *, held_out: int, seed: int = 0
) -> tuple[list[ModelFile], list[ModelFile]]:
  """Holds the same number of models of every class out.

  The choice hangs on the seed and the models' names alone: it stays the same
  in any order, and whatever becomes of other classes.

  Args:
    models: with unique names.
    held_out: models of each class to hold out, at least one.
    seed: another one makes another choice.

  Returns:
    The models that stay and those that are held out, each in the order given.

  Raises:
    ValueError: held_out is less than one, or leaves nothing of a class.
  """
  if held_out < 1:
    raise ValueError(f"held_out must be at least 1, got {held_out}.")
  classes = defaultdict(list)
  for model in models:
    classes[model.label].append(model.name)
  chosen: set[str] = set()
  for label, names in classes.items():
    if len(names) <= held_out:
      raise ValueError(
        f"Class {label!r} has {len(names)} models: too few to hold {held_out} "
        "out and keep one."
      )
    chosen.update(sorted(names, key=lambda name: _rank(name, seed))[:held_out])
  return (
    [model for model in models if model.name not in chosen],
    [model for model in models if model.name in chosen],
  )


def _read_archive() -> dict[str, bytes]:
  """Returns the files of the catalogue by their relative paths."""
  source = importlib.resources.files("dr3d") / "data" / "catalogue.zip"
  with source.open("rb") as stream, zipfile.ZipFile(stream) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


def _write(path: pathlib.Path, content: bytes) -> None:
  """Writes a file whole or not at all, whenever the process is killed."""
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
  temporary = pathlib.Path(name)
  try:
    with os.fdopen(handle, "wb") as stream:
      stream.write(content)
    temporary.chmod(0o644)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def _rank(name: str, seed: int) -> bytes:
  return hashlib.sha256(f"{seed}/{name}".encode()).digest()
