"""Brings the rows of a catalogue to the state of model files.

Only new and changed files are read, ahead of what is needed. Models of about
the same size are embedded together, and each such batch is committed in one
transaction: a run that is killed loses the batches in memory, and the next
run, which compares the hashes of all files, resumes from there.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue, label
from dr3d.database.connection import Connection
from dr3d.database.file_reader import UnitFile
from dr3d.database.model import (
  FAILED,
  FOLDER,
  INDEXED,
  MISSING,
  Model,
  Shape,
  Source,
)
from dr3d.database.postgres import SharedConnection
from dr3d.database.processed_model import ProcessedModel
from dr3d.database.report import Failure, Report, make_report
from dr3d.database.sqlite_file import transaction
from dr3d.error import Dr3dError
from dr3d.index.vector_index import check_vectors
from dr3d.mesh import BUCKETS, Mesh
from dr3d.mesh.packing import pack_mesh
from dr3d.mesh.unit import ASSUMED, Unit, parse_assumed
from dr3d.runtime.pool import WorkerError

Read = Callable[[Iterable[UnitFile]], Iterator[ProcessedModel | Dr3dError]]
"""Files → for each, in order, what was read, or the error it ended in."""
Hash = Callable[[Sequence[folder.ModelFile]], Iterator[str | Dr3dError]]
"""Files → the hash of each, or the predicate that says why it has none."""
EmbedEach = Callable[[Iterable[list[Mesh]]], Iterator[np.ndarray]]
"""Batches of B meshes → for each, in order, float32 [B, N, D] unit vectors. A
few batches may be taken ahead of the vectors that were read."""
Progress = Callable[[int, int, int], None]
"""Files done, all files, files that failed."""

__all__ = ["Failure", "Progress", "Report", "ingest_files"]

_BATCH_SIZE = 16  # meshes embedded at a time; bounds the memory of the renderer
_MAX_WAITING = 256  # rows without meshes that a kill may lose


def ingest_files(
  connection: Connection,
  files: Sequence[folder.ModelFile],
  *,
  embed_each: EmbedEach,
  fingerprint: str,
  read: Read,
  hash_each: Hash,
  unit: label.UnitDefault,
  source: Source = FOLDER,
  replace: bool = False,
  progress: Progress | None = None,
) -> Report:
  """Brings models of a catalogue to the state of their files.

  Args:
    connection: the catalogue; the caller holds the writer's lock.
    files: all models of the folder, or some files of their own.
    embed_each: the pipeline, in this process or in others.
    fingerprint: of the pipeline; rows of another one are made again.
    read: reads model files.
    hash_each: hashes model files.
    unit: of files that state none and were given none.
    source: `FOLDER`: models of the folder that are not among the files become
      missing; or `ADDED`.
    replace: whether labels, metadata and units that were given before give way
      to those of this run; see `label`.
    progress: called after each file.

  Returns:
    What was done.

  Raises:
    ValueError: the pipeline returned no [B, N, D] array.
  """
  known = {model.name: model for model in catalogue.read_models(connection)}
  gone = []
  if source == FOLDER:
    gone = _mark_missing(connection, known, {file.name for file in files})
  task = _Task(
    connection,
    files,
    known,
    fingerprint,
    unit,
    source,
    replace,
    progress,
  )
  task.run(read, hash_each, embed_each)
  return make_report(
    task.written,
    known,
    file_count=len(files),
    missing=len(gone),
    warnings=task.warnings,
    labels_kept=task.labels_kept,
    assumed=task.assumed,
  )


def _mark_missing(
  connection: Connection, known: dict[str, Model], names: set[str]
) -> list[Model]:
  gone = [
    dataclasses.replace(model, state=MISSING, reason="")
    for model in known.values()
    if model.source == FOLDER
    and model.name not in names
    and model.state != MISSING
  ]
  catalogue.update_models(connection, gone)
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
    labels_kept: see `Report`.
    assumed: see `Report`.
    done: files that are decided, and embedded if they had to be.
    failures: of these.
    warnings: of files that were read.
  """

  connection: Connection
  files: Sequence[folder.ModelFile]
  known: dict[str, Model]
  fingerprint: str
  unit: label.UnitDefault
  source: Source
  replace: bool
  progress: Progress | None
  written: list[Model] = dataclasses.field(default_factory=list)
  waiting: collections.deque[tuple[Model, pathlib.Path]] = dataclasses.field(
    default_factory=collections.deque
  )
  batches: dict[int, list[tuple[Model, Mesh]]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )
  failed: list[Model] = dataclasses.field(default_factory=list)
  kept: list[Model] = dataclasses.field(default_factory=list)
  labels_kept: int = 0
  assumed: collections.Counter[Unit] = dataclasses.field(
    default_factory=collections.Counter
  )
  done: int = 0
  failures: int = 0
  warnings: list[Failure] = dataclasses.field(default_factory=list)

  def run(self, read: Read, hash_each: Hash, embed_each: EmbedEach) -> None:
    """Examines, reads, embeds and commits all files."""
    embedded: collections.deque[list[tuple[Model, Mesh]]] = collections.deque()

    def list_meshes() -> Iterator[list[Mesh]]:
      for batch in self._read_batches(read, hash_each):
        embedded.append(batch)
        yield [mesh for _, mesh in batch]

    for features in embed_each(list_meshes()):
      self._commit(embedded.popleft(), features)
    self._commit()

  def _read_batches(
    self, read: Read, hash_each: Hash
  ) -> Iterator[list[tuple[Model, Mesh]]]:
    """Yields models of about the same size; commits the other rows."""
    for result in read(self._examine(hash_each)):
      self._receive(*self.waiting.popleft(), result)
      for size in self.batches:
        if len(self.batches[size]) >= _BATCH_SIZE:
          yield self._take_batch(size)
      if len(self.failed) + len(self.kept) >= _MAX_WAITING:
        self._commit()
    for size in sorted(self.batches):
      if self.batches[size]:
        yield self._take_batch(size)

  def _take_batch(self, size: int) -> list[tuple[Model, Mesh]]:
    batch, self.batches[size] = self.batches[size], []
    return batch

  def _examine(self, hash_each: Hash) -> Iterator[UnitFile]:
    """Yields the files that must be read; decides about the others."""
    # Hashed before they are read: a file that changes in between has the hash
    # of its old content, so the next run reads it again.
    hashes = hash_each(self.files)
    for file, digest in zip(self.files, hashes, strict=True):
      before = self.known.get(file.name)
      given = label.merge(file, before, self.unit, replace=self.replace)
      self.labels_kept += given.is_kept
      row = Model(
        file.name,
        given.label,
        "",
        FAILED,
        "",
        self.fingerprint,
        self.source,
        unit=f"{given.unit}{ASSUMED}",
        metadata=given.metadata,
        label_source=given.label_source,
        unit_source=given.unit_source,
      )
      if isinstance(digest, Dr3dError):
        self._fail(row, f"{file.name} {digest}.")
        continue
      row = dataclasses.replace(row, hash=digest)
      if before is None or not _holds(before, row):
        self.waiting.append((row, file.path))
        yield file.path, given.unit
        continue
      self._keep(before, row)

  def _keep(self, before: Model, row: Model) -> None:
    """Keeps the vectors of a model whose file is the same."""
    kept = dataclasses.replace(
      before,
      state=INDEXED,
      reason="",
      source=self.source,
      label=row.label,
      label_source=row.label_source,
      unit_source=row.unit_source,
      metadata=row.metadata,
    )
    if _list_given(kept) != _list_given(before):
      self.kept.append(kept)
    self._count_unit(kept)
    self._tell()

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
        shape=Shape(pack_mesh(mesh), result.thumbnail)
        if result.thumbnail
        else None,
      )
      count = min(len(mesh.faces), BUCKETS[-1])
      size = next(size for size in BUCKETS if count <= size)
      self.batches[size].append((row, mesh))
      self._count_unit(row)

  def _count_unit(self, row: Model) -> None:
    unit = parse_assumed(row.unit)
    if unit is not None:
      self.assumed[unit] += 1

  def _fail(self, row: Model, reason: str) -> None:
    if row.unit_source == "default":  # nothing to remember
      row = dataclasses.replace(row, unit="")
    self.failed.append(dataclasses.replace(row, reason=reason))
    self.failures += 1
    self._tell()

  def _tell(self) -> None:
    self.done += 1
    if self.progress is not None:
      self.progress(self.done, len(self.files), self.failures)

  def _commit(
    self,
    batch: Sequence[tuple[Model, Mesh]] = (),
    features: np.ndarray | None = None,
  ) -> None:
    """Writes the rows that are decided, and models with their vectors."""
    rows = self.failed
    if features is not None:
      features = np.asarray(features, np.float32)
      if features.ndim != 3 or len(features) != len(batch):
        raise ValueError(
          f"the pipeline must return [{len(batch)}, N, D] vectors, got shape "
          f"{features.shape}"
        )
      rows = rows + [
        _give_vectors(row, vectors)
        for (row, _), vectors in zip(batch, features, strict=True)
      ]
    with transaction(self.connection):
      if isinstance(self.connection, SharedConnection):
        rows = [self._merge_again(row) for row in rows]
        self.kept = [self._merge_again(row) for row in self.kept]
      catalogue.write_models(self.connection, rows)
      catalogue.update_models(self.connection, self.kept)
    self.written += [
      dataclasses.replace(row, features=None, shape=None)
      for row in rows + self.kept
    ]
    self.failed, self.kept = [], []
    for _ in batch:  # not before: to embed them takes most of the time
      self._tell()

  def _merge_again(self, row: Model) -> Model:
    """Keeps what another writer gave a model since this run began."""
    before = self.known.get(row.name)
    now = catalogue.find_model(self.connection, row.name)
    if now is None or (
      before is not None and _list_given(now) == _list_given(before)
    ):
      return row
    file = self._files_by_name[row.name]
    given = label.merge(file, now, self.unit, replace=self.replace)
    return dataclasses.replace(
      row,
      label=given.label,
      label_source=given.label_source,
      metadata=given.metadata,
    )

  @functools.cached_property
  def _files_by_name(self) -> dict[str, folder.ModelFile]:
    return {file.name: file for file in self.files}


def _holds(before: Model, row: Model) -> bool:
  """Whether reading the file again would give what is stored."""
  return (
    before.radius is not None
    and (before.hash, before.fingerprint) == (row.hash, row.fingerprint)
    and (parse_assumed(before.unit) is None or before.unit == row.unit)
  )


def _list_given(row: Model) -> tuple[object, ...]:
  """What can change without reading the file."""
  return (
    row.state,
    row.source,
    row.label,
    row.label_source,
    row.unit_source,
    dict(row.metadata),
  )


def _give_vectors(row: Model, features: np.ndarray) -> Model:
  """Completes a row; it fails if its vectors cannot be searched."""
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
      label_source=row.label_source,
    )
  return dataclasses.replace(row, state=INDEXED, features=features)
