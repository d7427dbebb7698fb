"""Groups of duplicates, found once for each state in a process of its own.

The search takes minutes for thousands of models, and must not slow down the
thread that answers queries.
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

_FUNCTION = "dr3d.server.duplicate_job:find_groups"
_MAX_SECONDS = 24 * 3600.0  # of a search


@dataclasses.dataclass(eq=False)
class DuplicateJob:
  """A search that may still be running.

  Attributes:
    total: models of the database.
    progress: file that holds how many models were compared.
    groups: the result; None until the end.
    error: why there is no result.
    ended: set at the end.
  """

  total: int
  progress: pathlib.Path
  groups: list[Group] | None = None
  error: Dr3dError | None = None
  ended: threading.Event = dataclasses.field(default_factory=threading.Event)

  def count_done(self) -> int:
    """Number of models that were compared."""
    try:
      return int(self.progress.read_text())
    except (OSError, ValueError):
      return self.total if self.ended.is_set() else 0


class DuplicateJobs:
  """Searches of the present state; a new state cancels the former ones."""

  def __init__(self, directory: pathlib.Path, *, memory: int):
    """Starts no search yet.

    Args:
      directory: of the database.
      memory: bytes that a search may use.
    """
    self._directory = directory
    self._limits = Limits(seconds=_MAX_SECONDS, memory=memory)
    self._scratch = tempfile.TemporaryDirectory(prefix="dr3d-")
    self._lock = threading.Lock()
    self._state: State | None = None
    self._jobs: dict[str, DuplicateJob] = {}
    self._pool: Pool | None = None

  def find(self, state: State, weakest: Relation) -> DuplicateJob:
    """Starts a search, or returns the one that was started.

    Args:
      state: of the database.
      weakest: see `duplicate.find_groups`.
    """
    with self._lock:
      if self._state is not state:
        self._cancel()
        self._state = state
        self._pool = Pool(_FUNCTION, limits=self._limits, count=1, access="all")
      job = self._jobs.get(weakest)
      if job is None:
        progress = pathlib.Path(self._scratch.name) / weakest
        progress.unlink(missing_ok=True)
        job = DuplicateJob(len(state.models), progress)
        self._jobs[weakest] = job
        threading.Thread(
          target=self._run, args=(job, weakest, self._pool), daemon=True
        ).start()
    return job

  def close(self) -> None:
    """Cancels the running searches."""
    with self._lock:
      self._cancel()
    self._scratch.cleanup()

  def _cancel(self) -> None:
    self._jobs = {}
    if self._pool is not None:
      self._pool.close()
      self._pool = None

  def _run(self, job: DuplicateJob, weakest: Relation, pool: Pool) -> None:
    try:
      found = pool.call(
        {
          "directory": self._directory,
          "weakest": weakest,
          "progress": job.progress,
        }
      )
    except Dr3dError as error:
      found = error
    if isinstance(found, WorkerError):
      job.error = DatabaseError(f"the search for duplicates {found}.")
    elif isinstance(found, Dr3dError):
      job.error = found
    else:
      job.groups = found
    job.ended.set()


def find_groups(
  directory: pathlib.Path, *, weakest: Relation, progress: pathlib.Path
) -> list[Group]:
  """Finds the groups, in the child process.

  Args:
    directory: of the database.
    weakest: see `duplicate.find_groups`.
    progress: file to write the number of compared models to.
  """

  def report(done: int, total: int) -> None:
    del total
    progress.write_text(str(done))

  reader = DatabaseReader.open(directory)
  return reader.find_duplicates(weakest=weakest, progress=report)
