"""Databases of former versions open, and keep every row."""

import sqlite3

import pytest
from support.stored import LABELS, PENDING, ExtentPipeline, unpack

import dr3d
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database

HERE = FileReader(jobs=0)


def open_database(directory):
  return Database.open(directory, load_pipeline=ExtentPipeline.load)


def read_labels(database):
  return {model.name: model.label for model in database.models()}


@pytest.fixture
def stored(tmp_path):
  return unpack(3, tmp_path)


def test_database_of_version_0_1_is_read_with_every_row(stored):
  database = open_database(stored)
  assert read_labels(database) == LABELS
  assert database.count_states() == {
    "indexed": 5, "failed": 1, "missing": 1, "outdated": 0,
  }  # fmt: skip
  models = {model.name: model for model in database.models()}
  assert models["bolt/a.stl"].metadata == {"maker": "acme"}
  assert models["extra/rod.stl"].metadata == {"steel": "a2"}
  assert models["upload/up.stl"].unit == "mm, assumed"
  shapes = database.load_shapes(models)
  assert set(shapes) == set(LABELS) - {"bad.stl"}
  assert all(s.thumbnail.startswith(b"\x89PNG") for s in shapes.values())
  assert database.read_file("upload/up.stl")


def test_database_of_version_0_1_answers_queries(stored):
  database = open_database(stored)
  answer = database.query(stored.parent / "models/bolt/b.stl")
  assert answer.matches[0].model == "bolt/b.stl"
  assert answer.matches[0].score == pytest.approx(1, abs=1e-6)
  mesh = dr3d.load_mesh(stored.parent / "extra/rod.stl")
  assert database.query(mesh).matches[0].model == "extra/rod.stl"


def test_database_of_version_0_1_is_updated_and_keeps_every_row(stored):
  before = {m.name: m for m in open_database(stored).models()}
  vectors = {name: open_database(stored).find_features(name) for name in before}
  database = open_database(stored)
  report = database.update(
    stored.parent / "models",
    labels=stored.parent / "labels.csv",
    reader=HERE,
  )
  assert (report.new, report.missing) == (0, 0)
  assert [f.model for f in report.failures] == ["bad.stl"]
  again = open_database(stored)
  for model in again.models():
    old = before[model.name]
    assert (model.hash, model.state) == (old.hash, old.state)
    assert (model.unit, model.metadata) == (old.unit, old.metadata)
    assert (model.radius, model.extent) == (old.radius, old.extent)
    found = again.find_features(model.name)
    assert (found is None) == (vectors[model.name] is None)
    assert found is None or (found == vectors[model.name]).all()


def test_pending_upload_of_version_0_1_is_completed(stored):
  database = open_database(stored)
  assert database.recover(reader=HERE) == 1
  models = {model.name: model for model in database.models()}
  assert set(models) == {*LABELS, PENDING}
  pending = models[PENDING]
  assert (pending.label, pending.unit) == ("disc", "cm, assumed")
  assert pending.metadata == {"no": "8"}
  assert not list((stored / "inbox").iterdir())


def test_setting_of_version_0_1_that_is_unknown_stays_unread(stored):
  database = open_database(stored)
  database.label("bolt/b.stl", "bolts")
  with sqlite3.connect(stored / "catalogue.sqlite") as connection:
    names = {n for (n,) in connection.execute("SELECT name FROM setting")}
  assert "calibration" in names
  assert database.query(stored.parent / "models/bolt/a.stl").matches
