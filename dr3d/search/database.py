"""A directory of models that can be searched: catalogue, pipeline, index.

    DIR/catalogue.sqlite   models, labels, states, vectors: the one truth
    DIR/pipeline/          what made the vectors and embeds the queries
    DIR/index-HASH/        ScaNN's index of exactly these vectors: derived
    DIR/writer.lock        one writer at a time

The directory needs nothing outside of it, so it can be moved or copied.
Whatever moment a writer is killed at, the same command completes the work.
"""

import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dr3d import folder
from dr3d.error import DatabaseError
from dr3d.mesh.packing import unpack_mesh
from dr3d.mesh.unit import UNITS
from dr3d.search import catalogue, indexfile, intake, query, storage
from dr3d.search import index as index_lib
from dr3d.search.condition import Condition
from dr3d.search.query import Match
from dr3d.search.reader import Reader

if TYPE_CHECKING:
  from dr3d.search import duplicate

_PIPELINE = "pipeline"  # name of a folder, and of a setting: its fingerprint
_PLACE = "pipeline_folder"  # setting: where the pipeline is, if elsewhere
_MODELS = "models"  # setting: the folder that was looked through last
_BUDGET = "face_budget"  # setting: of the pipeline
_UNIT = "unit"  # setting: of length, that is assumed
_DRIFT = 0.1  # share of vectors that came and went, that an index bears
_RECALL = 0.95  # of probes, below which an index that drifted is built anew
_BATCH = 16  # models embedded anew at a time


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


