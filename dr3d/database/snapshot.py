"""One state of a database: its catalogue, vectors and index."""

import dataclasses
import functools
import json
import logging
import pathlib
from collections.abc import Sequence

import numpy as np

from dr3d.database import (
  calibration_file,
  catalogue,
  local_copy,
  row,
  shared,
  shared_index,
  sqlite_file,
)
from dr3d.database.condition import Columns
from dr3d.database.digest import hash_values
from dr3d.database.model import Model
from dr3d.database.setting import (
  CALIBRATION,
  UNIT,
  read_settings,
  write_setting,
)
from dr3d.database.stored_vectors import StoredVectors
from dr3d.error import DatabaseError, EmptyError
from dr3d.index.engine import choose_engine
from dr3d.index.exact import ExactIndex
from dr3d.index.milvus import PREFIX
from dr3d.index.milvus_filter import make_fields
from dr3d.index.model_index import ModelIndex, SummaryIndex, index_models
from dr3d.index.projection import Features
from dr3d.index.scann import ScannIndex
from dr3d.index.summary_file import can_save, load_summary, save_summary
from dr3d.index.vector_index import measure_recall
from dr3d.mesh.unit import parse_assumed
from dr3d.search.gallery import SIMILARITY, Gallery
from dr3d.search.size import Sizes

_LOG = logging.getLogger(__name__)

_MAX_DRIFT = 0.1  # share of models that the index lacks or has too much
_MAX_TAIL = 20_000  # new models, which each query compares exactly: 2 ms
_MIN_RECALL = 0.95  # of probes; below it, a drifted index is built again
_MAX_PROBES = 256
_PROBE_WORK = 20_000_000  # models compared for all probes: about a second
_BACKGROUND_FROM = 50_000  # models, whose index takes longer than ten seconds
_STREAMED_FROM = 8192
"""Models from which vectors stay in their file: 50 MB for N = 12, D = 128."""


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
  """One state of the database.

  Attributes:
    gallery: the indexed models.
    models: all rows of the catalogue, by name.
    keys: uint64 [B], of the models' vectors; see `scann_file.find_saved`.
    sketch: of what the calibration depends on; see
      `calibration_file.draw_sketch`.
    unit: that was given for all files that state none; None if it was not.
  """

  gallery: Gallery
  models: dict[str, Model]
  keys: np.ndarray
  sketch: np.ndarray
  unit: str | None = None

  @functools.cached_property
  def columns(self) -> Columns:
    """Labels, metadata and sizes of the models of the gallery."""
    return Columns([self.models[name] for name in self.gallery.names])

  @functools.cached_property
  def sizes(self) -> Sizes:
    """Sizes of the models of the gallery."""
    rows = [self.models[name] for name in self.gallery.names]
    return Sizes(
      np.array([row.radius for row in rows], np.float64),
      np.array([self._is_unit_stated(row) for row in rows], bool),
    )

  def _is_unit_stated(self, row: Model) -> bool:
    assumed = parse_assumed(row.unit)
    return assumed is None or row.unit_source == "given" or assumed == self.unit


def read_snapshot(
  directory: pathlib.Path, *, exact_below: int, engine: str = "auto"
) -> Snapshot:
  """Reads the present state of a database.

  Args:
    directory: of the database.
    exact_below: number of vectors from which ScaNN is used.
    engine: that holds the index; see `engine.build_index`.

  Raises:
    EmptyError: no model is indexed.
    DatabaseError: the catalogue or the vectors are damaged.
  """
  try:
    return _read(directory, exact_below, engine)
  except EmptyError:
    raise
  except DatabaseError:  # a rebuild may have moved the vectors meanwhile
    if shared.find_uri(directory) is not None:
      local_copy.forget_vectors(directory)  # a copy of them may be damaged
    return _read(directory, exact_below, engine)


def keep_calibration(snapshot: Snapshot, directory: pathlib.Path) -> None:
  """Fits and stores the calibration if it is missing, so that no query has to.

  Args:
    snapshot: the state that is to be searched.
    directory: of the database, whose writer's lock is held.

  Raises:
    DatabaseError: it cannot be written.
  """
  if SIMILARITY in snapshot.gallery.calibrations:
    return
  calibration = snapshot.gallery.calibrate()
  with catalogue.open_catalogue(directory) as connection:
    write_setting(
      connection,
      CALIBRATION,
      calibration_file.dump(calibration, snapshot.sketch),
    )


