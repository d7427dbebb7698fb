"""Databases of former versions open, and keep every row."""

import sqlite3

import pytest
from support.stored import LABELS, PENDING, ExtentPipeline, unpack

import dr3d
from dr3d import cli
from dr3d.database import catalogue, check, migration, schema, sqlite_file
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import DatabaseError

pytestmark = pytest.mark.fast

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


# Migration.


@pytest.mark.parametrize("number", [1, 2])
def test_database_before_version_0_1_names_the_command(tmp_path, number):
  directory = unpack(number, tmp_path)
  with pytest.raises(DatabaseError, match=r"older dr3d \(format \d\): convert"):
    open_database(directory)
  with pytest.raises(DatabaseError, match=f"dr3d migrate --db={directory}"):
    Database.create(directory, ExtentPipeline())


def migrate_database(directory):
  with sqlite_file.writer_lock(directory):
    return migration.migrate(directory)


@pytest.mark.parametrize("number", [2, 3])
def test_migration_keeps_every_row(tmp_path, number):
  directory = unpack(number, tmp_path)
  assert migrate_database(directory) == number
  assert migrate_database(directory) == catalogue.FORMAT
  database = open_database(directory)
  assert read_labels(database) == LABELS
  assert list(check.scan(directory, load_pipeline=ExtentPipeline.load)) == []
  answer = database.query(tmp_path / "models/bolt/b.stl")
  assert answer.matches[0].model == "bolt/b.stl"
  sources = {m.name: m.label_source for m in database.models()}
  assert sources == {
    "bad.stl": "folder",
    "bolt/a.stl": "table",
    "bolt/b.stl": "folder",
    "extra/rod.stl": "hand",
    "nut/c.stl": "table",
    "nut/gone.stl": "folder",
    "upload/up.stl": "hand",
  }
  # Labels that are not names of folders were given, and so they stay.
  database.update(tmp_path / "models", reader=HERE)
  assert read_labels(database) == LABELS
  assert database.recover(reader=HERE) == 1
  assert database.rebuild() == 0
  assert {*read_labels(database)} == {*LABELS, PENDING}


def test_migration_of_the_first_format_keeps_labels_and_vectors(tmp_path):
  directory = unpack(1, tmp_path)
  migrate_database(directory)
  database = open_database(directory)
  assert read_labels(database) == {
    "bad.stl": "",
    "bolt/a.stl": "screw",
    "bolt/b.stl": "bolt",
    "nut/c.stl": "nut",
    "nut/gone.stl": "nut",
  }
  answer = database.query(tmp_path / "models/bolt/b.stl")
  assert answer.matches[0].model == "bolt/b.stl"
  assert list(check.scan(directory, load_pipeline=ExtentPipeline.load)) == []
  # The first format knew no area and no mesh, so the files are read again.
  report = database.update(tmp_path / "models", reader=HERE)
  assert (report.changed, report.missing) == (3, 0)
  models = {model.name: model for model in database.models()}
  assert models["bolt/a.stl"].label == "screw"
  assert models["bolt/a.stl"].area == pytest.approx(26)
  assert models["nut/gone.stl"].state == "missing"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_interrupted_migration_leaves_the_former_format(
  tmp_path, number, monkeypatch
):
  directory = unpack(number, tmp_path)
  insert, calls = catalogue.insert_converted, []

  def interrupt(*args):
    calls.append(args)
    if len(calls) == 3:
      raise KeyboardInterrupt
    insert(*args)

  monkeypatch.setattr(catalogue, "insert_converted", interrupt)
  with pytest.raises(KeyboardInterrupt):
    migrate_database(directory)
  monkeypatch.undo()
  assert migrate_database(directory) == number
  assert open_database(directory).query(tmp_path / "models/bolt/b.stl").matches


def test_first_change_converts_a_database_of_version_0_1(stored):
  open_database(stored).label("bolt/b.stl", "bolts")
  with catalogue.open_catalogue(stored) as connection:
    assert schema.read_format(connection) == catalogue.FORMAT
  assert read_labels(open_database(stored)) == {**LABELS, "bolt/b.stl": "bolts"}


def test_command_converts_a_database(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  directory = unpack(2, tmp_path)
  assert cli.main(["migrate", f"--db={directory}"]) == 0
  out, err = capsys.readouterr()
  assert out.endswith("db: 7 models, from format 2 to 4.\n")
  assert "dr3d index reads the files again" in err
  assert cli.main(["migrate", f"--db={directory}"]) == 0
  assert "has format 4 already" in capsys.readouterr().out
