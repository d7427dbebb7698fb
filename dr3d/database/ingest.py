"""Takes model files into a catalogue, what has changed and no more.

Files are read one after the other, ahead of what is needed, by whatever
`Read` does; models of one size are embedded together, and each such batch is
committed in one transaction: a run that is killed loses the batches at hand,
and the next run, which compares the hashes of all files, takes up from there.
"""

import collections
import dataclasses
import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue
from dr3d.database.catalogue import FAILED, INDEXED, MISSING, Model
from dr3d.database.processed_model import ASSUMED, ProcessedModel
from dr3d.error import Dr3dError
from dr3d.index.vector_index import check_vectors
from dr3d.mesh import BUCKETS
from dr3d.mesh.packing import pack_mesh
from dr3d.runtime.pool import WorkerError

Read = Callable[[Iterable[pathlib.Path]], Iterator[ProcessedModel | Dr3dError]]
"""Paths → for each, in order, what was read, or the error it ended in."""
Embed = Callable[[list[Any]], np.ndarray]
"""B meshes → float32 [B, N, D] unit vectors."""
Progress = Callable[[int, int, int], None]
"""Files done, all files, files that failed."""

_MESHES = 16  # embedded at a time
_ROWS = 256  # committed at a time, where few of them need embedding


@dataclasses.dataclass(frozen=True)
class Failure:
  """A file that is not searched.

  Attributes:
    model: its name.
    reason: why, in one sentence.
  """

  model: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Report:
  """What was done.

  Attributes:
    new: models that were not indexed before and are now.
    changed: models that were indexed with other content, label or metadata.
    unchanged: models that were left as they were.
    missing: models whose file was there before and is not now.
    failures: files that cannot be indexed, by name; they are tried again
      each time.
    warnings: files that were indexed in this run, but lack something or are
      read by an assumption, with what it is.
  """

  new: int
  changed: int
  unchanged: int
  missing: int
  failures: tuple[Failure, ...]
  warnings: tuple[Failure, ...] = ()


def ingest_files(
  connection: sqlite3.Connection,
  files: Sequence[folder.ModelFile],
  *,
  embed: Embed,
  fingerprint: str,
  read: Read,
  unit: str = "mm",
  source: str = catalogue.FOLDER,
  progress: Progress | None = None,
) -> Report:
  """Brings models of a catalogue to the state of their files.

  Args:
    connection: the catalogue; the caller holds the writer's lock.
    files: all models of the folder, or some files of their own.
    embed: the pipeline.
    fingerprint: of the pipeline; rows that were made with another are redone.
    read: reads model files.
    unit: that it takes where a file does not say.
    source: `FOLDER`: models of the folder that are not among the files are
      missing from now on; or `ADDED`.
    progress: called after each file.

  Returns:
    What was done.

  Raises:
    ValueError: the pipeline returned no [B, N, D] array.
  """
  known = {model.name: model for model in catalogue.read_models(connection)}
  gone = []
  if source == catalogue.FOLDER:
    gone = _mark_missing(connection, known, {file.name for file in files})
  task = _Task(
    connection, files, known, embed, fingerprint, unit, source, progress
  )
  task.run(read)
  tally = collections.Counter(
    "failed"
    if row.state == FAILED
    else "changed"
    if row.name in known and known[row.name].state == INDEXED
    else "new"
    for row in task.written
  )
  return Report(
    new=tally["new"],
    changed=tally["changed"],
    unchanged=len(files) - len(task.written),
    missing=len(gone),
    failures=tuple(
      Failure(row.name, row.reason)
      for row in sorted(task.written, key=lambda row: row.name)
      if row.state == FAILED
    ),
    warnings=tuple(sorted(task.warnings, key=lambda entry: entry.model)),
  )


def _mark_missing(
  connection: sqlite3.Connection, known: dict[str, Model], names: set[str]
) -> list[Model]:
  gone = [
    dataclasses.replace(model, state=MISSING)
    for model in known.values()
    if model.source == catalogue.FOLDER
    and model.name not in names
    and model.state != MISSING
  ]
  catalogue.write_metadata(connection, gone)
  return gone


