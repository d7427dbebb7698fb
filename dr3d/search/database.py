"""A directory of models that can be searched: catalogue, pipeline, index.

    DIR/catalogue.sqlite   models, labels, states, vectors: the one truth
    DIR/pipeline/          what made the vectors and embeds the queries
    DIR/index-HASH/        ScaNN's index of exactly these vectors: derived
    DIR/writer.lock        one writer at a time

The directory holds no path to the outside that is used, so it can be moved.
Whatever moment a writer is killed at, the same command completes the work.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np

from dr3d import folder
from dr3d.error import DatabaseError
from dr3d.search import catalogue, indexfile, intake, query
from dr3d.search import index as index_lib

_PIPELINE = "pipeline"  # name of a folder, and of a setting: its fingerprint


class Embedder(Protocol):
  """What the database asks of a pipeline."""

  @property
  def face_budget(self) -> int | None:
    """Faces that a mesh is simplified to before it is embedded."""

  @property
  def fingerprint(self) -> str:
    """Hash of the weights and the configuration."""

  def embed(self, meshes: list[Any], /) -> np.ndarray:
    """Float32 [B, N, D] unit vectors of B meshes."""

  def save(self, directory: pathlib.Path, /) -> Any:
    """Writes the pipeline as a directory, in place of what stood there."""


LoadPipeline = Callable[[pathlib.Path], Embedder]


class Database:
  """Models that can be searched, in a directory.

  An object answers from the state that it read at its first query, or after
  its own last update; `refresh` makes it read again.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = index_lib.EXACT_BELOW,
  ):
    """Opens a database; see `open`."""
    self.directory = pathlib.Path(directory)
    with catalogue.open_catalogue(self.directory) as connection:
      self.fingerprint = catalogue.read_settings(connection)[_PIPELINE]
    self._load_pipeline = load_pipeline
    self._exact_below = exact_below

  @classmethod
  def open(
    cls,
    directory: str | os.PathLike[str],
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = index_lib.EXACT_BELOW,
  ) -> "Database":
    """Opens a database that exists.

    Args:
      directory: where it is.
      load_pipeline: reads the pipeline from a directory; `Pipeline.load`
        otherwise.
      exact_below: number of vectors from which ScaNN is used.

    Raises:
      DatabaseError: the directory holds no database, or an unfinished, newer
        or damaged one.
    """
    return cls(directory, load_pipeline=load_pipeline, exact_below=exact_below)

  @classmethod
  def create(
    cls,
    directory: str | os.PathLike[str],
    pipeline: Embedder | None = None,
    *,
    load_pipeline: LoadPipeline | None = None,
    exact_below: int = index_lib.EXACT_BELOW,
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

  @functools.cached_property
  def pipeline(self) -> Embedder:
    """The pipeline that made the vectors.

    Raises:
      DatabaseError: the stored pipeline is another one.
    """
    load = self._load_pipeline
    if load is None:
      from dr3d.pipeline import Pipeline  # brings jax

      load = Pipeline.load
    pipeline = load(self.directory / _PIPELINE)
    if pipeline.fingerprint != self.fingerprint:
      raise DatabaseError(
        f"{self.directory / _PIPELINE} is not the pipeline that made the "
        "vectors of this database: restore it from a copy."
      )
    return pipeline

  @functools.cached_property
  def gallery(self) -> query.Gallery:
    """The indexed models as they were when this was first asked for.

    Raises:
      DatabaseError: no model is indexed, or the catalogue is damaged.
    """
    with catalogue.open_catalogue(self.directory) as connection:
      names, labels, features = catalogue.read_features(connection)
    if not names:
      raise DatabaseError(
        f"{self.directory} holds no indexed model: index a folder of models."
      )
    try:
      index = self._make_index(features.reshape(-1, features.shape[2]))
    except ValueError as error:
      raise DatabaseError(
        f"{self.directory} is damaged ({error}): restore it from a copy."
      ) from error
    return query.Gallery(tuple(names), tuple(labels), features, index)

  def refresh(self) -> None:
    """Lets the next query see what other processes have written since."""
    self.__dict__.pop("gallery", None)

  def models(self) -> list[catalogue.Model]:
    """All models with label, state, reason and size, by name."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_models(connection)

  def query(
    self,
    mesh: Any,
    *,
    k: int = 10,
    threshold: float = query.RELIABLE,
    exclude: Collection[str] = (),
  ) -> query.Answer:
    """Answers which models a mesh looks like.

    Args:
      mesh: a Mesh, as `load_mesh` returns it.
      k: matches wanted, at least 1.
      threshold: confidence, 0 to 1, from which a prediction is reliable.
      exclude: names of models to leave out.

    Returns:
      The predicted label and at most k models, best first.

    Raises:
      DatabaseError: no model is indexed, or the directory is damaged.
    """
    gallery = self.gallery
    (features,) = np.asarray(self.pipeline.embed([mesh]))
    return query.find_matches(
      features, gallery, k=k, threshold=threshold, exclude=exclude
    )

  def update(
    self,
    models: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    load: intake.Load | None = None,
    progress: intake.Progress | None = None,
  ) -> intake.Report:
    """Brings the database to the state of a folder of models.

    Files that are new or have changed since are embedded; a file that cannot
    be is recorded with the reason. Models whose file has disappeared are kept
    but not searched, until the file comes back.

    Args:
      models: the folder; names of models are relative to it.
      labels: a CSV file; see `folder.find_models`.
      load: path → Mesh; `load_mesh` with the pipeline's face budget otherwise.
      progress: called after each file with the files done and all files.

    Returns:
      What has been done.

    Raises:
      Dr3dError: the folder or the table of labels cannot be used.
      DatabaseError: another process writes, or the disk does not take it.
    """
    files = folder.find_models(models, labels=labels)
    with catalogue.writer_lock(self.directory):
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.write_setting(
          connection, "models", folder.to_text(str(models))
        )
        report = intake.take_in(
          connection,
          files,
          embed=lambda meshes: self.pipeline.embed(meshes),
          fingerprint=self.fingerprint,
          load=load or self._load_mesh,
          progress=progress,
        )
      self.refresh()
      self._save_index()
    return report

  def _load_mesh(self, path: pathlib.Path) -> Any:
    from dr3d.mesh import load_mesh  # brings scipy

    return load_mesh(path, face_budget=self.pipeline.face_budget)

  def _backend(self, vectors: np.ndarray) -> str:
    return index_lib.choose_backend(len(vectors), exact_below=self._exact_below)

  def _make_index(self, vectors: np.ndarray) -> index_lib.Index:
    """The stored index where it fits; else exact search, which is never wrong.

    Exact search answers in a fraction of the time that ScaNN takes to train.
    """
    index = None
    if self._backend(vectors) == "scann":
      index = indexfile.load_index(self.directory, vectors)
    return index or index_lib.build_index(vectors, backend="exact")

  def _save_index(self) -> None:
    """Builds and stores ScaNN's index where there is none of these vectors."""
    if all(model.state != catalogue.INDEXED for model in self.models()):
      return
    gallery = self.gallery
    vectors = gallery.index.vectors
    if self._backend(vectors) == gallery.index.backend:
      return
    index = index_lib.build_index(vectors, backend="scann")
    try:
      indexfile.save_index(index, self.directory)
    except OSError as error:
      raise DatabaseError(
        f"The index of {self.directory} cannot be written ({error.strerror}): "
        "all models are stored and will be searched, more slowly."
      ) from error
    self.gallery = dataclasses.replace(gallery, index=index)


def _make(directory: pathlib.Path, pipeline: Embedder) -> None:
  """Makes a database; one is there from the moment the catalogue is."""
  try:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not catalogue.has_lock(directory):
      raise DatabaseError(
        f"{directory} holds other files but no database: name a new directory."
      )
    with catalogue.writer_lock(directory):
      if catalogue.is_complete(directory):
        return
      pipeline.save(directory / _PIPELINE)
      catalogue.create_catalogue(directory, {_PIPELINE: pipeline.fingerprint})
  except OSError as error:
    raise DatabaseError(
      f"{directory} cannot be written ({error.strerror})."
    ) from error
