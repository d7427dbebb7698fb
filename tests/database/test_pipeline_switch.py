"""A change of the pipeline, and what a kill in its midst leaves."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from support.upkeep import Pipeline

import dr3d
from dr3d.database import catalogue, pipeline_switch, row, setting
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import DatabaseError

HERE = FileReader(jobs=0)
COUNT = 40  # models: three batches


def open_database(directory):
  return Database.open(directory, load_pipeline=Pipeline.load)


def list_folders(directory):
  return sorted(path.name for path in directory.glob("pipeline*"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
  """A database of boxes, to be copied."""
  root = tmp_path_factory.mktemp("stored")
  (root / "models").mkdir()
  for i in range(COUNT):
    box = trimesh.creation.box([1, 2, 2 + i])
    box.export(root / "models" / f"{i:02d}.stl")
  Database.create(root / "db", Pipeline()).update(root / "models", reader=HERE)
  return root / "db"


@pytest.fixture
def database(stored, tmp_path):
  shutil.copytree(stored, tmp_path / "db")
  return open_database(tmp_path / "db")


def find_first(database):
  mesh = trimesh.creation.box([1, 2, 9])
  mesh = dr3d.make_mesh(mesh.vertices, mesh.faces)
  return database.query(mesh, verify=0).matches[0].model


def test_database_keeps_the_weight_of_its_pipeline(database):
  assert database.surface_weight == 1
  other = Pipeline("other")
  other.surface_weight = 0.4
  database.rebuild(other)
  assert open_database(database.directory).surface_weight == 0.4
  assert database.surface_weight == 0.4


def test_damaged_weight_of_surfaces_raises():
  assert setting.read_surface_weight({}) == 1
  for text in ("", "0", "nan", "inf", "-1"):
    with pytest.raises(DatabaseError, match="its weight of surfaces is"):
      setting.read_surface_weight({setting.SURFACE_WEIGHT: text})


@pytest.mark.parametrize("moment", ["save", "embed", "commit"])
def test_interrupted_switch_leaves_the_former_state(
  database, monkeypatch, moment
):
  def interrupt(*args, **options):
    raise KeyboardInterrupt

  other = Pipeline("other")
  if moment == "save":
    other.save = interrupt
  elif moment == "embed":
    calls = []

    def embed(meshes):
      calls.append(meshes)
      if len(calls) == 2:
        raise KeyboardInterrupt
      return Pipeline.embed(other, meshes)

    other.embed = embed
  else:
    monkeypatch.setattr(row, "adopt", interrupt)
  before = find_first(database)
  with pytest.raises(KeyboardInterrupt):
    database.rebuild(other)
  monkeypatch.undo()
  again = open_database(database.directory)
  assert again.fingerprint == "one"
  assert again.count_states()["indexed"] == COUNT
  assert find_first(again) == before
  again.label("00.stl", "first")  # any change tidies up
  assert list_folders(again.directory) == ["pipeline"]
  assert [p.name for p in again.directory.glob("vectors-*")] == [
    "vectors-0.f32"
  ]
  assert again.rebuild(Pipeline("other")) == COUNT
  assert open_database(again.directory).fingerprint == "other"


def test_reader_of_the_former_state_continues_after_a_switch(database):
  reader = open_database(database.directory)
  before = find_first(reader)
  database.rebuild(Pipeline("other"))
  assert find_first(reader) == before
  reader.refresh()
  assert reader.fingerprint == "other"
  assert find_first(reader) == before


def test_reader_that_loads_a_replaced_pipeline_is_told_so(database):
  reader = open_database(database.directory)
  database.rebuild(Pipeline("other"))
  with pytest.raises(dr3d.DatabaseError, match=r"pipeline is gone: if dr3d re"):
    reader.pipeline  # noqa: B018


def test_models_without_usable_vectors_become_outdated(database):
  other = Pipeline("other")

  def embed(meshes):
    features = Pipeline.embed(other, meshes)
    features[0] = np.nan
    return features

  other.embed = embed
  database.rebuild(other)
  assert database.count_states()["outdated"] > 0
  assert find_first(open_database(database.directory))


def test_missing_model_comes_back_with_vectors_of_the_new_pipeline(
  database, stored, tmp_path
):
  models = tmp_path / "models"
  models.mkdir()
  names = sorted((stored.parent / "models").iterdir())
  for path in names[1:]:
    (models / path.name).write_bytes(path.read_bytes())
  assert database.update(models, reader=HERE).missing == 1
  database.rebuild(Pipeline("other"))
  (models / names[0].name).write_bytes(names[0].read_bytes())
  report = database.update(models, load=pytest.fail)
  assert (report.new, report.unchanged) == (1, COUNT - 1)


@pytest.mark.parametrize(
  "folder", ["../elsewhere", "/tmp", "pipeline/../../elsewhere", "", "files"]
)
def test_setting_that_names_a_folder_elsewhere_is_refused(
  database, tmp_path, folder
):
  (tmp_path / "elsewhere").mkdir()
  with catalogue.open_catalogue(database.directory) as connection:
    setting.write_setting(connection, setting.PIPELINE_FOLDER, folder)
  with pytest.raises(dr3d.DatabaseError, match="is not a folder of a database"):
    open_database(database.directory)
  assert (tmp_path / "elsewhere").is_dir()


def kill_after(directory, lines):
  """Starts a switch in its own process and kills it after some output."""
  process = subprocess.Popen(
    [sys.executable, __file__, str(directory)],
    stdout=subprocess.PIPE,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  )
  for _ in range(lines):
    process.stdout.readline()
  process.send_signal(signal.SIGKILL)
  process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.parametrize("lines", [1, 3, 12, 23])
def test_killed_switch_leaves_all_models_searchable(database, lines):
  before = find_first(database)
  kill_after(database.directory, lines)
  again = open_database(database.directory)
  assert again.count_states()["indexed"] == COUNT
  assert find_first(again) == before
  again.rebuild(Pipeline("other"))
  assert list_folders(again.directory) == ["pipeline-other"]
  assert find_first(open_database(again.directory)) == before


def main(directory):
  pipeline_switch.BATCH_SIZE = 2
  other = Pipeline("other")
  print("start", flush=True)
  open_database(directory).rebuild(
    other, progress=lambda *args: print("batch", flush=True)
  )
  print("end", flush=True)
  sys.stdin.read()


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
