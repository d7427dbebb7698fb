"""Removes what interrupted writers left in a database."""

import pathlib
import shutil
from collections.abc import Mapping

from dr3d.database import catalogue, local_copy, row, setting
from dr3d.database.postgres import SharedConnection


def remove_leftovers(
  directory: pathlib.Path, settings: Mapping[str, str]
) -> None:
  """Removes pipelines and vectors that no row names.

  A rebuild that was killed leaves those that it made beside the present ones,
  or the former ones.

  Args:
    directory: of the database, whose writer's lock is held.
    settings: of the database.
  """
  for path in list_leftovers(directory, settings):
    shutil.rmtree(path, ignore_errors=True)
  with catalogue.open_catalogue(directory) as connection:
    row.collect_garbage(connection)
    if isinstance(connection, SharedConnection):
      current = setting.find_pipeline_folder(settings)
      local_copy.remove_other_pipelines(connection, current)


def list_leftovers(
  directory: pathlib.Path, settings: Mapping[str, str]
) -> list[pathlib.Path]:
  """Folders of pipelines that are not the one of the database."""
  current = setting.find_pipeline_folder(settings)
  # As `atomic_directory` names the folders that it replaces one with.
  kept = {current, f"{current}.partial", f"{current}.former"}
  found = sorted(directory.glob(f"{setting.PIPELINE}*"))
  return [path for path in found if path.is_dir() and path.name not in kept]