def keep_index(
  snapshot: Snapshot,
  directory: pathlib.Path,
  *,
  exact_below: int,
  engine: str = "auto",
  background: bool = False,
) -> Snapshot:
  """Builds and stores the index if none is good enough.

  An index of other vectors is good enough while few vectors were added or
  removed since, and while it still finds the neighbours of probes.

  Args:
    snapshot: the state that is to be searched.
    directory: of the database, whose writer's lock is held.
    exact_below: number of vectors from which ScaNN is used.
    engine: that holds the index; see `engine.build_index`.
    background: whether a large index is built by another process, while this
      state is searched.

  Returns:
    The state with its index.

  Raises:
    DatabaseError: the index cannot be written.
  """
  features = snapshot.gallery.features
  chosen = _choose_engine(features, exact_below, engine)
  if chosen == "exact" or is_good(snapshot.gallery.index):
    return snapshot
  if background and len(features) >= _BACKGROUND_FROM:
    from dr3d.database import index_builder  # it imports this module

    index_builder.start(directory, exact_below=exact_below, engine=engine)
    return snapshot
  index = build(snapshot, chosen)
  if can_save(index):
    try:
      folder = save_summary(index, directory, keys=snapshot.keys)
      shared_index.publish(directory, folder)
    except OSError as error:
      raise DatabaseError(
        f"The index of {directory} cannot be written ({error.strerror}): "
        "all models are stored and will be searched, more slowly."
      ) from error
  gallery = dataclasses.replace(snapshot.gallery, index=index)
  return dataclasses.replace(snapshot, gallery=gallery)


def build(snapshot: Snapshot, engine: str) -> ModelIndex:
  """Builds the index of a state.

  Args:
    snapshot: the state.
    engine: its name, not "auto".
  """
  if not engine.startswith(PREFIX):
    return index_models(snapshot.gallery.features, engine=engine)
  rows = [snapshot.models[name] for name in snapshot.gallery.names]
  return index_models(
    snapshot.gallery.features,
    engine=engine,
    fields=[make_fields(r.label, r.metadata, r.extent) for r in rows],
  )


def is_good(index: ModelIndex) -> bool:
  """Whether an index need not be built again."""
  if not isinstance(index, SummaryIndex):
    return False
  short = index.index
  if not isinstance(short, ScannIndex):
    return False
  if not short.drift:
    return True
  if short.drift > _MAX_DRIFT or len(short.fresh) > _MAX_TAIL:
    return False
  probes = max(1, min(_MAX_PROBES, _PROBE_WORK // short.count))
  exact = ExactIndex(short.vectors)
  return (
    measure_recall(short, exact, short.vectors, probes=probes) >= _MIN_RECALL
  )


def _read(directory: pathlib.Path, exact_below: int, engine: str) -> Snapshot:
  with (
    catalogue.open_catalogue(directory) as connection,
    sqlite_file.transaction(connection, kind="DEFERRED"),  # one state
  ):
    found = row.read_features(connection, streamed_from=_STREAMED_FROM)
    rows = {model.name: model for model in catalogue.read_models(connection)}
    settings = read_settings(connection)
  if not found.names:
    raise EmptyError(
      f"{directory} holds no indexed model: index a folder of models."
    )
  keys = found.keys
  if engine.startswith(PREFIX):
    keys = keys ^ _hash_fields([rows[name] for name in found.names])
  chosen = _choose_engine(found.features, exact_below, engine)
  try:
    features, index = _find_index(directory, found.features, keys, chosen)
  except ValueError as error:
    raise DatabaseError(
      f"{directory} is damaged ({error}): restore it from a backup."
    ) from error
  sketch = calibration_file.draw_sketch(found.names, found.labels, found.keys)
  calibration = calibration_file.load(settings.get(CALIBRATION), sketch)
  known = {} if calibration is None else {SIMILARITY: calibration}
  gallery = Gallery(found.names, found.labels, features, index, known)
  return Snapshot(gallery, rows, keys, sketch, settings.get(UNIT))


def _hash_fields(models: Sequence[Model]) -> np.ndarray:
  """Hashes of what Milvus filters models by: uint64 [B].

  So a model whose label was edited counts as new, and is compared here until
  the collection is filled again.
  """
  hashes = [
    hash_values(
      (
        model.label,
        json.dumps(model.metadata, sort_keys=True),
        json.dumps(model.extent),
      )
    )
    for model in models
  ]
  return np.array(hashes, np.int64).view(np.uint64)


def _find_index(
  directory: pathlib.Path,
  features: np.ndarray | StoredVectors,
  keys: np.ndarray,
  engine: str,
) -> tuple[Features, ModelIndex]:
  """The stored index if it fits; otherwise exact search of loaded vectors.

  Exact search answers in a fraction of the time that ScaNN takes to train.
  """
  if engine != "exact":
    shared_index.provide(directory)
    index = load_summary(directory, features, keys=keys, engine=engine)
    if index is not None:
      return features, index
    if engine.startswith(PREFIX):
      _LOG.warning(
        "Milvus holds no index of %s yet, so all models are compared here: "
        "dr3d index --engine=%s fills it.",
        directory,
        engine,
      )
  if isinstance(features, StoredVectors):
    features = features.load()
  return features, index_models(features, engine="exact")


def _choose_engine(features: Features, exact_below: int, engine: str) -> str:
  if engine != "auto":
    return engine
  count, views, _ = features.shape
  return choose_engine(count * views, exact_below=exact_below)
