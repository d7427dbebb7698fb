"""Makes the directory of a database."""

import json
import pathlib

from dr3d.database import catalogue, lock, setting, shared, sqlite_file
from dr3d.database.embedding import EmbeddingPipeline
from dr3d.database.object_store import find_store
from dr3d.error import DatabaseError
from dr3d.search.geometric_score import DEFAULT_WEIGHT


def make_database(
  directory: pathlib.Path,
  pipeline: EmbeddingPipeline,
  *,
  objects: str | None = None,
) -> None:
  """Makes a database; it exists from the moment that the catalogue does.

  Args:
    directory: made if it is missing; empty, or what an interrupted call left.
    pipeline: copied into the directory.
    objects: address of meshes and thumbnails; see `object_store`. None keeps
      them in the catalogue.

  Raises:
    DatabaseError: the directory holds other files, or cannot be written.
  """
  try:
    directory.mkdir(parents=True, exist_ok=True)
    is_shared = shared.find_uri(directory) is not None
    if (
      any(directory.iterdir())
      and not sqlite_file.has_lock(directory)
      and not is_shared
    ):
      raise DatabaseError(
        f"{directory} holds other files but no database: name a new directory."
      )
    with lock.writer_lock(directory):
      if catalogue.is_complete(directory):
        return
      pipeline.save(directory / setting.PIPELINE)
      settings = describe_pipeline(pipeline)
      if objects is not None:
        settings[setting.OBJECTS] = find_store(objects).url
      catalogue.create_catalogue(directory, settings)
  except OSError as error:
    raise DatabaseError(
      f"{directory} cannot be written ({error.strerror})."
    ) from error


def compares_colors(pipeline: EmbeddingPipeline) -> bool:
  """Whether a pipeline looks at the colours of meshes."""
  return bool(getattr(pipeline, "appearance", False))


def get_surface_weight(pipeline: EmbeddingPipeline) -> float:
  """How much surfaces count; see `geometric_score.DEFAULT_WEIGHT`."""
  return float(getattr(pipeline, "surface_weight", DEFAULT_WEIGHT))


def describe_pipeline(pipeline: EmbeddingPipeline) -> dict[str, str]:
  """Settings that describe a pipeline."""
  return {
    setting.PIPELINE: pipeline.fingerprint,
    setting.FACE_BUDGET: json.dumps(pipeline.face_budget),
    setting.APPEARANCE: json.dumps(compares_colors(pipeline)),
    setting.SURFACE_WEIGHT: json.dumps(get_surface_weight(pipeline)),
  }
