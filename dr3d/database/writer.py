"""A directory of models that can be searched: catalogue, pipeline, index.

    DIR/catalogue.sqlite    models, labels, states: the one truth
    DIR/vectors-G.f32       vectors, each where its row of the catalogue says
    DIR/pipeline[-NAME]/    what made the vectors and embeds the queries
    DIR/index-HASH/         ScaNN's index of these vectors, or nearly: derived
    DIR/writer.lock         one writer at a time
    DIR/reserve             space to delete models on a full disk
    DIR/files/, DIR/inbox/  files that it keeps a copy of; see `journal`

The directory needs nothing outside of it, so it can be moved. It must not be
copied while a process writes: `backup` makes a consistent copy. Whenever a
writer is killed, the same command completes the work. `schema` lists the
formats.
"""

import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self

from dr3d.data import folder
from dr3d.database import (
  catalogue,
  garbage,
  ingest,
  journal,
  photo_store,
  pipeline_switch,
  setting,
  shared,
)
from dr3d.database.assembly import add_failures, list_bodies
from dr3d.database.creation import compares_colors, make_database
from dr3d.database.edit import EditWriter
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.file_reader import FileReader, IngestWorkers
from dr3d.database.model import ADDED, FOLDER, OUTDATED, LabelSource, Model
from dr3d.database.upload import UploadWriter
from dr3d.error import DatabaseError
from dr3d.index.engine import EXACT_BELOW
from dr3d.index.summary_file import remove_summaries
from dr3d.mesh import Mesh
from dr3d.mesh.unit import Unit, parse_assumed


