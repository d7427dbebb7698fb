"""Backups that the service makes, by schedule or when an operator asks."""

import dataclasses
import datetime
import logging
import pathlib
import re
import shutil
import time

from dr3d.database import backup
from dr3d.error import DatabaseError
from dr3d.server.background import BackgroundTask
from dr3d.server.http_error import HttpError
from dr3d.server.metric import Metrics

_LOG = logging.getLogger("dr3d.server")
_FORMAT = "%Y-%m-%dT%H-%M-%SZ"  # of names; UTC, without colons for Windows
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


@dataclasses.dataclass(frozen=True)
class BackupPlan:
  """Where backups go, and how often.

  Attributes:
    folder: of the backups, each in a folder named by its time.
    hours: from one to the next; 0 for those that are asked for alone.
    kept: how many of them stay; older ones are deleted after a new one.
  """

  folder: pathlib.Path
  hours: float = 0.0
  kept: int = 7


class BackupJob:
  """Makes backups of a database.

  Attributes:
    task: the thread.
  """

  def __init__(
    self, directory: pathlib.Path, metrics: Metrics, plan: BackupPlan | None
  ):
    """Makes it; `start` starts it.

    Args:
      directory: of the database.
      metrics: get the time of the last backup, and failures.
      plan: None for no backups.
    """
    self._directory = directory
    self._metrics = metrics
    self._plan = plan
    self.task = BackgroundTask(
      "backup",
      self._back_up,
      seconds_left=self._count_seconds,
      failures=metrics.backups_failed,
    )

  def start(self) -> None:
    """Starts the schedule, if there is a plan."""
    if self._plan is not None:
      self._show()
      self.task.start()

  def request(self) -> None:
    """Asks for a backup now.

    Raises:
      HttpError: the service has no folder for backups.
    """
    if self._plan is None:
      raise HttpError(
        409, "this service makes no backups: start dr3d serve with --backups."
      )
    self.task.request()

  def close(self) -> None:
    """Ends the schedule; what a backup that runs leaves, the next removes."""
    self.task.close()

  def read_all(self) -> list[tuple[str, backup.Backup]]:
    """Name and contents of each whole backup, the latest first."""
    found = []
    for path in reversed(self._find()):
      try:
        found.append((path.name, backup.read(path)))
      except DatabaseError:  # a restore would say what is wrong with it
        continue
    return found

  def _find(self) -> list[pathlib.Path]:
    """Folders of backups, the oldest first."""
    if self._plan is None:
      return []
    paths = sorted(self._plan.folder.glob("*Z"))
    return [path for path in paths if _NAME.fullmatch(path.name)]

  def _count_seconds(self) -> float | None:
    """Seconds until the next backup; None if none is planned."""
    assert self._plan is not None, "there is a thread only with a plan"
    if not self._plan.hours:
      return None
    paths = self._find()
    if not paths:
      return 0.0
    last = _read_time(paths[-1]).timestamp()
    return max(0.0, last + 3600 * self._plan.hours - time.time())

  def _back_up(self, task: BackgroundTask) -> None:
    del task
    assert self._plan is not None, "there is a thread only with a plan"
    for path in self._plan.folder.glob("*Z.partial"):
      shutil.rmtree(path, ignore_errors=True)
    now = datetime.datetime.now(datetime.UTC)
    made = backup.back_up(
      self._directory, self._plan.folder / now.strftime(_FORMAT)
    )
    _LOG.info(
      "a backup of %d models was made (%d bytes)",
      made.searchable,
      made.byte_count,
    )
    for path in self._find()[: -self._plan.kept]:
      shutil.rmtree(path, ignore_errors=True)
    self._show()

  def _show(self) -> None:
    paths = self._find()
    if paths:
      self._metrics.last_backup.set(_read_time(paths[-1]).timestamp())


def _read_time(path: pathlib.Path) -> datetime.datetime:
  """When a backup began, by its name."""
  time = datetime.datetime.strptime(path.name, _FORMAT)
  return time.replace(tzinfo=datetime.UTC)
