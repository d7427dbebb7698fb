"""What a database holds: rows, settings, files; nothing is searched here."""

import collections
import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Self

from dr3d.data import folder
from dr3d.database import (
  catalogue,
  journal,
  local_copy,
  model_search,
  setting,
  shared,
)
from dr3d.database.connection import Connection
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.model import FAILED, FOLDER, INDEXED, Model, Shape
from dr3d.database.model_search import Filter, ModelSearch
from dr3d.database.postgres import SharedConnection
from dr3d.database.schema import read_format
from dr3d.database.snapshot import Snapshot, read_snapshot
from dr3d.error import DatabaseError
from dr3d.index.engine import EXACT_BELOW, check_engine
from dr3d.mesh.unit import Unit, is_unit
from dr3d.runtime.atomic import find_whole
from dr3d.runtime.notebook import format_table, make_dataframe
from dr3d.runtime.text import count
from dr3d.search.answer import TARGET_PRECISION
from dr3d.search.gallery import Gallery, measure_recall

if TYPE_CHECKING:
  import pandas

_TEXTS = ("name", "label", "state", "reason", "unit")
_MEASURES = ("area", "volume", "face_count", "body_count")


class DatabaseListing:
  """Models in a directory, and the state in which they are searched.

  An object answers from the state that it read at its first query. `refresh`
  makes it read again.

  Attributes:
    directory: of the database.
    settings: text by name.
    fingerprint: of the pipeline.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = EXACT_BELOW,
    engine: str = "auto",
  ):
    """Opens a database; see `open`."""
    self.directory = shared.find_directory(directory)
    self._read_settings()
    self._load_pipeline = load_pipeline
    self._exact_below = exact_below
    check_engine(engine)
    self._engine = engine

  @classmethod
  def open(
    cls,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = EXACT_BELOW,
    engine: str = "auto",
  ) -> Self:
    """Opens a database that exists.

    Args:
      directory: of the database, or the URI of one in PostgreSQL.
      load_pipeline: reads the pipeline; `Pipeline.load` if None.
      exact_below: number of vectors from which ScaNN is used.
      engine: that holds the index; see `index.engine.build_index`. A database
        does not store it, because a database from elsewhere must not name a
        server.

    Raises:
      ValueError: the engine is unknown.
      DatabaseError: the directory holds no database, or one that is
        unfinished, damaged or of another format.
    """
    return cls(
      directory,
      load_pipeline=load_pipeline,
      exact_below=exact_below,
      engine=engine,
    )

  @functools.cached_property
  def pipeline(self) -> EmbeddingPipeline:
    """The pipeline that made the vectors.

    Raises:
      DatabaseError: the stored pipeline is another one.
    """
    load = self._load_pipeline
    if load is None:
      from dr3d.retrieval.pipeline import Pipeline  # imports jax

      load = Pipeline.load
    name = setting.find_pipeline_folder(self.settings)
    path = self.directory / name
    with catalogue.open_catalogue(self.directory) as connection:
      if isinstance(connection, SharedConnection):
        local_copy.provide_pipeline(connection, name)
    if not find_whole(path).exists():
      raise DatabaseError(
        f"{path} is gone: if dr3d rebuild has changed the pipeline, open the "
        "database again; else restore it from a backup."
      )
    pipeline = load(path)
    if pipeline.fingerprint != self.fingerprint:
      raise DatabaseError(
        f"{path} is not the pipeline that made the vectors of this database: "
        "restore it from a backup."
      )
    return pipeline

  @property
  def gallery(self) -> Gallery:
    """The indexed models, as they were when this was first asked for.

    Raises:
      DatabaseError: no model is indexed, or the database is damaged.
    """
    return self.snapshot.gallery

  @functools.cached_property
  def _search(self) -> ModelSearch:
    return ModelSearch()

  @functools.cached_property
  def snapshot(self) -> Snapshot:
    """The state that is searched, read when it is first asked for.

    Raises:
      EmptyError: no model is indexed.
      DatabaseError: the database is damaged.
    """
    return read_snapshot(
      self.directory, exact_below=self._exact_below, engine=self._engine
    )

  @property
  def face_budget(self) -> int | None:
    """Faces that the pipeline wants; known without loading it."""
    if setting.FACE_BUDGET not in self.settings:  # format 1 had no such setting
      return self.pipeline.face_budget
    return json.loads(self.settings[setting.FACE_BUDGET])

  @property
  def appearance(self) -> bool:
    """Whether the pipeline compares colours; known without loading it."""
    return self.settings.get(setting.APPEARANCE) == "true"

  @property
  def surface_weight(self) -> float:
    """Of the pipeline, see `geometric_score.DEFAULT_WEIGHT`."""
    return setting.read_surface_weight(self.settings)

  @property
  def unit(self) -> Unit:
    """Unit of length that is assumed for files that state none."""
    unit = self.settings.get(setting.UNIT, "mm")
    return unit if is_unit(unit) else "mm"

  def refresh(self) -> None:
    """Makes the next query see what other processes have written."""
    before = self.fingerprint
    self._read_settings()
    self.__dict__.pop("snapshot", None)
    if self.fingerprint != before:
      self.__dict__.pop("pipeline", None)

  def models(self) -> list[Model]:
    """All models with label, state, reason and size, by name."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_models(connection)

  def __len__(self) -> int:
    """How many models can be searched."""
    return self.count_states()[INDEXED]

  def __bool__(self) -> bool:
    """True, also for a database without models."""
    return True

  def __repr__(self) -> str:
    return f"<Database {self.directory}, {count(len(self), 'model')}>"

  def _repr_html_(self) -> str:
    """The number of models of each label, for notebooks."""
    labels = collections.Counter(
      model.label for model in self.models() if model.state == INDEXED
    )
    rows = [(label or "no label", n) for label, n in labels.most_common()]
    heading = f"{self.directory}: {count(len(self), 'model')} to search"
    return format_table(heading, ("label", "models"), rows)

  def to_dataframe(self) -> "pandas.DataFrame":
    """Returns a table with a row for each model, by name.

    The columns are name, label, state, reason, unit, length, width and height
    along the principal axes in millimetres, area, volume, face_count and
    body_count, and one for each key of the metadata.

    Raises:
      Dr3dError: pandas is not installed.
    """
    models = self.models()
    keys = sorted({key for model in models for key in model.metadata})
    rows = [
      (
        *(getattr(model, field) for field in _TEXTS),
        *(model.extent or (None, None, None)),
        *(getattr(model, field) for field in _MEASURES),
        *(model.metadata.get(key) for key in keys),
      )
      for model in models
    ]
    columns = (*_TEXTS, "length", "width", "height", *_MEASURES, *keys)
    return make_dataframe(rows, columns)

  def find_model(self, name: str) -> Model:
    """The row of a model.

    Raises:
      DatabaseError: there is no such model, or its row is damaged.
    """
    with catalogue.open_catalogue(self.directory) as connection:
      return self._find(connection, name)

  def find_models(
    self, text: str = "", condition: Filter | None = None
  ) -> list[Model]:
    """Finds models by words of their name, label and metadata.

    Args:
      text: words in any order; each may be the begin of a word, or part of a
        number without its punctuation. See `text_search`.
      condition: what else the models must have.

    Returns:
      The best first; by name if there is no text.

    Raises:
      DatabaseError: the database is damaged.
    """
    models = {model.name: model for model in self.models()}
    found = self._search.find_text(models, text)
    return model_search.choose(found, condition or Filter())

  @property
  def shown_columns(self) -> tuple[str, ...]:
    """Keys of the metadata that are shown with a model.

    They were chosen for this database, or are those that most models have.
    """
    chosen = self.settings.get(setting.COLUMNS)
    if chosen is None:
      return model_search.choose_columns(self.models())
    return tuple(map(str, json.loads(chosen)))

  def count_states(self) -> dict[str, int]:
    """How many models are in each of `model.STATES`."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.count_states(connection)

  def inspect(self) -> dict[str, Any]:
    """What the database holds, ready for JSON.

    Returns:
      The number of models in each state; `labels`, the number of labels of
      indexed models; `vectors` that are searched; `index`, its engine; `recall`
      of the first ten neighbours, None if nothing is indexed; `vote`, the share
      of its own models that get the right label when queried against the
      others, and `accepted`, the share of these that are accepted by votes
      alone, None if no two models share a label, or all; `pipeline`, its
      fingerprint; `appearance`, whether it compares colours; `format`; `bytes`
      on the disk; `failures`, a list of model and reason.

    Raises:
      DatabaseError: the database is damaged.
    """
    models = self.models()
    with catalogue.open_catalogue(self.directory) as connection:
      version = read_format(connection)
    indexed = [model for model in models if model.state == INDEXED]
    return {
      **self.count_states(),
      "labels": len({model.label for model in indexed} - {""}),
      **self._inspect_index(bool(indexed)),
      "pipeline": self.fingerprint,
      "appearance": self.appearance,
      "format": version,
      "bytes": sum(
        path.stat().st_size
        for path in self.directory.rglob("*")
        if path.is_file()
      ),
      "failures": [
        {"model": model.name, "reason": model.reason}
        for model in models
        if model.state == FAILED
      ],
    }

  def describe_index(self) -> str:
    """Name of the index's engine, or "none"."""
    if not self.count_states()[INDEXED]:
      return "none"
    return self.gallery.index.engine

  def read_file(self, name: str) -> bytes:
    """Returns the file of a model, as it was indexed.

    Raises:
      DatabaseError: there is no such model, or its file is gone or changed.
    """
    path = self.find_file(self.find_model(name))
    if path is None:
      raise DatabaseError(
        f"the file of {name!r} is gone or has changed since it was read."
      )
    return path.read_bytes()

  def find_file(self, model: Model) -> pathlib.Path | None:
    """Path of a model's file; None if it is gone or has changed."""
    kept = journal.find_file(self.directory, model.hash)
    path = kept or pathlib.Path(model.name)
    if kept is None and model.source == FOLDER:
      path = pathlib.Path(self.settings.get(setting.MODELS, ""), model.name)
    with contextlib.suppress(OSError, ValueError):
      # A relative path means another file in another working directory.
      if (kept or path.is_absolute()) and folder.hash_file(path) == model.hash:
        return path
    return None

  def load_shapes(self, names: Collection[str]) -> dict[str, Shape]:
    """Meshes and thumbnails of models, by name, if they are stored."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_shapes(connection, names)

  def _find(self, connection: Connection, name: str) -> Model:
    model = catalogue.find_model(connection, name)
    if model is None:
      raise DatabaseError(
        f"{shared.describe(self.directory)} has no model {name!r}."
      )
    return model

  def _read_settings(self) -> None:
    with catalogue.open_catalogue(self.directory) as connection:
      self.settings = setting.read_settings(connection)
    if setting.PIPELINE not in self.settings:
      raise DatabaseError(
        f"{self.directory} is damaged: it does not name its pipeline; restore "
        "it from a backup."
      )
    self.fingerprint = self.settings[setting.PIPELINE]

  def _inspect_index(self, is_searchable: bool) -> dict[str, Any]:
    """What `inspect` says of the index and of the calibration."""
    vote = accepted = recall = None
    vectors, engine = 0, "none"
    if is_searchable:
      gallery = self.gallery
      recall = measure_recall(gallery)
      vectors = len(gallery.names) * gallery.features.shape[1]
      engine = gallery.index.engine
      calibration = gallery.calibrate()
      queries = calibration.in_database
      if len(queries.right):
        vote = round(float(queries.right.mean()), 3)
        passes = calibration.accept(queries, TARGET_PRECISION)
        accepted = round(float(passes.mean()), 3)
    return {
      "vectors": vectors,
      "index": engine,
      "recall": recall,
      "vote": vote,
      "accepted": accepted,
    }