class Database(EditWriter, UploadWriter):
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
    engine: str = "auto",
    objects: str | None = None,
  ) -> Self:
    """Makes a database, completes a half-made one, or opens one that exists.

    Args:
      directory: of the database, made if it does not exist; or the URI of a
        PostgreSQL database.
      pipeline: copied into the directory; it makes all vectors of this
        database. None opens a database with the pipeline that it has.
      load_pipeline: see `open`.
      exact_below: see `open`.
      engine: see `open`.
      objects: folder or object store of a new database in PostgreSQL, for its
        meshes and thumbnails, such as "s3://bucket/parts"; None keeps them in
        PostgreSQL.

    Raises:
      DatabaseError: the database has another pipeline, the directory holds
        other files, it cannot be written, or there is neither a database nor
        a pipeline to make one with.
    """
    directory = shared.find_directory(directory)
    if not catalogue.is_complete(directory):
      if pipeline is None:
        raise DatabaseError(
          f"{directory} holds no database yet: name the pipeline to make one "
          "with."
        )
      make_database(directory, pipeline, objects=objects)
    database = cls(
      directory,
      load_pipeline=load_pipeline,
      exact_below=exact_below,
      engine=engine,
    )
    if pipeline is not None:
      if pipeline.fingerprint != database.fingerprint:
        raise DatabaseError(
          f"{directory} was made with another pipeline, whose vectors do not "
          "compare: index into a new directory, or name no pipeline to use the "
          "one that it has."
        )
      database.pipeline = pipeline
    return database

  def update(
    self,
    models: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    unit: Unit | None = None,
    replace: bool = False,
    load: Callable[[pathlib.Path], Mesh] | None = None,
    reader: FileReader | None = None,
    workers: IngestWorkers | None = None,
    bodies: bool = False,
    progress: ingest.Progress | None = None,
  ) -> ingest.Report:
    """Brings the database to the state of a folder of models.

    Files that are new or have changed are embedded; a file that cannot be is
    recorded with the reason. Models whose file is gone are kept but not
    searched, until the file is back. Files that were added by themselves stay
    as they are. What was given before is kept; see `label`.

    Args:
      models: the folder; names of models are relative to it.
      labels: a CSV file; see `folder.find_models`.
      unit: of files that state none and were given none, now and in later
        runs; None for that of the earlier run, at first millimetres.
      replace: whether labels, metadata and units that were given before give
        way to those of this call.
      load: path → Mesh, called in this process instead of the reader.
      reader: how files are read.
      workers: who reads and embeds the files instead of the reader, which then
        only splits assemblies; see `ray_workers`.
      bodies: whether each body of a file is a model as well, named after the
        file; see `assembly`. Files are then read twice, and in each run.
      progress: called after each file with the files done, all files, and
        those that failed.

    Returns:
      What was done.

    Raises:
      Dr3dError: the folder or the label table cannot be used.
      DatabaseError: another process writes, or the disk does not store it.
    """
    unit = self._check_unit(unit)
    files = folder.find_models(models, labels=labels)
    settings = {setting.MODELS: folder.to_text(os.path.abspath(models))}
    if unit is not None:
      settings[setting.UNIT] = unit
    reader = reader or FileReader(load=load)
    with self._writing():
      unsplit: list[ingest.Failure] = []
      if bodies:
        found, unsplit = list_bodies(files, self.directory, reader=reader)
        files += found
      report = self._write(
        files,
        settings,
        unit=unit,
        workers=workers or reader,
        source=FOLDER,
        replace=replace,
        progress=progress,
      )
      self._keep_derived()
    return add_failures(report, unsplit)

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
    one is named by its path as written.

    Args:
      paths: the files.
      label: of all of them; None keeps the labels that models have.
      metadata: text by name, added to what is known of each model.
      unit: of these files, if they state none; None keeps what was given for a
        file, or is the unit of the database.
      reader: see `update`.
      progress: see `update`.

    Returns:
      What was done.

    Raises:
      DatabaseError: a file does not exist, another process writes, or the disk
        does not store it.
    """
    unit = self._check_unit(unit)
    with self._writing():
      known = {model.name: model for model in self.models()}
      files = {}
      for path in map(pathlib.Path, paths):
        if not path.is_file():
          what = "is not a file" if path.exists() else "does not exist"
          raise DatabaseError(f"{path} {what}: nothing is added.")
        name = self._name(path)
        files[name] = _make_file(
          path, name, known.get(name), label, metadata, unit
        )
      report = self._write(
        list(files.values()),
        {},
        workers=reader or FileReader(),
        source=ADDED,
        progress=progress,
      )
      self._keep_derived()
    return report

  def remove(self, names: Collection[str], *, purge: bool = False) -> None:
    """Removes models, with their vectors and images, all or none.

    A model whose file stays in the folder of models comes back with the next
    `update`. What a removed model had in the catalogue is overwritten; its
    vectors stay in their file, without a name, until `rebuild` or a purge.

    Args:
      names: of the models.
      purge: whether vectors are overwritten, too, which writes all vectors
        again. Backups keep what they hold.

    Raises:
      DatabaseError: there is no model of such a name, or another process
        writes.
    """
    with self._writing(alone=purge):
      for name in names:
        self._check_name(name)
      self._delete(names)
      if purge:
        with catalogue.open_catalogue(self.directory) as connection:
          catalogue.compact(connection)
        remove_summaries(self.directory, engine=self._engine)
        photo_store.remove(self.directory)
        self.refresh()
      self._try_keep_derived()

  def rebuild(
    self,
    pipeline: EmbeddingPipeline | None = None,
    *,
    progress: ingest.Progress | None = None,
  ) -> int:
    """Checks the catalogue and computes again what is derived from it.

    Args:
      pipeline: replaces the pipeline of the database. All stored meshes are
        embedded again before the change, so what could be searched before can
        be searched at any moment; see `pipeline_switch`.
      progress: see `update`.

    Returns:
      How many models were embedded again.

    Raises:
      DatabaseError: the directory is damaged, another process writes, or the
        pipeline compares colours, which the stored meshes lack.
    """
    with self._writing(alone=True):
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.compact(connection)
      count = 0
      if pipeline is not None and pipeline.fingerprint != self.fingerprint:
        self._check_colors(pipeline)
        count = pipeline_switch.switch(
          self.directory,
          pipeline,
          former_budget=self.face_budget,
          progress=progress,
        )
        self.refresh()
        self.pipeline = pipeline
        garbage.remove_leftovers(self.directory, self.settings)
      count += self._embed_outdated(progress)
      self._read_kept()
      remove_summaries(self.directory, engine=self._engine)
      photo_store.remove(self.directory)
      self.refresh()
      self._keep_derived()
    return count

  def _check_colors(self, pipeline: EmbeddingPipeline) -> None:
    """Raises if stored meshes lack the colours that a pipeline compares."""
    if compares_colors(pipeline) and not self.appearance:
      raise DatabaseError(
        f"{self.directory} has no colours of its models, which the new pipeline"
        " compares: index the files into a new directory."
      )

  def _name(self, path: pathlib.Path) -> str:
    """Name of a file that is added."""
    root = pathlib.Path(self.settings.get(setting.MODELS, os.devnull))
    whole = pathlib.Path(os.path.abspath(path))
    if whole.is_relative_to(root):
      return folder.to_text(whole.relative_to(root).as_posix())
    return folder.to_text(pathlib.Path(os.path.normpath(path)).as_posix())

  def _embed_outdated(self, progress: ingest.Progress | None) -> int:
    """Embeds outdated models whose mesh is stored; returns how many."""
    names = [model.name for model in self.models() if model.state == OUTDATED]
    count = 0
    size = pipeline_switch.BATCH_SIZE
    with catalogue.open_catalogue(self.directory) as connection:
      for start in range(0, len(names), size):
        shapes = catalogue.read_shapes(connection, names[start:][:size])
        if shapes:
          features = pipeline_switch.embed_shapes(self.pipeline, shapes)
          catalogue.write_vectors(
            connection, features, fingerprint=self.fingerprint
          )
          count += len(features)
        if progress is not None:
          done = min(start + size, len(names))
          progress(done, len(names), done - count)
    return count

  def _read_kept(self) -> None:
    """Reads the kept files of models that were not read for this pipeline."""
    files = [
      folder.ModelFile(
        path,
        model.name,
        model.label,
        model.metadata,
        model.hash,
        parse_assumed(model.unit),
        model.label_source,
      )
      for model in self.models()
      if model.state == OUTDATED or not model.fingerprint
      if (path := journal.find_file(self.directory, model.hash)) is not None
    ]
    if files:
      self._write(files, {}, workers=FileReader(jobs=1), source=ADDED)


def _make_file(
  path: pathlib.Path,
  name: str,
  before: Model | None,
  label: str | None,
  metadata: Mapping[str, str] | None,
  unit: Unit | None,
) -> folder.ModelFile:
  """A file that is added, with what was given for it."""
  known = before.metadata if before else {}
  if label is not None:
    label_source: LabelSource = "hand"
  else:
    label = before.label if before else ""
    label_source = before.label_source if before else "folder"
  return folder.ModelFile(
    path,
    name,
    label,
    {**known, **(metadata or {})},
    unit=unit,
    label_source=label_source,
  )
