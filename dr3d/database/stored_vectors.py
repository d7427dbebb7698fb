"""Vectors that stay in their file, and are read when they are asked for.

A query of a large database compares a few hundred models. So their vectors are
read one by one, which keeps memory free and needs no map: a page of a mapped
file that the disk cannot give would end the process. Each model is compared
with its digest when it is first read.
"""

import os
import pathlib
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from dr3d.database import vector_file


class StoredVectors:
  """Vectors of B models, float32 [B, N, D], as an array that is read only.

  Any number of threads may read.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    layout: vector_file.Layout,
    slots: Sequence[vector_file.StoredRow],
  ):
    """Opens the file, which is kept open also if another process removes it.

    Args:
      directory: of the database.
      layout: as the catalogue has it.
      slots: of the models.

    Raises:
      DatabaseError: the file cannot be opened.
    """
    self._directory = directory
    self._layout = layout
    self._slots = slots
    self._is_checked = np.zeros(len(slots), bool)
    self._lock = threading.Lock()
    try:
      self._file = (directory / layout.name).open("rb", buffering=0)
    except OSError as error:
      raise vector_file.describe_unreadable(directory, layout, error) from error

  @property
  def shape(self) -> tuple[int, ...]:
    """B, N, D."""
    return len(self._slots), self._layout.views, self._layout.size

  def __len__(self) -> int:
    return len(self._slots)

  def __getitem__(self, rows: Any, /) -> np.ndarray:
    """Reads the vectors of a model [N, D], or of several [b, N, D].

    Raises:
      DatabaseError: the disk does not give what was written.
    """
    chosen = np.arange(len(self))[rows]
    flat = np.atleast_1d(chosen)
    found = np.empty((len(flat), *self.shape[1:]), np.float32)
    for array, row in zip(found, flat.tolist(), strict=True):
      self._read(row, array)
    return found[0] if np.ndim(chosen) == 0 else found

  def __array__(
    self, dtype: Any = None, copy: bool | None = None
  ) -> np.ndarray:
    del copy  # what is read is always new
    return self[:].astype(dtype or np.float32, copy=False)

  def load(self) -> np.ndarray:
    """All vectors, as `vector_file.read` gives them: mapped or copied."""
    return vector_file.read(self._directory, self._layout, self._slots)

  def _read(self, row: int, array: np.ndarray) -> None:
    slot = self._slots[row]
    if not 0 <= slot.number < self._layout.count:
      self._raise(f"it has no vectors of {slot.name!r}")
    stride = self._layout.stride
    try:
      data = self._read_bytes(slot.number * stride, stride)
    except OSError as error:
      raise vector_file.describe_unreadable(
        self._directory, self._layout, error
      ) from error
    if len(data) != stride:
      self._raise(f"it is too short for the vectors of {slot.name!r}")
    array[:] = np.frombuffer(data, "<f4").reshape(array.shape)
    if not self._is_checked[row]:
      if vector_file.hash_vectors(array) != slot.checksum:
        self._raise(f"the vectors of {slot.name!r} are not what was written")
      self._is_checked[row] = True

  def _read_bytes(self, start: int, count: int) -> bytes:
    if hasattr(os, "pread"):
      return os.pread(self._file.fileno(), count, start)
    with self._lock:  # Windows has one position for all threads
      self._file.seek(start)
      return self._file.read(count) or b""

  def _raise(self, what: str) -> NoReturn:
    raise vector_file.describe_damage(self._directory, self._layout, what)
