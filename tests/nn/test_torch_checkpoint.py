"""Checkpoints of PyTorch: what is read, and what is rejected before a call."""

import collections
import io
import os
import pickle
import sys
import types

import numpy as np
import pytest

from dr3d.error import PipelineError
from dr3d.nn.torch_checkpoint import read_checkpoint

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
KINDS = {
  np.dtype(np.float32): "FloatStorage",
  np.dtype(np.int64): "LongStorage",
}


class Storage:
  """The numbers of a tensor, which the pickle only refers to."""

  def __init__(self, key, array):
    self.key, self.array = key, array


class Tensor:
  """Pickled as `torch.Tensor` is: a call of `_rebuild_tensor_v2`."""

  def __init__(self, storage, offset, shape, stride):
    self.arguments = (storage, offset, shape, stride, False, {})

  def __reduce__(self):
    return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
  def persistent_id(self, obj):
    if not isinstance(obj, Storage):
      return None
    kind = getattr(sys.modules["torch"], KINDS[obj.array.dtype])
    return "storage", kind, obj.key, "cpu", obj.array.size, None


@pytest.fixture
def torch(monkeypatch):
  """Modules with the names that a checkpoint holds."""
  for module, names in (
    ("torch", KINDS.values()),
    ("torch._utils", ["_rebuild_tensor_v2"]),
  ):
    fake = types.ModuleType(module)
    for name in names:
      setattr(fake, name, type(name, (), {"__module__": module}))
    monkeypatch.setitem(sys.modules, module, fake)


def write(path, values, storages, *, magic=MAGIC):
  file = io.BytesIO()
  for value in (magic, VERSION, {}, values, [s.key for s in storages]):
    Pickler(file, protocol=2).dump(value)
  for storage in storages:
    file.write(storage.array.size.to_bytes(8, "little"))
    file.write(storage.array.tobytes())
  path.write_bytes(file.getvalue())


@pytest.fixture
def checkpoint(tmp_path, torch):
  """Two tensors, of which one is a transposed part of its storage."""
  numbers = Storage("7", np.arange(8, dtype=np.float32))
  count = Storage("9", np.array([3, 4], np.int64))
  values = collections.OrderedDict(
    part=Tensor(numbers, 2, (3, 2), (1, 3)),
    count=Tensor(count, 0, (2,), (1,)),
  )
  values._metadata = {"": {"version": 1}}  # PyTorch's own, which is not read
  write(tmp_path / "weights.pth", values, [numbers, count])
  return tmp_path / "weights.pth"


def test_tensors_are_read_with_their_offset_and_stride(checkpoint):
  arrays = read_checkpoint(checkpoint)
  np.testing.assert_array_equal(arrays["part"], [[2, 5], [3, 6], [4, 7]])
  np.testing.assert_array_equal(arrays["count"], [3, 4])
  assert [x.dtype for x in arrays.values()] == [np.float32, np.int64]


class Command:
  """A pickle that runs a command where any name is resolved."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (str(self.path),)


def test_other_names_are_rejected_before_they_are_called(tmp_path, torch):
  path = tmp_path / "weights.pth"
  write(path, {"a": Command(tmp_path / "made")}, [])
  with pytest.raises(
    PipelineError, match=r"weights\.pth .*it names \w+\.mkdir"
  ):
    read_checkpoint(path)
  assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
  ("offset", "shape", "stride"),
  [
    (0, (9,), (1,)),  # more numbers than there are
    (1, (4, 2), (2, 1)),  # the last one is outside
    (4, (3,), (-1,)),
    (-1, (3,), (1,)),
    (0, (1000, 1000), (0, 0)),  # 8 numbers repeated into a million
  ],
)
def test_tensor_outside_of_its_storage_raises(
  tmp_path, torch, offset, shape, stride
):
  numbers = Storage("7", np.arange(8, dtype=np.float32))
  values = {"a": Tensor(numbers, offset, shape, stride)}
  write(tmp_path / "weights.pth", values, [numbers])
  with pytest.raises(PipelineError, match=r"a tensor (has the shape|ends at)"):
    read_checkpoint(tmp_path / "weights.pth")


def test_cut_file_raises(checkpoint):
  checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
  with pytest.raises(PipelineError, match="7 bytes where 2 numbers belong"):
    read_checkpoint(checkpoint)


def test_file_of_another_kind_raises_with_its_name(tmp_path, torch):
  path = tmp_path / "weights.pth"
  path.write_bytes(b"PK\x03\x04 a newer checkpoint")
  with pytest.raises(PipelineError, match=r"weights\.pth is not a checkpoint"):
    read_checkpoint(path)
  write(path, {}, [], magic=1)
  with pytest.raises(PipelineError, match="begin with the format's number"):
    read_checkpoint(path)
  with pytest.raises(PipelineError, match=r"none\.pth cannot be read"):
    read_checkpoint(tmp_path / "none.pth")
