"""Takes the files of a folder into a catalogue, what has changed and no more.

Models are embedded in batches, and each batch is committed in one transaction
before the next begins: a run that is killed loses the batch at hand, and the
next run, which compares the hashes of all files, takes up from there.
"""

import collections
import dataclasses
import pathlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dr3d import folder
from dr3d.error import Dr3dError
from dr3d.search import catalogue
from dr3d.search import index as index_lib
from dr3d.search.catalogue import FAILED, INDEXED, MISSING, Model

Load = Callable[[pathlib.Path], Any]
"""Path → Mesh, or a Dr3dError."""
Embed = Callable[[list[Any]], np.ndarray]
"""B meshes → float32 [B, N, D] unit vectors."""
Progress = Callable[[int, int], None]
"""Files done, all files."""

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
    changed: models that were indexed with other content or another label.
    unchanged: models that were left as they were.
    missing: models whose file was there before and is not now.
    failures: files that cannot be indexed, by name; they are tried again
      each time.
  """

  new: int
  changed: int
  unchanged: int
  missing: int
  failures: tuple[Failure, ...]


@dataclasses.dataclass
class _Batch:
  """What the next transaction writes.

  Attributes:
    meshes: of the first rows.
    rows: of models with a mesh, still without vectors.
    failed: rows of files that gave no mesh.
    kept: rows whose vectors stay and whose state or label changes.
  """

  meshes: list[Any] = dataclasses.field(default_factory=list)
  rows: list[Model] = dataclasses.field(default_factory=list)
  failed: list[Model] = dataclasses.field(default_factory=list)
  kept: list[Model] = dataclasses.field(default_factory=list)

  def is_full(self) -> bool:
    return (
      len(self.meshes) >= _MESHES
      or len(self.meshes) + len(self.failed) + len(self.kept) >= _ROWS
    )


def take_in(
  connection: sqlite3.Connection,
  files: Sequence[folder.ModelFile],
  *,
  embed: Embed,
  fingerprint: str,
  load: Load,
  progress: Progress | None = None,
) -> Report:
  """Brings a catalogue to the state of a folder.

  Args:
    connection: the catalogue; the caller holds the writer's lock.
    files: all models of the folder.
    embed: the pipeline.
    fingerprint: of the pipeline; rows that were made with another are redone.
    load: reads a mesh.
    progress: called after each file.

  Returns:
    What was done.

  Raises:
    ValueError: the pipeline returned no [B, N, D] array.
  """
  known = {model.name: model for model in catalogue.read_models(connection)}
  names = {file.name for file in files}
  gone = [
    model
    for model in known.values()
    if model.name not in names and model.state != MISSING
  ]
  catalogue.write_states(
    connection, [(MISSING, model.label, model.name) for model in gone]
  )
  written: list[Model] = []
  batch = _Batch()
  for done, file in enumerate(files, start=1):
    _examine(file, known.get(file.name), batch, load, fingerprint)
    if batch.is_full():
      written += _commit(connection, batch, embed)
      batch = _Batch()
    if progress is not None:
      progress(done, len(files))
  written += _commit(connection, batch, embed)
  tally = collections.Counter(
    "failed"
    if row.state == FAILED
    else "changed"
    if row.name in known and known[row.name].state == INDEXED
    else "new"
    for row in written
  )
  return Report(
    new=tally["new"],
    changed=tally["changed"],
    unchanged=len(files) - len(written),
    missing=len(gone),
    failures=tuple(
      Failure(row.name, row.reason)
      for row in sorted(written, key=lambda row: row.name)
      if row.state == FAILED
    ),
  )


def _examine(
  file: folder.ModelFile,
  before: Model | None,
  batch: _Batch,
  load: Load,
  fingerprint: str,
) -> None:
  """Adds to the batch what is to be written about a file, if anything."""
  row = Model(file.name, file.label, "", FAILED, "", fingerprint)
  try:
    # Hashed before it is read: a file that changes in between has the hash of
    # its old content and is taken again by the next run.
    row = dataclasses.replace(row, hash=folder.hash_file(file.path))
    if (
      before is not None
      and before.radius is not None
      and (before.hash, before.fingerprint) == (row.hash, fingerprint)
    ):
      if (before.state, before.label) != (INDEXED, file.label):
        kept = dataclasses.replace(before, state=INDEXED, label=file.label)
        batch.kept.append(kept)
      return
    mesh = load(file.path)
  except OSError as error:
    reason = f"{file.name} cannot be read ({error.strerror})."
    batch.failed.append(dataclasses.replace(row, reason=reason))
  except Dr3dError as error:
    reason = folder.to_text(str(error).replace(str(file.path), file.name))
    batch.failed.append(dataclasses.replace(row, reason=reason))
  else:
    a, b, c = map(float, mesh.extent)
    batch.meshes.append(mesh)
    batch.rows.append(
      dataclasses.replace(
        row,
        radius=float(mesh.radius),
        extent=(a, b, c),
        face_count=len(mesh.faces),
      )
    )


def _commit(
  connection: sqlite3.Connection, batch: _Batch, embed: Embed
) -> list[Model]:
  """Embeds and writes a batch; returns its rows without their vectors."""
  rows = batch.failed
  if batch.meshes:
    features = np.asarray(embed(batch.meshes), np.float32)
    if features.ndim != 3 or len(features) != len(batch.meshes):
      raise ValueError(
        f"the pipeline must return [{len(batch.meshes)}, N, D] vectors, got "
        f"shape {features.shape}"
      )
    rows = rows + list(map(_give_vectors, batch.rows, features))
  catalogue.write_models(connection, rows)
  catalogue.write_states(
    connection, [(row.state, row.label, row.name) for row in batch.kept]
  )
  return [dataclasses.replace(row, features=None) for row in rows + batch.kept]


def _give_vectors(row: Model, features: np.ndarray) -> Model:
  """Completes a row; vectors that cannot be searched make it a failed one."""
  try:
    index_lib.check_vectors(features, "vectors")
  except ValueError as error:
    return Model(
      row.name,
      row.label,
      row.hash,
      FAILED,
      f"{row.name} gives no usable vectors ({error}).",
      row.fingerprint,
    )
  return dataclasses.replace(row, state=INDEXED, features=features)
