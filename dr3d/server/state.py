"""The database at one moment; each request is answered from one such state.

After a change, here or by another process, a new state replaces the former
one, which lives until the last request that uses it ends.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

from dr3d.database import catalogue
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.reader import DatabaseReader
from dr3d.error import EmptyError
from dr3d.server.http_error import HttpError


@dataclasses.dataclass(frozen=True, eq=False)
class State:
  """One state of the database.

  Attributes:
    reader: never refreshed.
    models: all rows, by name.
  """

  reader: DatabaseReader
  models: Mapping[str, catalogue.Model]

  def find(self, name: str) -> catalogue.Model:
    """Returns a model.

    Raises:
      HttpError: there is no model of this name.
    """
    model = self.models.get(name)
    if model is None:
      raise HttpError(404, f"the database has no model {name!r}.")
    return model

  def find_shape(self, name: str) -> catalogue.Shape:
    """Returns mesh and thumbnail of a model.

    Raises:
      HttpError: there is no such model, or its mesh is not stored.
    """
    model = self.find(name)
    shape = self.reader.load_shapes([name]).get(name)
    if shape is None:
      why = model.reason or "its mesh is not stored."
      raise HttpError(404, f"the model {name!r} cannot be shown: {why}")
    return shape


def read_state(
  directory: pathlib.Path,
  *,
  pipeline: EmbeddingPipeline | None = None,
  load_pipeline: LoadPipeline | None = None,
  engine: str = "auto",
) -> State:
  """Reads the database.

  Args:
    directory: of the database.
    pipeline: reused if it is still the one that made the vectors.
    load_pipeline: see `DatabaseReader.open`.
    engine: see `DatabaseReader.open`.

  Raises:
    DatabaseError: the directory holds no database, or a damaged one.
  """
  reader = DatabaseReader.open(
    directory, load_pipeline=load_pipeline, engine=engine
  )
  if pipeline is not None and pipeline.fingerprint == reader.fingerprint:
    reader.pipeline = pipeline
  try:
    return State(reader, reader.snapshot.models)
  except EmptyError:
    rows = reader.models()
    return State(reader, {model.name: model for model in rows})
