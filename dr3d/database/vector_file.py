"""The vectors of all models in one file that only grows, beside the catalogue.

    vectors-G.f32   float32, little endian: [N, D] numbers in each slot

A row of the catalogue names its slot and the checksum of what stands there. A
slot is written, and on the disk, before the transaction that names it, and is
never written again once it was named. So a process that is killed leaves at
the most slots that no row names, which the next writer takes, and a reader
that has mapped the file sees what its rows say, whatever is written since.
Slots of rows that have gone are lost until `rebuild` writes the file anew, in
the order of the names, as generation G + 1.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dr3d.error import DatabaseError
from dr3d.runtime.atomic import sync


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the vectors stand; committed together with the rows.

  Attributes:
    generation: G.
    count: slots that were ever named; the next model has this one.
    views: N; 0 where there is no vector yet.
    size: D, likewise.
  """

  generation: int = 0
  count: int = 0
  views: int = 0
  size: int = 0

  @classmethod
  def parse(cls, text: str | None) -> "Layout":
    """Reads the setting; that of a new database where there is none."""
    return cls(**json.loads(text)) if text else cls()

  def __str__(self) -> str:
    return json.dumps(dataclasses.asdict(self))

  @property
  def name(self) -> str:
    """Name of the file."""
    return f"vectors-{self.generation}.f32"

  @property
  def stride(self) -> int:
    """Bytes of a slot."""
    return 4 * self.views * self.size


class StoredRow(NamedTuple):
  """Where the vectors of a model stand.

  Attributes:
    name: of the model.
    label: of the model.
    number: of the slot, from 0.
    checksum: see `hash_vectors`.
  """

  name: str
  label: str
  number: int
  checksum: int


def append(
  directory: pathlib.Path,
  layout: Layout,
  features: Sequence[np.ndarray] | np.ndarray,
) -> Layout:
  """Writes vectors of models into the next slots, and waits for the disk.

  Args:
    directory: of the database.
    layout: as the catalogue has it; the caller is the only writer.
    features: [N, D] of each model.

  Returns:
    The layout to commit with the rows that name these slots.

  Raises:
    ValueError: vectors of another shape than those that are stored.
    OSError: the disk does not take them.
  """
  if not len(features):
    return layout
  if not layout.count:
    views, size = np.shape(features[0])
    layout = dataclasses.replace(layout, views=views, size=size)
  shape = (layout.views, layout.size)
  for array in features:
    if np.shape(array) != shape:
      raise ValueError(f"vectors must be {shape}, got {np.shape(array)}.")
  path = directory / layout.name
  is_new = not path.exists()
  with open(path, "r+b" if not is_new else "wb") as file:
    file.seek(layout.count * layout.stride)
    file.truncate()  # what a killed writer left
    for array in features:
      file.write(to_bytes(array))
    file.flush()
    os.fsync(file.fileno())
  if is_new:
    sync(directory)
  return dataclasses.replace(layout, count=layout.count + len(features))


def read(
  directory: pathlib.Path, layout: Layout, slots: Sequence[StoredRow]
) -> np.ndarray:
  """Returns the vectors of some models.

  Where the slots follow each other, as a rebuild leaves them, the file itself
  is mapped, so that processes share its memory; else the vectors are copied.

  Args:
    directory: of the database.
    layout: as the catalogue has it.
    slots: of B models.

  Returns:
    float32 [B, N, D], not to be changed.

  Raises:
    DatabaseError: the file is missing, too short, or not what was written.
  """
  path = directory / layout.name
  shape = (layout.views, layout.size)
  if not slots:
    return np.zeros((0, *shape), np.float32)
  try:
    stored = np.memmap(path, "<f4", "r", shape=(layout.count, *shape))
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or "it is too short"
    raise DatabaseError(
      f"{path} cannot be read ({reason}): restore it from a copy together "
      "with the catalogue, or index the models into a new database."
    ) from error
  for slot in slots:
    if not 0 <= slot.number < layout.count:
      raise DatabaseError(
        f"{path} is damaged: it has no vectors of {slot.name!r}; restore the "
        "database from a copy."
      )
  numbers = np.array([slot.number for slot in slots])
  first = numbers[0]
  if np.array_equal(numbers, np.arange(first, first + len(numbers))):
    features = stored[first : first + len(numbers)]
  else:
    features = stored[numbers]
  features = np.asarray(features, np.float32)
  for slot, array in zip(slots, features, strict=True):
    if hash_vectors(array) != slot.checksum:
      raise DatabaseError(
        f"{path} is damaged: the vectors of {slot.name!r} are not what was "
        "written; restore the database from a copy."
      )
  return features


def remove_others(directory: pathlib.Path, layout: Layout) -> None:
  """Removes files of other generations; those that are in use stay."""
  for path in directory.glob("vectors-*.f32"):
    if path.name != layout.name:
      try:
        path.unlink()
      except OSError:  # Windows, where a reader has it open: the next time
        continue


def hash_vectors(features: np.ndarray) -> int:
  """Names vectors [N, D] by their bits: 64 of SHA-256, signed for SQLite."""
  digest = hashlib.sha256(to_bytes(features)).digest()
  return int.from_bytes(digest[:8], "little", signed=True)


def to_bytes(features: np.ndarray) -> memoryview:
  """The bytes of a slot."""
  return np.ascontiguousarray(features, "<f4").data
