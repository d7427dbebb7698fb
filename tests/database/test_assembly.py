"""Bodies of assemblies as models of a database."""

import trimesh
from support.mesh_files import export
from support.standin import MeasuringPipeline

from dr3d.database.condition import Condition
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.mesh.io import body

HERE = FileReader(jobs=0)


def make_folder(folder):
  block = trimesh.creation.box((10, 20, 30))
  rod = trimesh.creation.cylinder(3, 40, sections=12)
  rod.apply_translation((50, 0, 0))
  (folder / "pump").mkdir(parents=True)
  (folder / "pump/a.stl").write_bytes(
    export(trimesh.util.concatenate([block, rod]), "stl")
  )
  (folder / "pump/rod.stl").write_bytes(export(rod, "stl"))
  return folder


def make_database(folder):
  return Database.create(
    folder / "db", MeasuringPipeline(), load_pipeline=MeasuringPipeline.load
  )


def states(database):
  return {model.name: model.state for model in database.models()}


def test_bodies_are_models_that_name_their_parent(tmp_path):
  models = make_folder(tmp_path / "models")
  database = make_database(tmp_path)
  report = database.update(models, bodies=True, reader=HERE)
  assert (report.new, report.failures) == (4, ())
  first = database.find_model("pump/a.stl/body-1.stl")
  assert first.metadata == {"parent": "pump/a.stl", "body": "1 of 2"}
  assert first.label == "pump"
  assert database.find_file(first).read_bytes()[80:84] in (
    (12).to_bytes(4, "little"),
    (44).to_bytes(4, "little"),
  )
  answer = database.query(
    models / "pump/rod.stl",
    condition=Condition(where={"parent": ("pump/a.stl",)}),
  )
  assert answer.matches[0].model == "pump/a.stl/body-2.stl"
  assert answer.matches[0].same


def test_second_run_changes_nothing_and_one_without_bodies_loses_them(tmp_path):
  models = make_folder(tmp_path / "models")
  database = make_database(tmp_path)
  database.update(models, bodies=True, reader=HERE)
  report = database.update(models, bodies=True, reader=HERE)
  assert (report.new, report.changed, report.unchanged) == (0, 0, 4)
  database.update(models, reader=HERE)
  assert states(database)["pump/a.stl/body-1.stl"] == "missing"
  database.update(models, bodies=True, reader=HERE)
  assert set(states(database).values()) == {"indexed"}


def test_processes_that_read_files_split_them(tmp_path):
  models = make_folder(tmp_path / "models")
  database = make_database(tmp_path)
  report = database.update(models, bodies=True, reader=FileReader(jobs=1))
  assert (report.new, report.failures, report.warnings) == (4, (), ())


def test_changed_assembly_replaces_its_bodies(tmp_path):
  models = make_folder(tmp_path / "models")
  database = make_database(tmp_path)
  database.update(models, bodies=True, reader=HERE)
  (models / "pump/a.stl").write_bytes((models / "pump/rod.stl").read_bytes())
  report = database.update(models, bodies=True, reader=HERE)
  assert (report.changed, report.missing) == (1, 2)


def test_file_with_too_many_bodies_is_warned_of(tmp_path, monkeypatch):
  monkeypatch.setattr(body, "BODY_LIMIT", 1)
  models = make_folder(tmp_path / "models")
  (models / "bad.stl").write_bytes(b"solid nothing")
  report = make_database(tmp_path).update(models, bodies=True, reader=HERE)
  assert [failure.model for failure in report.failures] == ["bad.stl"]
  assert [warning.model for warning in report.warnings] == ["pump/a.stl"]
  assert "2 bodies, more than the 1" in report.warnings[0].reason
