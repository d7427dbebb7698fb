"""A state of a database, read at once: its catalogue, vectors and index."""

import dataclasses
import pathlib

import numpy as np

from dr3d.database import calibration_file, catalogue, row, sqlite_file
from dr3d.error import DatabaseError, EmptyError
from dr3d.index import scann_file
from dr3d.index import vector_index as index_lib
from dr3d.search import match

_CALIBRATION = "trust"  # names a setting
_DRIFT = 0.1  # share of vectors that came and went, that an index bears
_RECALL = 0.95  # of probes, below which an index that drifted is built anew


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
  """A state of the database.

  Attributes:
    gallery: what is searched.
    models: all rows, by name.
    keys: uint64 [B · N], of the vectors; see `scann_file.load_index`.
    sketch: of what trust depends on; see `calibration_file.draw_sketch`.
  """

  gallery: match.Gallery
  models: dict[str, catalogue.Model]
  keys: np.ndarray
  sketch: np.ndarray


def read_snapshot(directory: pathlib.Path, *, exact_below: int) -> Snapshot:
  """Reads the state that a database is in now.

  Args:
    directory: of the database.
    exact_below: number of vectors from which ScaNN is used.

  Raises:
    EmptyError: no model is indexed.
    DatabaseError: the catalogue or the vectors are damaged.
  """
  try:
    found, models, settings = _read_state(directory)
  except DatabaseError:  # a rebuild that came between has moved the vectors
    found, models, settings = _read_state(directory)
  names, features = found.names, found.features
  if not names:
    raise EmptyError(
      f"{directory} holds no indexed model: index a folder of models."
    )
  keys = scann_file.spread_keys(found.keys, features.shape[1])
  vectors = features.reshape(-1, features.shape[2])
  try:
    index = _find_index(directory, vectors, keys, exact_below)
  except ValueError as error:
    raise DatabaseError(
      f"{directory} is damaged ({error}): restore it from a copy."
    ) from error
  sketch = calibration_file.draw_sketch(names, found.labels, found.keys)
  calibration = calibration_file.load(settings.get(_CALIBRATION), sketch)
  known = {} if calibration is None else {match.KIND: calibration}
  gallery = match.Gallery(names, found.labels, features, index, known)
  return Snapshot(
    gallery, {model.name: model for model in models}, keys, sketch
  )


def keep_calibration(snapshot: Snapshot, directory: pathlib.Path) -> None:
  """Measures and stores trust where none will do, so that no query has to.

  Args:
    snapshot: the state that is to be searched.
    directory: of the database, whose writer's lock is held.

  Raises:
    DatabaseError: it cannot be written.
  """
  if match.KIND in snapshot.gallery.calibration:
    return
  calibration = snapshot.gallery.fit_calibration()
  with catalogue.open_catalogue(directory) as connection:
    catalogue.write_setting(
      connection,
      _CALIBRATION,
      calibration_file.dump(calibration, snapshot.sketch),
    )


def keep_index(
  snapshot: Snapshot, directory: pathlib.Path, *, exact_below: int
) -> Snapshot:
  """Builds and stores ScaNN's index where there is none that will do.

  One that was built from other vectors will do as long as few have come and
  gone since and it still finds the neighbours of probes.

  Args:
    snapshot: the state that is to be searched.
    directory: of the database, whose writer's lock is held.
    exact_below: number of vectors from which ScaNN is used.

  Returns:
    The state with its index.

  Raises:
    DatabaseError: the index cannot be written.
  """
  index = snapshot.gallery.index
  if _backend(index.vectors, exact_below) == "exact":
    return snapshot
  if index.backend == "scann" and (
    not index.drift
    or (index.drift <= _DRIFT and index_lib.measure_recall(index) >= _RECALL)
  ):
    return snapshot
  index = index_lib.build_index(index.vectors, backend="scann")
  try:
    scann_file.save_index(index, directory, keys=snapshot.keys)
  except OSError as error:
    raise DatabaseError(
      f"The index of {directory} cannot be written ({error.strerror}): "
      "all models are stored and will be searched, more slowly."
    ) from error
  gallery = dataclasses.replace(snapshot.gallery, index=index)
  return dataclasses.replace(snapshot, gallery=gallery)


def _read_state(
  directory: pathlib.Path,
) -> tuple[row.SearchableModels, list[catalogue.Model], dict[str, str]]:
  with (
    catalogue.open_catalogue(directory) as connection,
    sqlite_file.transaction(connection, kind="DEFERRED"),  # one state of it
  ):
    return (
      row.read_features(connection),
      catalogue.read_models(connection),
      catalogue.read_settings(connection),
    )


def _find_index(
  directory: pathlib.Path,
  vectors: np.ndarray,
  keys: np.ndarray,
  exact_below: int,
) -> index_lib.Index:
  """The stored index where it fits; else exact search, which is never wrong.

  Exact search answers in a fraction of the time that ScaNN takes to train.
  """
  index = None
  if _backend(vectors, exact_below) == "scann":
    index = scann_file.load_index(directory, vectors, keys=keys)
  return index or index_lib.build_index(vectors, backend="exact")


def _backend(vectors: np.ndarray, exact_below: int) -> str:
  return index_lib.choose_backend(len(vectors), exact_below=exact_below)
