"""The vectors of all models in one file that only grows, beside the catalogue.

    vectors-G.f32   float32, little endian: [N, D] numbers in each slot

A row of the catalogue names its slot and the checksum of what stands there. A
slot is on the disk before the transaction that names it, and it is never
written again once it was named. So a process that is killed leaves at most
slots that no row names, which the next writer uses, and a reader that has
mapped the file sees what its rows say, whatever is written since. Slots of
deleted rows stay until `rebuild` writes the file again, in the order of the
names, as generation G + 1.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dr3d.database.digest import hash_bytes
from dr3d.error import DatabaseError
from dr3d.runtime.atomic import sync


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the vectors stand; committed together with the rows.

  Attributes:
    generation: G.
    count: slots that were ever named; the next model has this one.
    views: N; 0 if there is no vector yet.
    size: D, likewise.
  """

  generation: int = 0
  count: int = 0
  views: int = 0
  size: int = 0

  @classmethod
  def parse(cls, text: str | None) -> "Layout":
    """Reads the setting; that of a new database if there is none.

    Raises:
      ValueError: it is not a layout; the message is the text. A layout names a
        file, so its numbers must be numbers.
    """
    if text is None:
      return cls()
    try:
      values = json.loads(text)
      layout = cls(**values)
    except (ValueError, TypeError) as error:
      raise ValueError(repr(text)) from error
    if not all(type(value) is int and value >= 0 for value in values.values()):
      raise ValueError(repr(text))
    return layout

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
    OSError: the disk does not accept them.
  """
  if not len(features):
    return layout
  after = extend_layout(layout, features)
  layout = dataclasses.replace(after, count=layout.count)
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
  return after


def extend_layout(
  layout: Layout, features: Sequence[np.ndarray] | np.ndarray
) -> Layout:
  """The layout with further models.

  Raises:
    ValueError: their vectors have another shape than those that are stored.
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
  return dataclasses.replace(layout, count=layout.count + len(features))


def read(
  directory: pathlib.Path, layout: Layout, slots: Sequence[StoredRow]
) -> np.ndarray:
  """Returns the vectors of some models.

  If the slots follow each other, as a rebuild leaves them, the file itself is
  mapped, so that processes share its memory; otherwise the vectors are copied.

  Args:
    directory: of the database.
    layout: as the catalogue has it.
    slots: of B models.

  Returns:
    float32 [B, N, D], not to be changed.

  Raises:
    DatabaseError: the file is missing, too short, or not what was written.
  """
  if not slots:
    return np.zeros((0, layout.views, layout.size), np.float32)
  stored = open_vectors(directory, layout)
  for slot in slots:
    if not 0 <= slot.number < layout.count:
      raise describe_damage(
        directory, layout, f"it has no vectors of {slot.name!r}"
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
      what = f"the vectors of {slot.name!r} are not what was written"
      raise describe_damage(directory, layout, what)
  return features


def open_vectors(directory: pathlib.Path, layout: Layout) -> np.ndarray:
  """Maps the file: float32 [count, N, D], not to be changed.

  Raises:
    DatabaseError: the file is missing or too short.
  """
  path = directory / layout.name
  shape = (layout.count, layout.views, layout.size)
  try:
    return np.memmap(path, "<f4", "r", shape=shape)
  except (OSError, ValueError) as error:
    raise describe_unreadable(directory, layout, error) from error


def describe_unreadable(
  directory: pathlib.Path, layout: Layout, error: Exception
) -> DatabaseError:
  """The error of a file of vectors that cannot be read."""
  reason = getattr(error, "strerror", None) or "it is too short"
  return DatabaseError(
    f"{directory / layout.name} cannot be read ({reason}): restore the "
    "database from a backup, or run dr3d check --repair, which embeds the "
    "stored meshes again."
  )


def hash_slots(
  directory: pathlib.Path, layout: Layout, slots: Sequence[StoredRow]
) -> list[int | None]:
  """Digest of what the disk gives for each model; None if it gives nothing.

  The file is read and not mapped: a page of a mapped file that the disk cannot
  give ends the process.

  Raises:
    OSError: the file cannot be opened.
  """
  if not slots:
    return []
  digests: list[int | None] = []
  with (directory / layout.name).open("rb", buffering=0) as file:
    for slot in slots:
      data = b""
      with contextlib.suppress(OSError):  # of this part of the disk
        file.seek(max(0, slot.number) * layout.stride)
        data = file.read(layout.stride)
      is_there = 0 <= slot.number < layout.count and len(data) == layout.stride
      digests.append(hash_bytes(data) if is_there else None)
  return digests


def describe_damage(
  directory: pathlib.Path, layout: Layout, what: str
) -> DatabaseError:
  """The error of a file that does not hold what was written."""
  return DatabaseError(
    f"{directory / layout.name} is damaged: {what}; run dr3d check --repair, "
    "or restore the database from a backup."
  )


def remove_others(directory: pathlib.Path, layout: Layout) -> None:
  """Removes files of other generations, unless they are in use."""
  for path in directory.glob("vectors-*.f32"):
    if path.name != layout.name:
      try:
        path.unlink()
      except OSError:  # on Windows a reader has it open: next time
        continue


def hash_vectors(features: np.ndarray) -> int:
  """Digest of vectors [N, D]; equal vectors have the same."""
  return hash_bytes(to_bytes(features))


def to_bytes(features: np.ndarray) -> memoryview:
  """The bytes of a slot."""
  return np.ascontiguousarray(features, "<f4").data
