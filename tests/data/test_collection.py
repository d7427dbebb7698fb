import pytest

from dr3d.data.collection import ModelCollection, read_models
from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.evaluation.report.table import format_table
from dr3d.runtime.config import from_values, to_values


def write_triangle(path):
  path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")


def test_files_that_fail_are_left_out_with_the_reason(tmp_path):
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


def test_columns_of_a_table_are_as_wide_as_their_widest_cell():
  text = format_table(("n", "name"), [("1", "nut"), ("10", "b")], right=(0,))
  assert text.splitlines() == ["   n  name", "   1  nut", "  10  b"]


def test_a_configuration_survives_the_way_through_plain_values():
  from dr3d.retrieval.recipe import TrainConfig
  from dr3d.retrieval.state import OptimizerConfig

  config = TrainConfig(
    seed=3, augmentation=None, optimizer=OptimizerConfig(trainable=("light",))
  )
  assert from_values(TrainConfig, to_values(config)) == config
  assert from_values(TrainConfig, {}) == TrainConfig()


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"sede": 1}, '"sede"'),
    ({"seed": "one"}, '"seed"'),
    ({"sampling": "none"}, '"sampling"'),
    ({"optimizer": {"steps": 1.5}}, '"optimizer.steps"'),
  ],
)
def test_a_wrong_setting_is_named(values, message):
  from dr3d.retrieval.recipe import TrainConfig

  with pytest.raises(ValueError, match=f"no TrainConfig.*{message}"):
    from_values(TrainConfig, values)
