"""The database as it was at one moment; requests answer from one such state.

When something was written, here or by another process, a new state takes the
place of the former one, which ends with the last request that holds it.
"""

import bisect
import dataclasses
import pathlib
import threading
from collections.abc import Mapping

import numpy as np

from dr3d.error import DatabaseError, EmptyError
from dr3d.search import catalogue, duplicate
from dr3d.search.archive import Archive, Embedder, LoadPipeline
from dr3d.server.refusal import RefusalError


@dataclasses.dataclass(eq=False)
class Search:
  """A search for duplicates that may still be going on.

  Attributes:
    done: models that were looked at.
    total: all models.
    groups: what was found; None until the end.
    error: why it failed.
    ended: is set at the end.
  """

  done: int = 0
  total: int = 0
  groups: list[duplicate.Group] | None = None
  error: DatabaseError | None = None
  ended: threading.Event = dataclasses.field(default_factory=threading.Event)


@dataclasses.dataclass(frozen=True, eq=False)
class State:
  """One state of the database.

  Attributes:
    archive: that is never refreshed.
    models: all rows, by name.
    searches: for duplicates, by the weakest relation.
  """

  archive: Archive
  models: Mapping[str, catalogue.Model]
  searches: dict[str, Search] = dataclasses.field(default_factory=dict)

  def find(self, name: str) -> catalogue.Model:
    """Returns a model.

    Raises:
      RefusalError: there is none of this name.
    """
    model = self.models.get(name)
    if model is None:
      raise RefusalError(404, f"the database has no model {name!r}.")
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
      RefusalError: there is no such model, or none of them is stored.
    """
    model = self.find(name)
    shape = self.archive.load_shapes([name]).get(name)
    if shape is None:
      why = model.reason or "no mesh of it is stored."
      raise RefusalError(404, f"the model {name!r} cannot be shown: {why}")
    return shape

  def search_duplicates(self, weakest: str, *, patience: float) -> Search:
    """Finds groups of one shape, once for each state, in a thread.

    Args:
      weakest: see `duplicate.find_groups`.
      patience: seconds to wait for the end.

    Returns:
      The search, whether or not it has ended.
    """
    search = self.searches.get(weakest)
    if search is None:
      search = self.searches.setdefault(weakest, Search())
      if search.total == 0 and not search.ended.is_set():
        search.total = max(1, len(self.models))
        threading.Thread(
          target=self._search, args=(search, weakest), daemon=True
        ).start()
    search.ended.wait(patience)
    return search

  def _search(self, search: Search, weakest: str) -> None:
    def tell(done: int, total: int) -> None:
      search.done, search.total = done, total

    try:
      search.groups = self.archive.find_duplicates(
        weakest=weakest, progress=tell
      )
    except EmptyError:
      search.groups = []
    except DatabaseError as error:
      search.error = error
    finally:
      search.ended.set()


def read_state(
  directory: pathlib.Path,
  *,
  pipeline: Embedder | None = None,
  load_pipeline: LoadPipeline | None = None,
) -> State:
  """Reads the database.

  Args:
    directory: of the database.
    pipeline: is used, not loaded anew, where it still is the one that made the
      vectors.
    load_pipeline: see `Archive.open`.

  Raises:
    DatabaseError: the directory holds no database, or a damaged one.
  """
  archive = Archive.open(directory, load_pipeline=load_pipeline)
  if pipeline is not None and pipeline.fingerprint == archive.fingerprint:
    archive.pipeline = pipeline
  try:
    return State(archive, archive.snapshot.models)
  except EmptyError:
    rows = archive.models()
    return State(archive, {model.name: model for model in rows})
