"""How model files are read: in processes of their own, or in this one.

`IngestWorkers` is all that an ingest asks of others: hashes, what files hold,
and vectors. `FileReader` does it on this machine, `ray_workers` on several.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from dr3d.data import folder
from dr3d.database.embedding import EmbeddingPipeline
from dr3d.database.processed_model import ProcessedModel, read_processed_model
from dr3d.error import Dr3dError
from dr3d.mesh import Mesh
from dr3d.mesh.unit import Unit
from dr3d.runtime import pool

_FUNCTION = "dr3d.database.processed_model:read_processed_model"
_HASH_FUNCTION = "dr3d.data.folder:hash_or_explain"

UnitFile = tuple[pathlib.Path, Unit]
"""A file, and the unit that is assumed if it does not state one."""


class IngestWorkers(Protocol):
  """Who hashes, reads and embeds; results come in the order of the inputs."""

  def hash_each(
    self, files: Iterable[folder.ModelFile]
  ) -> Iterator[str | Dr3dError]:
    """Yields the hash of each file, or the predicate why it has none."""

  def read_each(
    self,
    files: Iterable[UnitFile],
    *,
    face_budget: int | None,
    appearance: bool = False,
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Yields what each file holds, or why it cannot be read."""

  def embed_each(
    self,
    get_pipeline: Callable[[], EmbeddingPipeline],
    batches: Iterable[list[Mesh]],
  ) -> Iterator[np.ndarray]:
    """Yields the vectors of each batch, float32 [B, N, D].

    Args:
      get_pipeline: called at the first batch, because to load the pipeline
        takes seconds that an update without new files need not spend.
      batches: each of B meshes of about the same size.
    """


@dataclasses.dataclass(frozen=True)
class FileReader:
  """How model files are read.

  Attributes:
    jobs: number of processes; None for one for each core. With 0 files are
      read in this process, without limits.
    limits: of time and memory for one file.
    load: path → Mesh, called in this process instead of the processes.
    files: paths → what each of them holds, likewise.
  """

  jobs: int | None = None
  limits: pool.Limits = dataclasses.field(default_factory=pool.Limits)
  load: Callable[[pathlib.Path], Mesh] | None = None
  files: Callable[[Iterable[pathlib.Path]], Iterator[ProcessedModel]] | None = (
    None
  )

  @property
  def count(self) -> int:
    """Number of processes; 0 if files are read in this one."""
    if self.load is not None or self.files is not None:
      return 0
    return os.cpu_count() or 1 if self.jobs is None else self.jobs

  def read(
    self,
    paths: Iterable[pathlib.Path],
    *,
    face_budget: int | None,
    unit: Unit,
    appearance: bool = False,
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Reads files of one unit; see `read_each`."""
    return self.read_each(
      ((path, unit) for path in paths),
      face_budget=face_budget,
      appearance=appearance,
    )

  def read_each(
    self,
    files: Iterable[UnitFile],
    *,
    face_budget: int | None,
    appearance: bool = False,
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Reads files, the first ones at once, ahead of what is asked for.

    Args:
      files: each with its unit.
      face_budget: see `processed_model.read_processed_model`.
      appearance: see `processed_model.read_processed_model`.

    Returns:
      An iterator: for each file, in order, what it holds or why it cannot be
      read.
    """
    if self.files is not None:
      return self.files(path for path, _ in files)
    if self.count:
      return pool.call_each(
        _FUNCTION,
        (
          {
            "path": path,
            "face_budget": face_budget,
            "unit": unit,
            "appearance": appearance,
          }
          for path, unit in files
        ),
        limits=self.limits,
        count=self.count,
      )
    return self._read_here(files, face_budget, appearance)

  def hash_each(
    self, files: Iterable[folder.ModelFile]
  ) -> Iterator[str | Dr3dError]:
    """Yields the hash of each file, or why it has none; see `hash_file`.

    A glTF file names the files that belong to it, so it is parsed, and for that
    it has a process with limits, as to be read. The message of an error is a
    predicate.
    """
    files = list(files)
    in_process = [file.path for file in files if self._hashes_in_process(file)]
    hashes: Iterator[str | Dr3dError] = iter(())
    if in_process:
      hashes = pool.call_each(
        _HASH_FUNCTION,
        ({"path": path} for path in in_process),
        limits=self.limits,
        count=1,
      )
    for file in files:
      if file.digest:
        yield file.digest
      elif self._hashes_in_process(file):
        yield next(hashes)
      else:
        try:
          yield folder.hash_or_explain(file.path)
        except Dr3dError as error:
          yield error

  def embed_each(
    self,
    get_pipeline: Callable[[], EmbeddingPipeline],
    batches: Iterable[list[Mesh]],
  ) -> Iterator[np.ndarray]:
    """Embeds in this process, each batch when its vectors are asked for."""
    return (get_pipeline().embed(meshes) for meshes in batches)

  def _hashes_in_process(self, file: folder.ModelFile) -> bool:
    is_parsed = file.path.suffix.lower() == ".gltf" and not file.digest
    return is_parsed and self.jobs != 0 and self.load is None

  def _read_here(
    self,
    files: Iterable[UnitFile],
    face_budget: int | None,
    appearance: bool,
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Yields what is read in this process."""
    for path, unit in files:
      try:
        if self.load is not None:
          yield ProcessedModel(self.load(path))
        else:
          yield read_processed_model(
            path, face_budget=face_budget, unit=unit, appearance=appearance
          )
      except Dr3dError as error:
        yield error
      except OSError as error:
        yield Dr3dError(f"{path} cannot be read ({error.strerror}).")
