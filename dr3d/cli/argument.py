"""Checks of arguments before jax, SciPy and trimesh are imported.

These imports take seconds. The library checks the same again; here the checks
only come first, so that a mistyped argument fails at once.
"""

import pathlib
from collections.abc import Iterable

from dr3d.cli.subcommand import UsageError
from dr3d.error import Dr3dError, LabelError, MeshError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
PAGE_SUFFIXES = (".htm", ".html")


def check_database(directory: str) -> None:
  """Checks that a folder, or a URI, is a database that this version can open.

  Raises:
    DatabaseError: it is not.
  """
  from dr3d.database import catalogue, shared  # imports NumPy

  with catalogue.open_catalogue(shared.find_directory(directory)):
    pass


def name_database(location: str) -> str:
  """How messages name a database: its folder, or its URI without password."""
  from dr3d.database import shared

  return shared.hide_password(location) if shared.is_uri(location) else location


def check_directory(directory: str) -> None:
  """Checks that a folder to read exists.

  Raises:
    Dr3dError: it does not.
  """
  path = pathlib.Path(directory)
  if not path.is_dir():
    what = "is not a folder" if path.exists() else "does not exist"
    raise Dr3dError(f"{path} {what}.")


def check_models(directory: str, labels: str | None = None) -> None:
  """Checks that a folder of models and its label table exist.

  Raises:
    Dr3dError: the folder does not exist.
    LabelError: the table cannot be read.
  """
  path = pathlib.Path(directory)
  if not path.is_dir():
    what = "is not a folder" if path.exists() else "does not exist"
    raise Dr3dError(f"{path} {what}; give a folder of mesh files.")
  if labels:
    check_labels(labels)


def check_labels(path: str) -> None:
  """Checks that a label table can be read.

  Raises:
    LabelError: it cannot.
  """
  try:
    pathlib.Path(path).open("rb").close()
  except OSError as error:
    raise LabelError(f"{path} cannot be read ({error.strerror}).") from error


def check_files(paths: Iterable[str]) -> None:
  """Checks that mesh files exist.

  Raises:
    MeshError: one does not.
  """
  for path in paths:
    if not pathlib.Path(path).exists():
      raise MeshError(f"{path} does not exist.")


def check_new_folder(directory: str) -> None:
  """Checks that a folder to write to is not a file.

  Raises:
    Dr3dError: it is.
  """
  path = pathlib.Path(directory)
  if path.exists() and not path.is_dir():
    raise Dr3dError(f"{path} is a file; give another folder to write to.")


def check_suffix(
  subcommand: str, flag: str, path: str, suffixes: tuple[str, ...]
) -> None:
  """Checks the extension of a file to write.

  Raises:
    UsageError: no format has this extension.
  """
  if pathlib.Path(path).suffix.lower() not in suffixes:
    raise UsageError(
      f"{subcommand}: --{flag}={path} must end in one of"
      f" {', '.join(suffixes)}; see dr3d {subcommand} --help."
    )
