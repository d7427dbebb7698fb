"""No file may crash, hang or be misread silently, however damaged."""

import sys

import numpy as np
import pytest
from support.upkeep import Pipeline

from dr3d.database.file_reader import FileReader
from dr3d.database.processed_model import ProcessedModel
from dr3d.database.writer import Database
from dr3d.error import Dr3dError
from dr3d.mesh.io.reader import read_raw
from dr3d.runtime.pool import Limits, WorkerError
from experiments.corpus import make_seeds, mutate, write_corpus
from experiments.fuzz_reader import is_sound

LIMITS = Limits(seconds=20, memory=1 << 30)


def test_mutated_file_is_read_soundly_or_rejected_with_a_reason(tmp_path):
  paths = list(write_corpus(tmp_path, count=88, seed=7))
  reader = FileReader(jobs=1, limits=LIMITS)
  results = list(reader.read(paths, face_budget=256, unit="mm"))
  assert len(results) == 88
  for path, result in zip(paths, results, strict=True):
    if isinstance(result, ProcessedModel):
      assert is_sound(result), path
    elif not isinstance(result, WorkerError):
      assert str(result).startswith(str(path))
  rejected = [str(r) for r in results if isinstance(r, Dr3dError)]
  assert len(rejected) > 40
  assert not [reason for reason in rejected if reason.startswith("fails (")]


@pytest.mark.parametrize("name", ["part.step", "part.dae", "part.3mf"])
def test_unit_is_read_from_the_file(tmp_path, name):
  if name == "part.step":
    pytest.importorskip("OCP")
  data = make_seeds()[name]
  size = {"part.step": (10, 20, 30), "part.dae": (15e3, 10e3, 4e3)}
  for text, length in (
    (data, 1),
    (data.replace(b".MILLI.", b"$"), 1000 if name == "part.step" else 1),
    (
      data.replace(b"<asset>", b'<asset><unit name="in" meter="0.0254"/>'),
      0.0254 if name == "part.dae" else 1,
    ),
  ):
    (tmp_path / name).write_bytes(text)
    raw = read_raw(tmp_path / name)
    found = np.ptp(raw.vertices, axis=0) * raw.unit
    np.testing.assert_allclose(
      found, np.multiply(size.get(name, (15, 10, 4)), length), rtol=1e-5
    )


def test_step_file_without_extra_says_what_to_install(tmp_path, monkeypatch):
  monkeypatch.delitem(sys.modules, "dr3d.mesh.io.tessellation", raising=False)
  monkeypatch.setitem(sys.modules, "OCP.BRep", None)
  (tmp_path / "a.step").write_bytes(make_seeds()["part.step"])
  with pytest.raises(Dr3dError, match=r"pip install 'dr3d\[step\]'"):
    read_raw(tmp_path / "a.step")


def test_index_run_reports_every_damaged_file(tmp_path):
  models = tmp_path / "models"
  models.mkdir()
  seeds = make_seeds()
  rng = np.random.default_rng(1)
  for i, (name, data) in enumerate(sorted(seeds.items())):
    (models / f"good{i}_{name}").write_bytes(data)
    bad = mutate(data[: len(data) // 2], rng)
    (models / f"bad{i}_{name}").write_bytes(bad)
  (models / "loop").symlink_to(models)
  (models / "self.stl").symlink_to("self.stl")
  (models / "new\nline 螺丝.stl").write_bytes(b"solid\n")
  database = Database.create(
    tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load
  )
  calls = []
  report = database.update(
    models,
    reader=FileReader(jobs=2, limits=LIMITS),
    progress=lambda *numbers: calls.append(numbers),
  )
  failed = {failure.model for failure in report.failures}
  assert {name for name in failed if name.startswith("good")} == set()
  assert {"self.stl", "new\nline 螺丝.stl"} <= failed
  assert report.new + len(failed) == 2 * len(seeds) + 2
  assert len(failed) >= len(seeds)
  assert [done for done, _, _ in calls] == list(range(1, len(calls) + 1))
  assert calls[-1] == (2 * len(seeds) + 2,) * 2 + (len(failed),)
  reasons = [failure.reason for failure in report.failures]
  assert all(reason.endswith(".") and "  " not in reason for reason in reasons)
