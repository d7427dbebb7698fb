"""The database as it was at one moment; requests answer from one such state.

When something was written, here or by another process, a new state takes the
place of the former one, which ends with the last request that holds it.
"""

import bisect
import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from dr3d.database import catalogue
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.reader import DatabaseReader
from dr3d.error import EmptyError
from dr3d.server.http_error import HttpError


@dataclasses.dataclass(frozen=True, eq=False)
class State:
  """One state of the database.

  Attributes:
    archive: that is never refreshed.
    models: all rows, by name.
  """

  archive: DatabaseReader
  models: Mapping[str, catalogue.Model]

  def find(self, name: str) -> catalogue.Model:
    """Returns a model.

    Raises:
      HttpError: there is none of this name.
    """
    model = self.models.get(name)
    if model is None:
      raise HttpError(404, f"the database has no model {name!r}.")
    return model

  def find_features(self, name: str) -> np.ndarray | None:
    """Vectors [N, D] of a model, None where it is not searched."""
    try:
      gallery = self.archive.gallery
    except EmptyError:
      return None
    place = bisect.bisect_left(gallery.names, name)
    if place < len(gallery.names) and gallery.names[place] == name:
      return gallery.features[place]
    return None

  def find_shape(self, name: str) -> catalogue.Shape:
    """Mesh and thumbnail of a model.

    Raises:
      HttpError: there is no such model, or none of them is stored.
    """
    model = self.find(name)
    shape = self.archive.load_shapes([name]).get(name)
    if shape is None:
      why = model.reason or "no mesh of it is stored."
      raise HttpError(404, f"the model {name!r} cannot be shown: {why}")
    return shape


def read_state(
  directory: pathlib.Path,
  *,
  pipeline: EmbeddingPipeline | None = None,
  load_pipeline: LoadPipeline | None = None,
) -> State:
  """Reads the database.

  Args:
    directory: of the database.
    pipeline: is used, not loaded anew, where it still is the one that made the
      vectors.
    load_pipeline: see `DatabaseReader.open`.

  Raises:
    DatabaseError: the directory holds no database, or a damaged one.
  """
  archive = DatabaseReader.open(directory, load_pipeline=load_pipeline)
  if pipeline is not None and pipeline.fingerprint == archive.fingerprint:
    archive.pipeline = pipeline
  try:
    return State(archive, archive.snapshot.models)
  except EmptyError:
    rows = archive.models()
    return State(archive, {model.name: model for model in rows})
