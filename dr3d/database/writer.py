"""A directory of models that can be searched: catalogue, pipeline, index.

    DIR/catalogue.sqlite   models, labels, states: the one truth
    DIR/vectors-G.f32      vectors, each where its row of the catalogue says
    DIR/pipeline/          what made the vectors and embeds the queries
    DIR/index-HASH/        ScaNN's index of these vectors, or nearly: derived
    DIR/writer.lock        one writer at a time
    DIR/files/, DIR/inbox/ files that it keeps a copy of; see `journal`

The directory needs nothing outside of it, so it can be moved or copied.
Whatever moment a writer is killed at, the same command completes the work.
"""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue, ingest, journal, sqlite_file
from dr3d.database import reader as reader_lib
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.file_reader import FileReader
from dr3d.database.processed_model import ASSUMED, ProcessedModel
from dr3d.database.reader import DatabaseReader
from dr3d.database.snapshot import keep_calibration, keep_index
from dr3d.error import ConflictError, DatabaseError
from dr3d.index import scann_file
from dr3d.index.engine import EXACT_BELOW
from dr3d.mesh.packing import unpack_mesh
from dr3d.mesh.unit import UNITS, Unit

_BATCH = 16  # models embedded anew at a time


class Database(DatabaseReader):
  """Models that can be searched, added and removed, in a directory.

  An object answers from the state that it read at its first query, or after
  its own last update; `refresh` makes it read again.
  """

  @classmethod
  def create(
    cls,
    directory: str | os.PathLike[str],
    pipeline: EmbeddingPipeline | None = None,
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = EXACT_BELOW,
  ) -> "Database":
    """Makes a database, completes a half-made one, or opens one that exists.

    Args:
      directory: where it is to be; made if it does not exist.
      pipeline: copied into the directory; it makes all vectors of this
        database. None opens a database with the pipeline that it has.
      load_pipeline: see `open`.
      exact_below: see `open`.

    Raises:
      DatabaseError: the database has another pipeline, the directory holds
        other things, it cannot be written, or there is neither a database nor
        a pipeline to make one with.
    """
    directory = pathlib.Path(directory)
    if not catalogue.is_complete(directory):
      if pipeline is None:
        raise DatabaseError(
          f"{directory} holds no database yet: name the pipeline to make one "
          "with."
        )
      _make(directory, pipeline)
    database = cls(
      directory, load_pipeline=load_pipeline, exact_below=exact_below
    )
    if pipeline is not None:
      if pipeline.fingerprint != database.fingerprint:
        raise DatabaseError(
          f"{directory} was made with another pipeline, whose vectors do not "
          "compare: index into a new directory, or name no pipeline to go on "
          "with the one it has."
        )
      database.pipeline = pipeline
    return database

  def update(
    self,
    models: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    unit: str | None = None,
    load: Callable[[pathlib.Path], Any] | None = None,
    reader: FileReader | None = None,
    progress: ingest.Progress | None = None,
  ) -> ingest.Report:
    """Brings the database to the state of a folder of models.

    Files that are new or have changed since are embedded; a file that cannot
    be is recorded with the reason. Models whose file has disappeared are kept
    but not searched, until the file comes back. Files that were added by
    themselves stay as they are.

    Args:
      models: the folder; names of models are relative to it.
      labels: a CSV file; see `folder.find_models`.
      unit: of files that do not say, one of `mesh.unit.UNITS`; where None that
        of the last time, at first millimetres.
      load: path → Mesh, called in this process instead of the reader.
      reader: how files are read.
      progress: called after each file with the files done, all files, and
        those that failed.

    Returns:
      What has been done.

    Raises:
      Dr3dError: the folder or the table of labels cannot be used.
      DatabaseError: another process writes, or the disk does not take it.
    """
    return self._ingest(
      folder.find_models(models, labels=labels),
      {reader_lib.MODELS: folder.to_text(os.path.abspath(models))},
      unit=unit,
      reader=reader or FileReader(load=load),
      source=catalogue.FOLDER,
      progress=progress,
    )

  def add(
    self,
    paths: Sequence[str | os.PathLike[str]],
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
    unit: Unit | None = None,
    reader: FileReader | None = None,
    progress: ingest.Progress | None = None,
  ) -> ingest.Report:
    """Adds model files, or brings models of the same names up to date.

    A file in the folder of models has the name that `update` gives it; another
    one is called as its path is written.

    Args:
      paths: the files.
      label: of all of them; where None, models keep the label they have.
      metadata: text by name, added to what is known of each model.
      unit: see `update`.
      reader: see `update`.
      progress: see `update`.

    Returns:
      What has been done.

    Raises:
      DatabaseError: a file does not exist, another process writes, or the disk
        does not take it.
    """
    known = {model.name: model for model in self.models()}
    files = {}
    for path in map(pathlib.Path, paths):
      if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise DatabaseError(f"{path} {what}: nothing is added.")
      name = self._name(path)
      before = known.get(name)
      files[name] = folder.ModelFile(
        path,
        name,
        (before.label if before else "") if label is None else label,
        {**(before.metadata if before else {}), **(metadata or {})},
      )
    return self._ingest(
      list(files.values()),
      {},
      unit=unit,
      reader=reader or FileReader(),
      source=catalogue.ADDED,
      progress=progress,
    )

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
    ends before it is indexed, `recover` completes the work. A file that cannot
    be indexed leaves nothing behind.

    Args:
      path: the file; its ending tells the format.
      name: of the model.
      label: of the model.
      metadata: of the model, text by name.
      unit: see `update`.

    Returns:
      What has been done; a file that the database has under this name already
      counts as unchanged.

    Raises:
      ConflictError: another file has this name.
      DatabaseError: another process writes, the file cannot be read, or the
        disk does not take it.
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
    unit = self._check_unit(file.unit)
    with sqlite_file.writer_lock(self.directory):
      try:
        digest = file.digest or folder.hash_file(file.path)
        for model in self.models():
          if model.name != file.name:
            continue
          if model.hash != digest:
            raise ConflictError(
              f"the database has another model {file.name!r}: choose another "
              "name, or remove that one."
            )
          if model.state == catalogue.INDEXED:
            return ingest.Report(0, 0, 1, 0, ())
        kept = journal.accept(
          self.directory, dataclasses.replace(file, digest=digest, unit=unit)
        )
      except OSError as error:
        raise DatabaseError(
          f"{file.path} cannot be stored as {file.name} ({error.strerror}): "
          "it is not accepted."
        ) from error
      reader = FileReader(jobs=1)
      if processed is not None:
        known = processed  # what the type checker sees in the next line
        reader = FileReader(files=lambda paths: (known for _ in paths))
      report = self._ingest_pending(kept, reader)
      if report.failures:
        self._remove([file.name])
      return report

  def recover(self, *, reader: FileReader | None = None) -> int:
    """Indexes models that a process accepted before it was killed.

    Returns:
      How many models there were.

    Raises:
      DatabaseError: another process writes, or the disk does not take it.
    """
    if not journal.read_pending(self.directory):
      return 0
    with sqlite_file.writer_lock(self.directory):
      pending = journal.read_pending(self.directory)
      for file in pending:
        self._ingest_pending(file, reader or FileReader(jobs=1))
      self._collect_garbage()
    return len(pending)

  def label(self, name: str, label: str) -> None:
    """Gives a model another label.

    `update` gives a model of its folder the label that the folder says.

    Raises:
      DatabaseError: there is no model of this name, or another process writes.
    """
    with sqlite_file.writer_lock(self.directory):
      if name not in {model.name for model in self.models()}:
        raise DatabaseError(f"{self.directory} has no model {name!r}.")
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.write_label(connection, name, label)
      self.refresh()
      self._keep_derived()

  def remove(self, names: Collection[str]) -> None:
    """Takes models out, with their vectors and pictures, all or none.

    A model whose file stays in the folder of models comes back with the next
    `update`.

    Raises:
      DatabaseError: there is no model of such a name, or another process
        writes.
    """
    with sqlite_file.writer_lock(self.directory):
      known = {model.name for model in self.models()}
      for name in names:
        if name not in known:
          raise DatabaseError(f"{self.directory} has no model {name!r}.")
      self._remove(names)

  def rebuild(
    self,
    pipeline: EmbeddingPipeline | None = None,
    *,
    progress: ingest.Progress | None = None,
  ) -> int:
    """Checks the catalogue and makes anew whatever is derived from it.

    Args:
      pipeline: takes the place of the one that the database has. Models that
        were simplified to as many faces as it wants are embedded anew at
        once, and so are those whose files the database keeps; the others
        stay outdated until `update` reads their files.
      progress: see `update`.

    Returns:
      How many models were embedded anew.

    Raises:
      DatabaseError: the directory is damaged, or another process writes.
    """
    with sqlite_file.writer_lock(self.directory):
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.compact(connection)
      if pipeline is not None and pipeline.fingerprint != self.fingerprint:
        self._change_pipeline(pipeline)
      count = self._embed_outdated(progress) + self._read_kept()
      scann_file.remove_indices(self.directory)
      self.refresh()
      self._keep_derived()
    return count

  def _ingest(
    self,
    files: Sequence[folder.ModelFile],
    settings: dict[str, str],
    *,
    unit: str | None,
    reader: FileReader,
    source: str,
    progress: ingest.Progress | None,
  ) -> ingest.Report:
    """Writes what is new or changed, and sees to the index."""
    unit = self._check_unit(unit)
    with sqlite_file.writer_lock(self.directory):
      return self._write(
        files,
        {**settings, reader_lib.UNIT: unit},
        unit=unit,
        reader=reader,
        source=source,
        progress=progress,
      )

  def _ingest_pending(
    self, file: folder.ModelFile, reader: FileReader
  ) -> ingest.Report:
    """Indexes what was accepted; the caller holds the writer's lock."""
    assert file.unit is not None, "the journal writes it"
    report = self._write(
      [file], {}, unit=file.unit, reader=reader, source=catalogue.ADDED
    )
    journal.forget(self.directory, file.name)
    return report

  def _remove(self, names: Collection[str]) -> None:
    """Deletes rows; the caller holds the writer's lock."""
    with catalogue.open_catalogue(self.directory) as connection:
      catalogue.delete_models(connection, names)
    self._collect_garbage()
    self.refresh()
    self._keep_derived()

  def _write(
    self,
    files: Sequence[folder.ModelFile],
    settings: dict[str, str],
    *,
    unit: str,
    reader: FileReader,
    source: str,
    progress: ingest.Progress | None = None,
  ) -> ingest.Report:
    """Takes files in; the caller holds the writer's lock."""
    self._read_settings()
    with catalogue.open_catalogue(self.directory) as connection:
      for name, value in settings.items():
        catalogue.write_setting(connection, name, value)
      report = ingest.ingest_files(
        connection,
        files,
        embed=lambda meshes: self.pipeline.embed(meshes),
        fingerprint=self.fingerprint,
        read=lambda paths: reader.read(
          paths, face_budget=self.face_budget, unit=unit
        ),
        unit=unit,
        source=source,
        progress=progress,
      )
    self.refresh()
    self._keep_derived()
    return report

  def _check_unit(self, unit: str | None) -> str:
    unit = unit or self.unit
    if unit not in UNITS:
      raise ValueError(f"unit must be among {', '.join(UNITS)}, got {unit!r}")
    return unit

  def _collect_garbage(self) -> None:
    """Removes kept files of models that are gone."""
    journal.collect_garbage(
      self.directory, {model.hash for model in self.models()}
    )

  def _name(self, path: pathlib.Path) -> str:
    """What a file that is added is called."""
    root = pathlib.Path(self.settings.get(reader_lib.MODELS, os.devnull))
    whole = pathlib.Path(os.path.abspath(path))
    if whole.is_relative_to(root):
      return folder.to_text(whole.relative_to(root).as_posix())
    return folder.to_text(pathlib.Path(os.path.normpath(path)).as_posix())

  def _change_pipeline(self, pipeline: EmbeddingPipeline) -> None:
    """Puts another pipeline in the place of the present one."""
    before = self.settings.get(reader_lib.PLACE, reader_lib.PIPELINE)
    place = f"{reader_lib.PIPELINE}-{pipeline.fingerprint}"
    pipeline.save(self.directory / place)
    same = pipeline.face_budget == self.face_budget
    with catalogue.open_catalogue(self.directory) as connection:
      catalogue.change_pipeline(
        connection,
        {**_describe(pipeline), reader_lib.PLACE: place},
        keep_shapes=same,
      )
    shutil.rmtree(self.directory / before, ignore_errors=True)
    self._read_settings()
    self.pipeline = pipeline

  def _embed_outdated(self, progress: ingest.Progress | None) -> int:
    """Embeds outdated models whose mesh is stored."""
    outdated = [
      model.name for model in self.models() if model.state == catalogue.OUTDATED
    ]
    count = 0
    with catalogue.open_catalogue(self.directory) as connection:
      for start in range(0, len(outdated), _BATCH):
        shapes = catalogue.read_shapes(
          connection, outdated[start : start + _BATCH]
        )
        if shapes:
          meshes = [unpack_mesh(shape.mesh) for shape in shapes.values()]
          features = np.asarray(self.pipeline.embed(meshes), np.float32)
          catalogue.write_vectors(
            connection,
            dict(zip(shapes, features, strict=True)),
            fingerprint=self.fingerprint,
          )
          count += len(shapes)
        if progress is not None:
          done = min(start + _BATCH, len(outdated))
          progress(done, len(outdated), done - count)
    return count

  def _read_kept(self) -> int:
    """Reads the kept files of outdated models; returns how many."""
    units: dict[str, list[folder.ModelFile]] = {}
    for model in self.models():
      path = journal.find_file(self.directory, model.hash)
      if model.state == catalogue.OUTDATED and path is not None:
        file = folder.ModelFile(
          path, model.name, model.label, model.metadata, model.hash
        )
        unit = model.unit.removesuffix(ASSUMED)
        units.setdefault(unit if unit in UNITS else self.unit, []).append(file)
    for unit, files in units.items():
      self._write(
        files, {}, unit=unit, reader=FileReader(jobs=1), source=catalogue.ADDED
      )
    return sum(map(len, units.values()))

  def _keep_derived(self) -> None:
    """Sees to the index of what is searched now, and to its trust."""
    if self.count_states()[catalogue.INDEXED]:
      self.snapshot = keep_index(
        self.snapshot, self.directory, exact_below=self._exact_below
      )
      keep_calibration(self.snapshot, self.directory)


def _describe(pipeline: EmbeddingPipeline) -> dict[str, str]:
  """Settings that tell of a pipeline."""
  return {
    reader_lib.PIPELINE: pipeline.fingerprint,
    reader_lib.BUDGET: json.dumps(pipeline.face_budget),
  }


def _make(directory: pathlib.Path, pipeline: EmbeddingPipeline) -> None:
  """Makes a database; one is there from the moment the catalogue is."""
  try:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not sqlite_file.has_lock(directory):
      raise DatabaseError(
        f"{directory} holds other files but no database: name a new directory."
      )
    with sqlite_file.writer_lock(directory):
      if catalogue.is_complete(directory):
        return
      pipeline.save(directory / reader_lib.PIPELINE)
      catalogue.create_catalogue(directory, _describe(pipeline))
  except OSError as error:
    raise DatabaseError(
      f"{directory} cannot be written ({error.strerror})."
    ) from error
