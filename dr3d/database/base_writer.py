"""What all changes of a database have in common."""

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

from dr3d.data import folder
from dr3d.database import (
  catalogue,
  garbage,
  ingest,
  journal,
  lock,
  migration,
  reserve,
  shared,
  shared_journal,
  sqlite_file,
)
from dr3d.database.file_reader import IngestWorkers
from dr3d.database.label import UnitDefault
from dr3d.database.model import INDEXED, Source
from dr3d.database.postgres import SharedConnection
from dr3d.database.reader import DatabaseReader
from dr3d.database.snapshot import keep_calibration, keep_index
from dr3d.error import DatabaseError, Dr3dError, FullDiskError
from dr3d.mesh.unit import UNITS, Unit, is_unit

_LOG = logging.getLogger(__name__)
_CHECKPOINT_TIMEOUT = 500  # milliseconds that a deletion waits for readers


class BaseWriter(DatabaseReader):
  """Takes the writer's lock, writes rows, and keeps what is derived of them."""

  @contextlib.contextmanager
  def _writing(
    self, *, alone: bool = False, seconds: float | None = None
  ) -> Iterator[None]:
    """Holds the writer's lock; first converts and tidies the database.

    Args:
      alone: see `lock.writer_lock`.
      seconds: likewise.

    Raises:
      LockError: another process writes.
      DatabaseError: the database cannot be written.
    """
    with lock.writer_lock(self.directory, alone=alone, seconds=seconds):
      migration.migrate(self.directory)
      self.refresh()  # another process may have changed the pipeline
      garbage.remove_leftovers(self.directory, self.settings)
      if shared.find_uri(self.directory) is None:
        reserve.keep(self.directory)
      try:
        yield
      except DatabaseError:
        self._remove_unfinished()
        raise

  def _remove_unfinished(self) -> None:
    """Removes what a rebuild that failed has written, which a disk may need."""
    with contextlib.suppress(DatabaseError, OSError):
      # Read again: the change of the pipeline may have been committed.
      with catalogue.open_catalogue(self.directory) as connection:
        settings = catalogue.read_settings(connection)
      garbage.remove_leftovers(self.directory, settings)

  def _write(
    self,
    files: Sequence[folder.ModelFile],
    settings: Mapping[str, str],
    *,
    workers: IngestWorkers,
    source: Source,
    unit: Unit | None = None,
    replace: bool = False,
    progress: ingest.Progress | None = None,
  ) -> ingest.Report:
    """Ingests files; the caller holds the writer's lock."""
    default = UnitDefault(run=unit, database=self.unit)
    with catalogue.open_catalogue(self.directory) as connection:
      for name, value in settings.items():
        catalogue.write_setting(connection, name, value)
      report = ingest.ingest_files(
        connection,
        files,
        embed_each=lambda batches: workers.embed_each(
          lambda: self.pipeline, batches
        ),
        fingerprint=self.fingerprint,
        hash_each=workers.hash_each,
        read=lambda files: workers.read_each(
          files, face_budget=self.face_budget, appearance=self.appearance
        ),
        unit=default,
        source=source,
        replace=replace,
        progress=progress,
      )
    self.refresh()
    return report

  def _delete(self, names: Collection[str]) -> None:
    """Deletes rows, also on a full disk; the caller holds the lock."""
    try:
      self._delete_rows(names)
    except FullDiskError:
      if not reserve.spend(self.directory):
        raise
      self._delete_rows(names)
    self._collect_garbage()
    self.refresh()

  def _delete_rows(self, names: Collection[str]) -> None:
    with catalogue.open_catalogue(self.directory) as connection:
      catalogue.delete_models(connection, names)
      if isinstance(connection, SharedConnection):
        return
      # Deleted content leaves the log, and the log the disk. A long reader
      # must not hold the deletion up; then a later checkpoint does it.
      connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT}")
      connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

  def _collect_garbage(self) -> None:
    """Removes kept files of models that are gone."""
    with catalogue.open_catalogue(self.directory) as connection:
      if isinstance(connection, SharedConnection):
        # Another writer may accept a file meanwhile.
        with sqlite_file.transaction(connection):
          shared_journal.collect_garbage(connection)
        return
      rows = connection.execute("SELECT hash FROM model")
      hashes = {digest for (digest,) in rows}
    journal.collect_garbage(self.directory, hashes)

  def _keep_derived(self, *, background: bool = False) -> None:
    """Updates index and calibration to what is searched now.

    Args:
      background: whether a large index is built by another process.

    Raises:
      DatabaseError: they cannot be written.
    """
    if self.count_states()[INDEXED]:
      self.snapshot = keep_index(
        self.snapshot,
        self.directory,
        exact_below=self._exact_below,
        engine=self._engine,
        background=background,
      )
      keep_calibration(self.snapshot, self.directory)

  def _try_keep_derived(self) -> None:
    """As `_keep_derived`, after a change of a few models that is stored.

    What is derived can be computed again, so a failure to store it must not
    report the change as failed.
    """
    try:
      self._keep_derived(background=True)
    except Dr3dError as error:  # of the database, or of Milvus
      _LOG.warning("%s", error)

  def _check_unit(self, unit: str | None) -> Unit | None:
    """Returns a unit.

    Raises:
      ValueError: it is not known.
    """
    if unit is not None and not is_unit(unit):
      raise ValueError(f"unit must be among {', '.join(UNITS)}, got {unit!r}")
    return unit

  def _check_name(self, name: str) -> None:
    """Raises if there is no model of this name."""
    with catalogue.open_catalogue(self.directory) as connection:
      row = connection.execute(
        "SELECT 1 FROM model WHERE name = ?", (name,)
      ).fetchone()
    if row is None:
      raise DatabaseError(f"{self.directory} has no model {name!r}.")
