"""How model files are read: in processes of their own, or in this one."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dr3d.database.processed_model import ProcessedModel, read_processed_model
from dr3d.error import Dr3dError
from dr3d.runtime import pool

_FUNCTION = "dr3d.database.processed_model:read_processed_model"


@dataclasses.dataclass(frozen=True)
class FileReader:
  """How model files are read.

  Attributes:
    jobs: processes; one for each core where None; with 0 files are read in
      this process, where no limit holds.
    limits: of time and memory for one file.
    load: path → Mesh, called in this process instead of all else.
    files: paths → what each of them holds, likewise.
  """

  jobs: int | None = None
  limits: pool.Limits = dataclasses.field(default_factory=pool.Limits)
  load: Callable[[pathlib.Path], Any] | None = None
  files: Callable[[Iterable[pathlib.Path]], Iterator[ProcessedModel]] | None = (
    None
  )

  def read(
    self,
    paths: Iterable[pathlib.Path],
    *,
    face_budget: int | None,
    unit: str,
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Reads files, the first ones at once, ahead of what is asked for.

    Args:
      paths: the files.
      face_budget: see `processed_model.read_processed_model`.
      unit: see `processed_model.read_processed_model`.

    Returns:
      An iterator: for each file, in order, what it holds or why it cannot be
      read.
    """
    if self.files is not None:
      return self.files(paths)
    jobs = os.cpu_count() or 1 if self.jobs is None else self.jobs
    if self.load is None and jobs:
      options = {"face_budget": face_budget, "unit": unit}
      return pool.call_each(
        _FUNCTION,
        ({"path": path, **options} for path in paths),
        limits=self.limits,
        count=jobs,
      )
    return self._read_here(paths, face_budget, unit)

  def _read_here(
    self, paths: Iterable[pathlib.Path], face_budget: int | None, unit: str
  ) -> Iterator[ProcessedModel | Dr3dError]:
    """Yields what is read in this process."""
    for path in paths:
      try:
        if self.load is not None:
          yield ProcessedModel(self.load(path))
        else:
          yield read_processed_model(path, face_budget=face_budget, unit=unit)
      except Dr3dError as error:
        yield error
      except OSError as error:
        yield Dr3dError(f"{path} cannot be read ({error.strerror}).")
