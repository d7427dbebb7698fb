"""Weights from a file that PyTorch saved, read without PyTorch.

A checkpoint is a pickle, which may name any function to call. This reader
resolves only the few names that a dictionary of tensors needs, so a file that
names another one is rejected before anything is called.

References:
  torch/serialization.py, `_legacy_load`: the format that PyTorch wrote before
  version 1.6. It is a sequence of pickles: a magic number, a version, facts on
  the machine, the object, and the keys of its storages. The storages follow.
"""

import collections
import dataclasses
import math
import os
import pathlib
import pickle
from typing import IO, Any

import numpy as np

from dr3d.error import PipelineError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads the tensors of a checkpoint.

  Args:
    path: of a file that `torch.save` of PyTorch before 1.6 wrote, or with
      `_use_new_zipfile_serialization=False`. It holds a dictionary of float32
      and int64 tensors.

  Returns:
    The arrays by name.

  Raises:
    PipelineError: the file cannot be read, is of another kind, or its pickle
      names anything that a dictionary of tensors does not need.
  """
  path = pathlib.Path(path)
  try:
    with path.open("rb") as file:
      return _read(file)
  except OSError as error:
    raise PipelineError(f"{path} cannot be read: {error}.") from error
  except Exception as error:  # a damaged pickle raises errors of any type
    raise PipelineError(
      f"{path} is not a checkpoint of float32 and int64 tensors in PyTorch's"
      f" format before version 1.6: {error or type(error).__name__}."
    ) from error


@dataclasses.dataclass(frozen=True)
class _Storage:
  """Numbers that follow the pickles, in the order of their keys."""

  key: str
  dtype: np.dtype[Any]
  count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
  """A view of a storage: `torch._utils._rebuild_tensor_v2`'s arguments."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  stride: tuple[int, ...]
  requires_grad: bool
  hooks: Any


_ALLOWED = {
  ("collections", "OrderedDict"): collections.OrderedDict,
  ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
} | {("torch", name): dtype for name, dtype in _TYPES.items()}


class _Unpickler(pickle.Unpickler):
  """Resolves only the names of `_ALLOWED`."""

  def find_class(self, module: str, name: str) -> Any:
    try:
      return _ALLOWED[module, name]
    except KeyError:
      raise pickle.UnpicklingError(f"it names {module}.{name}") from None

  def persistent_load(self, saved: Any) -> _Storage:
    kind, dtype, key, _, count, view = saved
    if kind != "storage" or view is not None:
      raise pickle.UnpicklingError(f"it refers to {kind} {view}")
    return _Storage(key, dtype, count)


def _read(file: IO[bytes]) -> dict[str, np.ndarray]:
  magic, version, _, tensors, keys = (_Unpickler(file).load() for _ in range(5))
  if (magic, version) != (_MAGIC, _VERSION):
    raise ValueError("it does not begin with the format's number")
  if not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
    raise ValueError("not all of its values are tensors")
  kinds = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
  numbers = {key: _read_storage(file, kinds[key]) for key in keys}
  return {name: _take(tensor, numbers) for name, tensor in tensors.items()}


def _read_storage(file: IO[bytes], storage: _Storage) -> np.ndarray:
  """Reads the count of a storage, which the pickle gave too, and its numbers.

  The file's own size bounds what is read, so a false count takes no memory.
  """
  count = int.from_bytes(file.read(8), "little")
  data = file.read(count * storage.dtype.itemsize)
  if count != storage.count or len(data) != count * storage.dtype.itemsize:
    raise ValueError(f"{len(data)} bytes where {storage.count} numbers belong")
  return np.frombuffer(data, storage.dtype)


def _take(tensor: _Tensor, numbers: dict[str, np.ndarray]) -> np.ndarray:
  """Copies a tensor out of its storage, whose bounds it must keep."""
  whole, shape, stride = (
    numbers[tensor.storage.key],
    tensor.shape,
    tensor.stride,
  )
  size = math.prod(shape)
  last = tensor.offset + sum(
    (length - 1) * step for length, step in zip(shape, stride, strict=True)
  )
  if min((tensor.offset, size - 1, *stride)) < 0 or size > len(whole):
    raise ValueError(f"a tensor has the shape {shape} and the stride {stride}")
  if last >= len(whole):
    raise ValueError(f"a tensor ends at {last} of {len(whole)} numbers")
  steps = [step * whole.itemsize for step in stride]
  part = np.lib.stride_tricks.as_strided(whole[tensor.offset :], shape, steps)
  return np.ascontiguousarray(part)