@dataclasses.dataclass(eq=False)
class _Task:
  """One run over the files.

  Attributes:
    written: rows that were committed, without vectors and shapes.
    waiting: rows of the files that are being read, in order.
    batches: rows and meshes that wait for others of their size.
    failed: rows of files that gave no mesh, to be written.
    kept: rows whose vectors stay, to be written.
    done: files that need no more reading.
    failures: of these.
    warnings: of files that were read.
  """

  connection: sqlite3.Connection
  files: Sequence[folder.ModelFile]
  known: dict[str, Model]
  embed: Embed
  fingerprint: str
  unit: str
  source: str
  progress: Progress | None
  written: list[Model] = dataclasses.field(default_factory=list)
  waiting: collections.deque[tuple[Model, pathlib.Path]] = dataclasses.field(
    default_factory=collections.deque
  )
  batches: dict[int, list[tuple[Model, Any]]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  failed: list[Model] = dataclasses.field(default_factory=list)
  kept: list[Model] = dataclasses.field(default_factory=list)
  done: int = 0
  failures: int = 0
  warnings: list[Failure] = dataclasses.field(default_factory=list)

  def run(self, read: Read) -> None:
    """Examines, reads, embeds and commits all files."""
    results = read(self._examine())
    for result in results:
      self._receive(*self.waiting.popleft(), result)
      for size, batch in self.batches.items():
        if len(batch) >= _MESHES:
          self._commit(size)
      if len(self.failed) + len(self.kept) >= _ROWS:
        self._commit()
    for size in sorted(self.batches):
      self._commit(size)
    self._commit()

  def _examine(self) -> Iterator[pathlib.Path]:
    """Yields the files that must be read; settles the others."""
    for file in self.files:
      before = self.known.get(file.name)
      metadata = file.metadata
      if metadata is None:
        metadata = before.metadata if before else {}
      row = Model(
        file.name,
        file.label,
        "",
        FAILED,
        "",
        self.fingerprint,
        self.source,
        metadata=metadata,
      )
      try:
        # Hashed before it is read: a file that changes in between has the
        # hash of its old content and is taken again by the next run.
        digest = file.digest or folder.hash_file(file.path)
        row = dataclasses.replace(row, hash=digest)
      except OSError as error:
        self._fail(row, f"{file.name} cannot be read ({error.strerror}).")
        continue
      if before is None or not self._holds(before, row):
        self.waiting.append((row, file.path))
        yield file.path
        continue
      kept = dataclasses.replace(
        before,
        state=INDEXED,
        source=self.source,
        label=file.label,
        metadata=metadata,
      )
      if _metadata(kept) != _metadata(before):
        self.kept.append(kept)
      self._tell()

  def _holds(self, before: Model, row: Model) -> bool:
    """Whether reading the file again would give what is stored."""
    return (
      before.radius is not None
      and (before.hash, before.fingerprint) == (row.hash, row.fingerprint)
      and before.unit.removesuffix(ASSUMED) in (before.unit, self.unit)
    )

  def _receive(
    self, row: Model, path: pathlib.Path, result: ProcessedModel | Dr3dError
  ) -> None:
    """Puts what was read where it waits to be written."""
    if isinstance(result, WorkerError):
      self._fail(row, f"{row.name} {result}.")
    elif isinstance(result, Dr3dError):
      reason = str(result).replace(str(path), row.name)
      self._fail(row, folder.to_text(reason))
    else:
      mesh = result.mesh
      self.warnings += [
        Failure(row.name, f"{row.name} {warning}.")
        for warning in result.warnings
      ]
      a, b, c = map(float, mesh.extent)
      row = dataclasses.replace(
        row,
        unit=result.unit,
        geometry=result.geometry,
        body_count=result.body_count,
        area=result.area,
        volume=result.volume,
        radius=float(mesh.radius),
        extent=(a, b, c),
        face_count=len(mesh.faces),
        shape=catalogue.Shape(pack_mesh(mesh), result.thumbnail)
        if result.thumbnail
        else None,
      )
      count = min(len(mesh.faces), BUCKETS[-1])
      size = next(size for size in BUCKETS if count <= size)
      self.batches[size].append((row, mesh))
      self._tell()

  def _fail(self, row: Model, reason: str) -> None:
    self.failed.append(dataclasses.replace(row, reason=reason))
    self.failures += 1
    self._tell()

  def _tell(self) -> None:
    self.done += 1
    if self.progress is not None:
      self.progress(self.done, len(self.files), self.failures)

  def _commit(self, size: int | None = None) -> None:
    """Writes what is settled, and the models of one size."""
    rows, batch = self.failed, []
    if size is not None:
      batch, self.batches[size] = self.batches[size], []
    if batch:
      features = np.asarray(self.embed([mesh for _, mesh in batch]), np.float32)
      if features.ndim != 3 or len(features) != len(batch):
        raise ValueError(
          f"the pipeline must return [{len(batch)}, N, D] vectors, got shape "
          f"{features.shape}"
        )
      rows = rows + [
        _give_vectors(row, vectors)
        for (row, _), vectors in zip(batch, features, strict=True)
      ]
    catalogue.write_models(self.connection, rows)
    catalogue.write_metadata(self.connection, self.kept)
    self.written += [
      dataclasses.replace(row, features=None, shape=None)
      for row in rows + self.kept
    ]
    self.failed, self.kept = [], []


def _metadata(row: Model) -> tuple:
  """What can change without reading the file."""
  return row.state, row.source, row.label, dict(row.metadata)


def _give_vectors(row: Model, features: np.ndarray) -> Model:
  """Completes a row; vectors that cannot be searched make it a failed one."""
  try:
    check_vectors(features, "vectors")
  except ValueError as error:
    return Model(
      row.name,
      row.label,
      row.hash,
      FAILED,
      f"{row.name} gives no usable vectors ({error}).",
      row.fingerprint,
      row.source,
      metadata=row.metadata,
    )
  return dataclasses.replace(row, state=INDEXED, features=features)
