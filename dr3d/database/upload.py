"""Models whose files a database keeps, accepted before they are indexed."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Mapping

from dr3d.data import folder
from dr3d.database import catalogue, ingest, journal
from dr3d.database.base_writer import BaseWriter
from dr3d.database.file_reader import FileReader
from dr3d.database.model import ADDED, INDEXED
from dr3d.database.processed_model import ProcessedModel
from dr3d.error import ConflictError, DatabaseError, Dr3dError
from dr3d.mesh.unit import Unit

_RECOVER_SECONDS = 2.0  # that a start waits; a later start completes the rest


class UploadWriter(BaseWriter):
  """Stores uploads; see `journal` for how they survive a kill."""

  def store(
    self,
    path: str | os.PathLike[str],
    *,
    name: str,
    label: str = "",
    metadata: Mapping[str, str] | None = None,
    unit: Unit | None = None,
  ) -> ingest.Report:
    """Adds a model whose file the database copies.

    Once file and name are on the disk the model is accepted: if the process
    ends before it is indexed, `recover` completes the work. If this call
    raises, or the file cannot be indexed, nothing of it is left.

    Args:
      path: the file; its extension tells the format.
      name: of the model.
      label: of the model.
      metadata: of the model, text by name.
      unit: assumed if the file does not state one; None for the database's.

    Returns:
      What was done; a file that the database already has under this name
      counts as unchanged.

    Raises:
      ConflictError: another file has this name.
      DatabaseError: another process writes, the file cannot be read, or the
        disk does not store it.
    """
    return self.store_file(
      folder.ModelFile(
        pathlib.Path(path), name, label, dict(metadata or {}), unit=unit
      )
    )

  def store_file(
    self, file: folder.ModelFile, *, processed: ProcessedModel | None = None
  ) -> ingest.Report:
    """As `store`, for a file that may have been hashed and read already.

    Args:
      file: the model.
      processed: what the file holds, if it was read already.
    """
    unit = self._check_unit(file.unit) or self.unit
    with self._writing():
      try:
        digest = file.digest or folder.hash_file(file.path)
        if self._is_stored(file.name, digest):
          return ingest.Report(0, 0, 1, 0, ())
        kept = journal.accept(
          self.directory,
          dataclasses.replace(
            file, digest=digest, unit=unit, label_source="hand"
          ),
        )
      except OSError as error:
        raise DatabaseError(
          f"{file.path} cannot be stored as {file.name} ({error.strerror}): "
          "it is not accepted."
        ) from error
      return self._index_accepted(kept, processed)

  def recover(self, *, reader: FileReader | None = None) -> int:
    """Indexes models that a process accepted before it was killed.

    Returns:
      How many models there were.

    Raises:
      DatabaseError: another process writes, or the disk does not store them.
    """
    if not journal.read_pending(self.directory):
      return 0
    # Alone, because what others index now is not pending.
    with self._writing(alone=True, seconds=_RECOVER_SECONDS):
      pending = journal.read_pending(self.directory)
      for file in pending:
        self._ingest_pending(file, reader or FileReader(jobs=1))
      self._collect_garbage()
      self._try_keep_derived()
    return len(pending)

  def _is_stored(self, name: str, digest: str) -> bool:
    """Whether the database has this file under this name.

    Raises:
      ConflictError: it has another file under this name.
    """
    with catalogue.open_catalogue(self.directory) as connection:
      model = catalogue.find_model(connection, name)
    if model is None:
      return False
    if model.hash != digest:
      raise ConflictError(
        f"the database has another model {name!r}: choose another name, or "
        "remove that one."
      )
    return model.state == INDEXED

  def _index_accepted(
    self, file: folder.ModelFile, processed: ProcessedModel | None
  ) -> ingest.Report:
    """Indexes an accepted file; if that fails, nothing of it is left."""
    reader = FileReader(jobs=1)
    if processed is not None:
      known = processed  # what the type checker sees in the next line
      reader = FileReader(files=lambda paths: (known for _ in paths))
    try:
      report = self._ingest_pending(file, reader)
    except BaseException:
      # The sender is told that the model is not stored, so neither `recover`
      # nor a search may find it later.
      journal.withdraw(self.directory, file.name)
      with contextlib.suppress(Dr3dError, OSError):
        self._withdraw_row(file.name)
      raise
    if report.failures:
      self._delete([file.name])
    self._try_keep_derived()
    return report

  def _withdraw_row(self, name: str) -> None:
    """Deletes the row of a model that is not accepted, if there is one."""
    with catalogue.open_catalogue(self.directory) as connection:
      is_stored = catalogue.find_model(connection, name) is not None
    if is_stored:
      self._delete([name])  # may spend the reserve, so not without need
    else:
      self._collect_garbage()

  def _ingest_pending(
    self, file: folder.ModelFile, reader: FileReader
  ) -> ingest.Report:
    """Indexes what was accepted; the caller holds the writer's lock."""
    report = self._write([file], {}, workers=reader, source=ADDED)
    journal.forget(self.directory, file.name)
    return report