@dataclasses.dataclass(frozen=True, eq=False)
class _Snapshot:
  """A state of the database, read at once: what is searched, and all rows."""

  gallery: query.Gallery
  models: dict[str, catalogue.Model]


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
    self._read_settings()
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
    place = self.directory / self.settings.get(_PLACE, _PIPELINE)
    pipeline = load(place)
    if pipeline.fingerprint != self.fingerprint:
      raise DatabaseError(
        f"{place} is not the pipeline that made the "
        "vectors of this database: restore it from a copy."
      )
    return pipeline

  @property
  def gallery(self) -> query.Gallery:
    """The indexed models as they were when this was first asked for.

    Raises:
      DatabaseError: no model is indexed, or the catalogue is damaged.
    """
    return self._snapshot.gallery

  @functools.cached_property
  def _snapshot(self) -> "_Snapshot":
    with (
      catalogue.open_catalogue(self.directory) as connection,
      storage.transaction(connection, kind="DEFERRED"),  # one state of it
    ):
      names, labels, features = catalogue.read_features(connection)
      models = catalogue.read_models(connection)
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
    gallery = query.Gallery(tuple(names), tuple(labels), features, index)
    return _Snapshot(gallery, {model.name: model for model in models})

  @property
  def face_budget(self) -> int | None:
    """Faces that the pipeline, which need not be loaded for it, wants."""
    return json.loads(self.settings[_BUDGET])

  @property
  def unit(self) -> str:
    """That is assumed of files that do not state theirs."""
    return self.settings.get(_UNIT, "mm")

  def refresh(self) -> None:
    """Lets the next query see what other processes have written since."""
    before = self.fingerprint
    self._read_settings()
    self.__dict__.pop("_snapshot", None)
    if self.fingerprint != before:
      self.__dict__.pop("pipeline", None)

  def _read_settings(self) -> None:
    with catalogue.open_catalogue(self.directory) as connection:
      self.settings = catalogue.read_settings(connection)
    self.fingerprint = self.settings[_PIPELINE]

  def models(self) -> list[catalogue.Model]:
    """All models with label, state, reason and size, by name."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_models(connection)

  def count_states(self) -> dict[str, int]:
    """How many models are in each of `catalogue.STATES`."""
    states = [model.state for model in self.models()]
    return {state: states.count(state) for state in catalogue.STATES}

  def inspect(self) -> dict[str, Any]:
    """What the database holds, ready for JSON.

    Returns:
      The number of models in each state; `labels`, different ones of the
      indexed models; `vectors` that are searched; `index`, how; `recall` of
      the first ten neighbours, None where nothing is indexed; `pipeline`, its
      fingerprint; `format`; `bytes` on the disk; `failures`, a list of model
      and reason.

    Raises:
      DatabaseError: the directory is damaged.
    """
    models = self.models()
    indexed = [model for model in models if model.state == catalogue.INDEXED]
    index = self.gallery.index if indexed else None
    return {
      **self.count_states(),
      "labels": len({model.label for model in indexed} - {""}),
      "vectors": 0 if index is None else len(index.vectors),
      "index": self.describe_index(),
      "recall": None if index is None else index_lib.measure_recall(index),
      "pipeline": self.fingerprint,
      "format": catalogue.FORMAT,
      "bytes": sum(
        path.stat().st_size
        for path in self.directory.rglob("*")
        if path.is_file()
      ),
      "failures": [
        {"model": model.name, "reason": model.reason}
        for model in models
        if model.state == catalogue.FAILED
      ],
    }

  def describe_index(self) -> str:
    """How the vectors are searched: "exact", "scann", or "none"."""
    if not self.count_states()[catalogue.INDEXED]:
      return "none"
    return self.gallery.index.backend

  def query(
    self,
    mesh: Any,
    *,
    k: int = 10,
    threshold: float = query.RELIABLE,
    exclude: Collection[str] = (),
    condition: Condition | None = None,
    min_score: float = -1.0,
    compare: int = 0,
  ) -> query.Answer:
    """Answers which models a mesh looks like.

    Args:
      mesh: a Mesh, as `load_mesh` returns it; its unit is taken to be the
        millimetre where sizes are compared.
      k: matches wanted, at least 1.
      threshold: confidence, 0 to 1, from which a prediction is reliable.
      exclude: names of models to leave out.
      condition: which models are searched.
      min_score: of a match.
      compare: how many of the first matches are laid upon the query, so that
        `distance` and `mirrored` are known of them.

    Returns:
      The predicted label and at most k models, best first.

    Raises:
      DatabaseError: no model is indexed, the condition names a label or a key
        that none has, or the directory is damaged.
    """
    snapshot = self._snapshot
    only = None
    if condition is not None:
      rows = [snapshot.models[name] for name in snapshot.gallery.names]
      only = condition.choose(rows, extent=mesh.extent)
    (features,) = np.asarray(self.pipeline.embed([mesh]))
    answer = query.find_matches(
      features,
      snapshot.gallery,
      k=k,
      threshold=threshold,
      exclude=exclude,
      only=only,
      min_score=min_score,
    )
    matches = [
      _give_size(match, snapshot.models[match.model], mesh)
      for match in answer.matches
    ]
    if compare:
      matches = self._lay_upon(mesh, matches[:compare]) + matches[compare:]
    return dataclasses.replace(answer, matches=tuple(matches))

  def load_shapes(self, names: Collection[str]) -> dict[str, catalogue.Shape]:
    """Meshes and pictures of models, by name, where they are stored."""
    with catalogue.open_catalogue(self.directory) as connection:
      return catalogue.read_shapes(connection, names)

  def find_duplicates(
    self,
    *,
    weakest: str = "similar",
    progress: Callable[[int, int], None] | None = None,
  ) -> "list[duplicate.Group]":
    """Finds indexed models that are one shape; nothing is changed.

    Args:
      weakest: see `duplicate.find_groups`.
      progress: likewise.

    Raises:
      DatabaseError: no model is indexed, or the directory is damaged.
    """
    from dr3d.search import duplicate

    snapshot = self._snapshot
    names = snapshot.gallery.names
    proposals = {}
    if weakest != duplicate.IDENTICAL:
      proposals = dict(
        zip(names, query.find_neighbours(snapshot.gallery), strict=True)
      )
    with catalogue.open_catalogue(self.directory) as connection:

      def load_mesh(name: str) -> Any:
        shapes = catalogue.read_shapes(connection, [name])
        return unpack_mesh(shapes[name].mesh) if name in shapes else None

      return duplicate.find_groups(
        [snapshot.models[name] for name in names],
        load_mesh,
        proposals=proposals,
        weakest=weakest,
        progress=progress,
      )

  def _lay_upon(self, mesh: Any, matches: Sequence[Match]) -> list[Match]:
    """Lays matches upon the query, shape by shape."""
    from dr3d.mesh import comparison

    shapes = self.load_shapes([match.model for match in matches])
    cloud = comparison.make_cloud(mesh)
    result = []
    for match in matches:
      if match.model in shapes:
        other = unpack_mesh(shapes[match.model].mesh)
        fit = comparison.compare(cloud, comparison.make_cloud(other))
        match = dataclasses.replace(
          match, distance=round(fit.mean, 6), mirrored=fit.mirrored
        )
      result.append(match)
    return result

  def update(
    self,
    models: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    unit: str | None = None,
    load: Callable[[pathlib.Path], Any] | None = None,
    reader: Reader | None = None,
    progress: intake.Progress | None = None,
  ) -> intake.Report:
    """Brings the database to the state of a folder of models.

    Files that are new or have changed since are embedded; a file that cannot
    be is recorded with the reason. Models whose file has disappeared are kept
    but not searched, until the file comes back. Files that were added by
    themselves stay as they are.

    Args:
      models: the folder; names of models are relative to it.
      labels: a CSV file; see `folder.find_models`.
      unit: of files that do not say, one of `meshfile.UNITS`; where None that
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
    return self._take_in(
      folder.find_models(models, labels=labels),
      {_MODELS: folder.to_text(os.path.abspath(models))},
      unit=unit,
      reader=reader or Reader(load=load),
      source=catalogue.FOLDER,
      progress=progress,
    )

  def add(
    self,
    paths: Sequence[str | os.PathLike[str]],
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
    unit: str | None = None,
    reader: Reader | None = None,
    progress: intake.Progress | None = None,
  ) -> intake.Report:
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
    return self._take_in(
      list(files.values()),
      {},
      unit=unit,
      reader=reader or Reader(),
      source=catalogue.ADDED,
      progress=progress,
    )

  def remove(self, names: Collection[str]) -> None:
    """Takes models out, with their vectors and pictures, all or none.

    A model whose file stays in the folder of models comes back with the next
    `update`.

    Raises:
      DatabaseError: there is no model of such a name, or another process
        writes.
    """
    with storage.writer_lock(self.directory):
      known = {model.name for model in self.models()}
      for name in names:
        if name not in known:
          raise DatabaseError(f"{self.directory} has no model {name!r}.")
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.delete_models(connection, names)
      self.refresh()
      self._save_index()

  def rebuild(
    self,
    pipeline: Embedder | None = None,
    *,
    progress: intake.Progress | None = None,
  ) -> int:
    """Checks the catalogue and makes anew whatever is derived from it.

    Args:
      pipeline: takes the place of the one that the database has. Models that
        were simplified to as many faces as it wants are embedded anew at
        once; the others stay outdated until `update` reads their files.
      progress: see `update`.

    Returns:
      How many models were embedded anew.

    Raises:
      DatabaseError: the directory is damaged, or another process writes.
    """
    with storage.writer_lock(self.directory):
      with catalogue.open_catalogue(self.directory) as connection:
        catalogue.compact(connection)
      if pipeline is not None and pipeline.fingerprint != self.fingerprint:
        self._change_pipeline(pipeline)
      count = self._embed_outdated(progress)
      indexfile.remove_indices(self.directory)
      self.refresh()
      self._save_index()
    return count

  def _take_in(
    self,
    files: Sequence[folder.ModelFile],
    settings: dict[str, str],
    *,
    unit: str | None,
    reader: Reader,
    source: str,
    progress: intake.Progress | None,
  ) -> intake.Report:
    """Writes what is new or changed, and sees to the index."""
    unit = unit or self.unit
    if unit not in UNITS:
      raise ValueError(f"unit must be among {', '.join(UNITS)}, got {unit!r}")
    with storage.writer_lock(self.directory):
      self._read_settings()
      with catalogue.open_catalogue(self.directory) as connection:
        for name, value in {**settings, _UNIT: unit}.items():
          catalogue.write_setting(connection, name, value)
        report = intake.take_in(
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
      self._save_index()
    return report

  def _name(self, path: pathlib.Path) -> str:
    """What a file that is added is called."""
    root = pathlib.Path(self.settings.get(_MODELS, os.devnull))
    whole = pathlib.Path(os.path.abspath(path))
    if whole.is_relative_to(root):
      return folder.to_text(whole.relative_to(root).as_posix())
    return folder.to_text(pathlib.Path(os.path.normpath(path)).as_posix())

  def _change_pipeline(self, pipeline: Embedder) -> None:
    """Puts another pipeline in the place of the present one."""
    before = self.settings.get(_PLACE, _PIPELINE)
    place = f"{_PIPELINE}-{pipeline.fingerprint}"
    pipeline.save(self.directory / place)
    same = pipeline.face_budget == self.face_budget
    with catalogue.open_catalogue(self.directory) as connection:
      catalogue.change_pipeline(
        connection,
        {**_describe(pipeline), _PLACE: place},
        keep_shapes=same,
      )
    shutil.rmtree(self.directory / before, ignore_errors=True)
    self._read_settings()
    self.pipeline = pipeline

  def _embed_outdated(self, progress: intake.Progress | None) -> int:
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
    """Builds and stores ScaNN's index where there is none that will do.

    One that was built from other vectors will do as long as few have come and
    gone since and it still finds the neighbours of probes.
    """
    if not self.count_states()[catalogue.INDEXED]:
      return
    gallery = self.gallery
    index = gallery.index
    if self._backend(index.vectors) == "exact":
      return
    if index.backend == "scann" and (
      not index.drift
      or (index.drift <= _DRIFT and index_lib.measure_recall(index) >= _RECALL)
    ):
      return
    index = index_lib.build_index(index.vectors, backend="scann")
    try:
      indexfile.save_index(index, self.directory)
    except OSError as error:
      raise DatabaseError(
        f"The index of {self.directory} cannot be written ({error.strerror}): "
        "all models are stored and will be searched, more slowly."
      ) from error
    gallery = dataclasses.replace(gallery, index=index)
    self._snapshot = dataclasses.replace(self._snapshot, gallery=gallery)


def _give_size(match: Match, model: catalogue.Model, mesh: Any) -> Match:
  """Completes a match by the true size of the model."""
  assert model.radius is not None, "the tables let none be indexed without"
  scale = round(model.radius / float(mesh.radius), 6)
  return dataclasses.replace(match, extent=model.extent, scale=scale)


def _describe(pipeline: Embedder) -> dict[str, str]:
  """Settings that tell of a pipeline."""
  return {
    _PIPELINE: pipeline.fingerprint,
    _BUDGET: json.dumps(pipeline.face_budget),
  }


def _make(directory: pathlib.Path, pipeline: Embedder) -> None:
  """Makes a database; one is there from the moment the catalogue is."""
  try:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not storage.has_lock(directory):
      raise DatabaseError(
        f"{directory} holds other files but no database: name a new directory."
      )
    with storage.writer_lock(directory):
      if catalogue.is_complete(directory):
        return
      pipeline.save(directory / _PIPELINE)
      catalogue.create_catalogue(directory, _describe(pipeline))
  except OSError as error:
    raise DatabaseError(
      f"{directory} cannot be written ({error.strerror})."
    ) from error
