"""Reads, hashes and embeds model files on the machines of a Ray cluster.

    driver              this process: decides, commits; the only writer
    tasks               read and clean some files, each in a child with limits
    actors              embed batches of one bucket; each holds the pipeline

Nothing is stored by a worker, so a worker that is killed at any moment loses
nothing and doubles nothing: its call is repeated. A driver that is killed loses
the batches that were not committed, and the same command resumes, because rows
name the hash of their file and the pipeline.

Ray Data was not taken: an ingest needs each result in order, in batches of one
bucket that close when they are full, and a bounded number ahead of the commits.
"""

import dataclasses
import functools
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from dr3d.data import folder
from dr3d.database.embedding import EmbeddingPipeline, LoadPipeline
from dr3d.database.file_reader import FileReader, UnitFile
from dr3d.database.processed_model import ProcessedModel
from dr3d.error import Dr3dError
from dr3d.mesh import Mesh
from dr3d.runtime import cluster, pool
from dr3d.runtime.archive import pack_folder, unpack_folder

_FUNCTION = "dr3d.database.processed_model:read_processed_model"
_FILES_PER_TASK = 16  # read; a task costs a millisecond
_HASHES_PER_TASK = 64
_MAX_RETRIES = 12  # of a task by Ray itself, whose worker or machine is lost
_AHEAD = 2  # calls for each processor, so that none waits for this process
_READER_SHARE = 0.25  # of a processor that also embeds: about the time it takes


@dataclasses.dataclass(frozen=True)
class RayWorkers:
  """Works of an ingest on a Ray cluster; see `file_reader.IngestWorkers`.

  All machines must see the model files under the paths that this one sees.

  Attributes:
    address: of the cluster; see `cluster.connect`.
    limits: of time and memory for one file.
    load_pipeline: reads the pipeline on the workers; `Pipeline.load` if None.
  """

  address: str = ""
  limits: pool.Limits = dataclasses.field(default_factory=pool.Limits)
  load_pipeline: LoadPipeline | None = None

  def hash_each(
    self, files: Iterable[folder.ModelFile]
  ) -> Iterator[str | Dr3dError]:
    """Yields the hash of each file, or why it has none."""
    return self._run_each(_hash_files, files, _HASHES_PER_TASK, self.limits)

  def read_each(
    self,
    files: Iterable[UnitFile],
    *,
    face_budget: int | None,
    appearance: bool = False,
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Yields what each file holds, or why it cannot be read."""
    options = {"face_budget": face_budget, "appearance": appearance}
    return self._run_each(
      _read_files, files, _FILES_PER_TASK, options, self.limits
    )

  def embed_each(
    self,
    get_pipeline: Callable[[], EmbeddingPipeline],
    batches: Iterable[list[Mesh]],
  ) -> Iterator[np.ndarray]:
    """Yields the vectors of each batch, float32 [B, N, D].

    Each GPU of the cluster has an actor, or else each processor.
    """
    todo = iter(batches)
    first = next(todo, None)
    if first is None:
      return
    ray = self._connect()
    # Held until the end: an actor that starts again needs it again.
    archive = ray.put(_pack_pipeline(get_pipeline()))
    actors = self._start_actors(archive)
    shared: cluster.Actors[list[Mesh]] = cluster.Actors(
      actors,
      lambda actor, meshes: actor.embed.remote(meshes),
      ahead=_AHEAD,
    )
    try:
      yield from shared.run(itertools.chain([first], todo))
    finally:
      for actor in actors:
        ray.kill(actor)
      del archive

  def _connect(self) -> Any:
    cluster.connect(self.address)
    return cluster.import_ray()

  def _start_actors(self, archive: Any) -> list[Any]:
    """Starts what embeds; a lost actor starts again, also elsewhere."""
    ray = self._connect()
    found = ray.cluster_resources()
    gpus = int(found.get("GPU", 0))
    count = gpus or max(1, int(found.get("CPU", 1)))
    share: dict[str, float] = {"num_cpus": 1, "num_gpus": 1}
    if not gpus:
      share = {"num_cpus": 1 - _READER_SHARE}
    make = ray.remote(max_restarts=-1, **share)(_Embedder)
    return [make.remote(archive, self.load_pipeline) for _ in range(count)]

  def _run_each(
    self,
    function: Callable[..., list[Any]],
    files: Iterable[Any],
    size: int,
    *options: Any,
  ) -> Iterator[Any]:
    """Yields the results of a function of some files, file by file."""
    ray = self._connect()
    found = ray.cluster_resources()
    task = ray.remote(
      num_cpus=1 if found.get("GPU") else _READER_SHARE,
      max_retries=_MAX_RETRIES,
    )(function)
    for results in cluster.run_tasks(
      lambda group: task.remote(group, *options),
      _group(files, size),
      limit=_AHEAD * max(1, int(found.get("CPU", 1))),
    ):
      yield from results


class _Embedder:
  """The pipeline in a process of its own; lives on a worker.

  It is loaded by the first call and not when the actor is made, because errors
  of a call reach the caller. That may be any call: those that were sent before
  the actor was lost can reach the one that replaces it.
  """

  def __init__(self, archive: bytes, load: LoadPipeline | None):
    self._archive, self._load = archive, load

  @functools.cached_property
  def _pipeline(self) -> EmbeddingPipeline:
    load = self._load
    if load is None:
      from dr3d.retrieval.pipeline import Pipeline  # imports jax

      load = Pipeline.load
    with tempfile.TemporaryDirectory() as temporary:
      path = pathlib.Path(temporary) / "pipeline"
      path.mkdir()
      unpack_folder(self._archive, path)
      return load(path)

  def ping(self) -> None:
    """Returns when the pipeline is loaded."""
    assert self._pipeline is not None

  def embed(self, meshes: list[Mesh]) -> np.ndarray:
    """Returns float32 [B, N, D]."""
    return np.asarray(self._pipeline.embed(meshes), np.float32)


def _pack_pipeline(pipeline: EmbeddingPipeline) -> bytes:
  with tempfile.TemporaryDirectory() as temporary:
    path = pathlib.Path(temporary) / "pipeline"
    pipeline.save(path)
    return pack_folder(path)


def _hash_files(
  files: list[folder.ModelFile], limits: pool.Limits
) -> list[str | Dr3dError]:
  """Hashes files; runs on a worker."""
  return list(FileReader(jobs=1, limits=limits).hash_each(files))


def _read_files(
  files: list[UnitFile], options: dict[str, Any], limits: pool.Limits
) -> list[ProcessedModel | Dr3dError]:
  """Reads files; runs on a worker."""
  child = _find_child(limits)
  return [
    child.call({"path": path, "unit": unit, **options}) for path, unit in files
  ]


@functools.lru_cache(maxsize=1)
def _find_child(limits: pool.Limits) -> pool.Pool:
  """The child of this worker, which takes a second to start."""
  return pool.Pool(_FUNCTION, limits=limits, count=1, access="folder")


def _group(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
  group = []
  for item in items:
    group.append(item)
    if len(group) == size:
      yield group
      group = []
  if group:
    yield group
