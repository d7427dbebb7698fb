"""One state of a database: its catalogue, vectors and index."""

import dataclasses
import functools
import pathlib

import numpy as np

from dr3d.database import calibration_file, catalogue, row, sqlite_file
from dr3d.database.model import Model
from dr3d.database.setting import (
  CALIBRATION,
  UNIT,
  read_settings,
  write_setting,
)
from dr3d.error import DatabaseError, EmptyError
from dr3d.index import scann_file
from dr3d.index.engine import build_index, choose_engine
from dr3d.index.exact import ExactIndex
from dr3d.index.scann import ScannIndex
from dr3d.index.vector_index import VectorIndex, measure_recall
from dr3d.mesh.unit import parse_assumed
from dr3d.search.gallery import SIMILARITY, Gallery
from dr3d.search.size import Sizes

_MAX_DRIFT = 0.1  # share of new vectors, which a search compares exactly
_MIN_RECALL = 0.95  # of probes; below it, a drifted index is built again


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
  """One state of the database.

  Attributes:
    gallery: the indexed models.
    models: all rows of the catalogue, by name.
    keys: uint64 [B · N], of the vectors; see `scann_file.load_index`.
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


def read_snapshot(directory: pathlib.Path, *, exact_below: int) -> Snapshot:
  """Reads the present state of a database.

  Args:
    directory: of the database.
    exact_below: number of vectors from which ScaNN is used.

  Raises:
    EmptyError: no model is indexed.
    DatabaseError: the catalogue or the vectors are damaged.
  """
  try:
    found, models, settings = _read_state(directory)
  except DatabaseError:  # a rebuild may have moved the vectors meanwhile
    found, models, settings = _read_state(directory)
  names, features = found.names, found.features
  if not names:
    raise EmptyError(
      f"{directory} holds no indexed model: index a folder of models."
    )
  keys = scann_file.spread_keys(found.keys, features.shape[1])
  vectors = _list_vectors(features)
  try:
    index = _find_index(directory, vectors, keys, exact_below)
  except ValueError as error:
    raise DatabaseError(
      f"{directory} is damaged ({error}): restore it from a backup."
    ) from error
  sketch = calibration_file.draw_sketch(names, found.labels, found.keys)
  calibration = calibration_file.load(settings.get(CALIBRATION), sketch)
  known = {} if calibration is None else {SIMILARITY: calibration}
  gallery = Gallery(names, found.labels, features, index, known)
  return Snapshot(
    gallery,
    {model.name: model for model in models},
    keys,
    sketch,
    settings.get(UNIT),
  )


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
  snapshot: Snapshot, directory: pathlib.Path, *, exact_below: int
) -> Snapshot:
  """Builds and stores ScaNN's index if none is good enough.

  An index of other vectors is good enough while few vectors were added or
  removed since, and while it still finds the neighbours of probes.

  Args:
    snapshot: the state that is to be searched.
    directory: of the database, whose writer's lock is held.
    exact_below: number of vectors from which ScaNN is used.

  Returns:
    The state with its index.

  Raises:
    DatabaseError: the index cannot be written.
  """
  vectors = _list_vectors(snapshot.gallery.features)
  if choose_engine(len(vectors), exact_below=exact_below) == "exact":
    return snapshot
  if _is_good(snapshot.gallery.index, vectors):
    return snapshot
  index = build_index(vectors, engine="scann")
  if isinstance(index, ScannIndex):
    try:
      scann_file.save_index(index, directory, keys=snapshot.keys)
    except OSError as error:
      raise DatabaseError(
        f"The index of {directory} cannot be written ({error.strerror}): "
        "all models are stored and will be searched, more slowly."
      ) from error
  gallery = dataclasses.replace(snapshot.gallery, index=index)
  return dataclasses.replace(snapshot, gallery=gallery)


def _is_good(index: VectorIndex, vectors: np.ndarray) -> bool:
  """Whether an index need not be built again."""
  if not isinstance(index, ScannIndex):
    return False
  if not index.drift:
    return True
  if index.drift > _MAX_DRIFT:
    return False
  return measure_recall(index, ExactIndex(vectors), vectors) >= _MIN_RECALL


def _read_state(
  directory: pathlib.Path,
) -> tuple[row.SearchableModels, list[Model], dict[str, str]]:
  with (
    catalogue.open_catalogue(directory) as connection,
    sqlite_file.transaction(connection, kind="DEFERRED"),  # one state
  ):
    return (
      row.read_features(connection),
      catalogue.read_models(connection),
      read_settings(connection),
    )


def _find_index(
  directory: pathlib.Path,
  vectors: np.ndarray,
  keys: np.ndarray,
  exact_below: int,
) -> VectorIndex:
  """The stored index if it fits; otherwise exact search.

  Exact search answers in a fraction of the time that ScaNN takes to train.
  """
  index = None
  if choose_engine(len(vectors), exact_below=exact_below) == "scann":
    index = scann_file.load_index(directory, vectors, keys=keys)
  return index or build_index(vectors, engine="exact")


def _list_vectors(features: np.ndarray) -> np.ndarray:
  """[B, N, D] to [B · N, D], without a copy."""
  return features.reshape(-1, features.shape[2])
