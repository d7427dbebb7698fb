"""The sample catalogue that ships with dr3d: standard parts by class.

`data/catalogue.zip` has a folder of binary STL files, in millimetres, for each
class. experiments/make_catalogue.py writes it.
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
  """Extracts the catalogue into a directory.

  Keeps files that exist, so a second call completes an interrupted one. Writes
  nothing if an existing file differs from the catalogue's.

  Args:
    directory: gets one folder for each class; created if missing.

  Returns:
    The directory.

  Raises:
    Dr3dError: a file of the catalogue exists with other content, or the
      directory cannot be written.
  """
  directory = pathlib.Path(directory)
  files = _read_archive()
  try:
    missing = [name for name in files if not (directory / name).exists()]
    for name in files.keys() - set(missing):
      if (directory / name).read_bytes() != files[name]:
        raise Dr3dError(
          f"{directory / name} exists and differs from the catalogue's file;"
          " choose another directory or move the file."
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
  """Holds out the same number of models of every class.

  The choice depends on the seed and the names of a class only, not on the order
  of the models or on other classes.

  Args:
    models: models with unique names.
    held_out: number of models of each class to hold out, at least 1.
    seed: seed of the choice.

  Returns:
    The remaining and the held-out models, each in the given order.

  Raises:
    ValueError: held_out is less than 1, or a class would have no models left.
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
        f"Class {label!r} has {len(names)} models, too few to hold out"
        f" {held_out} and keep one."
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
  """Writes a file atomically, so that a kill leaves no partial file."""
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
