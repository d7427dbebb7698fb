import pytest

from dr3d.data.collection import ModelCollection, read_models
from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError

pytestmark = pytest.mark.fast


def write_triangle(path):
  path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")


def test_unreadable_files_are_left_out_with_the_reason(tmp_path):
  write_triangle(tmp_path / "good.obj")
  (tmp_path / "bad.obj").write_text("v 0 0")
  files = [
    ModelFile(tmp_path / name, name, "box") for name in ("bad.obj", "good.obj")
  ]
  calls = []
  reading = read_models(
    files, face_budget=64, progress=lambda *call: calls.append(call)
  )
  assert isinstance(reading, ModelCollection)
  assert reading.files == (files[1],)
  assert reading.labels == ("box",)
  assert len(reading.meshes) == 1
  (failure,) = reading.failures
  assert failure.model == "bad.obj"
  assert failure.reason.startswith("bad.obj ")
  assert calls == [(1, 2), (2, 2)]
  with pytest.raises(Dr3dError, match=r"none of 1 models .* bad\.obj"):
    read_models(files[:1], face_budget=64)
