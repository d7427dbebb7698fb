"""Models that are one shape, found in a process of its own, once a state.

It takes minutes where there are thousands of models, and must not slow down
the thread that answers queries meanwhile.
"""

import dataclasses
import pathlib
import tempfile
import threading

from dr3d.database.duplicate import Group
from dr3d.database.reader import DatabaseReader
from dr3d.error import DatabaseError, Dr3dError
from dr3d.registration.relation import Relation
from dr3d.runtime.pool import Limits, Pool, WorkerError
from dr3d.server.state import State

_FIND = "dr3d.server.duplicate_job:find_groups"
_SECONDS = 24 * 3600.0  # that a search may take


@dataclasses.dataclass(eq=False)
class DuplicateJob:
  """A search that may still be going on.

  Attributes:
    total: models of the database.
    progress: file that tells how many were looked at.
    groups: what was found; None until the end.
    error: why nothing was found.
    ended: is set at the end.
  """

  total: int
  progress: pathlib.Path
  groups: list[Group] | None = None
  error: Dr3dError | None = None
  ended: threading.Event = dataclasses.field(default_factory=threading.Event)

  def count_done(self) -> int:
    """Models that were looked at."""
    try:
      return int(self.progress.read_text())
    except (OSError, ValueError):
      return self.total if self.ended.is_set() else 0


class DuplicateJobs:
  """Searches of the present state; those of a former one are given up."""

  def __init__(self, directory: pathlib.Path, *, memory: int):
    """Makes it; nothing is searched yet.

    Args:
      directory: of the database.
      memory: bytes that a search may take.
    """
    self._directory = directory
    self._limits = Limits(seconds=_SECONDS, memory=memory)
    self._scratch = tempfile.TemporaryDirectory(prefix="dr3d-")
    self._lock = threading.Lock()
    self._state: State | None = None
    self._searches: dict[str, DuplicateJob] = {}
    self._pool: Pool | None = None

  def find(self, state: State, weakest: Relation) -> DuplicateJob:
    """Begins a search, or returns the one that was begun.

    Args:
      state: of the database.
      weakest: see `duplicate.find_groups`.
    """
    with self._lock:
      if self._state is not state:
        self._give_up()
        self._state = state
        self._pool = Pool(_FIND, limits=self._limits, count=1)
      search = self._searches.get(weakest)
      if search is None:
        place = pathlib.Path(self._scratch.name) / weakest
        place.unlink(missing_ok=True)
        search = DuplicateJob(len(state.models), place)
        self._searches[weakest] = search
        threading.Thread(
          target=self._search, args=(search, weakest, self._pool), daemon=True
        ).start()
    return search

  def close(self) -> None:
    """Gives up what is going on."""
    with self._lock:
      self._give_up()
    self._scratch.cleanup()

  def _give_up(self) -> None:
    self._searches = {}
    if self._pool is not None:
      self._pool.close()
      self._pool = None

  def _search(
    self, search: DuplicateJob, weakest: Relation, pool: Pool
  ) -> None:
    try:
      found = pool.call(
        {
          "directory": self._directory,
          "weakest": weakest,
          "progress": search.progress,
        }
      )
    except Dr3dError as error:
      found = error
    if isinstance(found, WorkerError):
      search.error = DatabaseError(f"the search for duplicates {found}.")
    elif isinstance(found, Dr3dError):
      search.error = found
    else:
      search.groups = found
    search.ended.set()


def find_groups(
  directory: pathlib.Path, *, weakest: Relation, progress: pathlib.Path
) -> list[Group]:
  """Finds the groups, in the child.

  Args:
    directory: of the database.
    weakest: see `duplicate.find_groups`.
    progress: file that is told how many models were looked at.
  """

  def tell(done: int, total: int) -> None:
    del total
    progress.write_text(str(done))

  archive = DatabaseReader.open(directory)
  return archive.find_duplicates(weakest=weakest, progress=tell)
