"""A database in PostgreSQL does what one in a folder does."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import trimesh
from support.service import BODIES, make_database, stl
from support.standin import MeasuringPipeline

pytest.importorskip("psycopg")

from dr3d.data.folder import ModelFile, hash_file
from dr3d.database import catalogue, check, journal, postgres, shared, transfer
from dr3d.database.file_reader import FileReader
from dr3d.database.model import Model
from dr3d.database.record import to_values
from dr3d.database.writer import Database
from dr3d.error import ConflictError, DatabaseError, LockError

HERE = FileReader(jobs=0)
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def uri(postgresql, tmp_path, monkeypatch):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  return postgresql.create()


@pytest.fixture
def models(tmp_path):
  folder = tmp_path / "models"
  for name, body in BODIES.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stl(body))
  (folder / "empty.stl").write_bytes(b"")
  return folder


def make(location, **options):
  return Database.create(
    location,
    MeasuringPipeline(),
    load_pipeline=MeasuringPipeline.load,
    **options,
  )


def reopen(location, **options):
  return Database.open(
    location, load_pipeline=MeasuringPipeline.load, **options
  )


@pytest.fixture(params=["rows", "objects"])
def objects(request, tmp_path):
  """Where meshes are: in rows, or in a folder."""
  if request.param == "objects":
    return (tmp_path / "objects").as_uri()
  return None


@pytest.fixture
def database(uri, models, objects):
  made = make(uri, objects=objects)
  made.update(models, reader=HERE)
  return made


@contextlib.contextmanager
def other_machine(tmp_path, program, *arguments):
  """Runs a program that has another cache."""
  process = subprocess.Popen(
    [sys.executable, "-c", program, *map(str, arguments)],
    env={
      **os.environ,
      "DR3D_CACHE": str(tmp_path / "other"),
      "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    },
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    yield process
  finally:
    if process.poll() is None:
      process.kill()
    process.wait()
    process.stdout.close()


def to_rows(database):
  return [to_values(model, 0, 0) for model in database.models()]


def assert_equal(one, other):
  assert to_rows(one) == to_rows(other)
  assert one.gallery.names == other.gallery.names
  np.testing.assert_array_equal(one.gallery.features, other.gallery.features)
  names = one.gallery.names
  assert one.load_shapes(names) == other.load_shapes(names)


def find_damage(database):
  load = database._load_pipeline
  return list(check.scan(database.directory, load_pipeline=load))


def test_rows_vectors_and_meshes_equal_those_of_a_folder(
  database, models, tmp_path
):
  local = make(tmp_path / "local")
  report = local.update(models, reader=HERE)
  assert (report.new, len(report.failures)) == (4, 1)
  assert_equal(local, database)
  again = database.update(models, reader=HERE)
  assert (again.new, again.unchanged) == (0, 4)


def test_answers_equal_those_of_a_folder(database, tmp_path):
  local = make_database(tmp_path)
  for path in sorted((tmp_path / "models").rglob("*.stl")):
    if path.stat().st_size:
      assert database.query(path) == local.query(path)


def test_another_machine_reads_what_was_written(database, tmp_path):
  program = """
import sys
from support.standin import MeasuringPipeline
from dr3d.database.writer import Database
opened = Database.open(sys.argv[1], load_pipeline=MeasuringPipeline.load)
print(opened.query(sys.argv[2]).matches[0].model, opened.pipeline.fingerprint)
"""
  path = tmp_path / "models" / "box" / "long.stl"
  uri = shared.find_uri(database.directory)
  with other_machine(tmp_path, program, uri, path) as process:
    assert process.stdout.read().split() == ["box/long.stl", "one"]
  assert (tmp_path / "other" / "shared").is_dir()


def test_names_sort_by_their_bytes(uri, tmp_path):
  made = make(uri)
  path = tmp_path / "box.stl"
  path.write_bytes(stl(trimesh.creation.box()))
  names = ["b.stl", "B.stl", "a b.stl", "ä.stl", "_.stl", "a.stl"]
  for name in names:
    made.store(path, name=name)
  assert [model.name for model in made.models()] == sorted(names)


def test_edit_remove_and_rebuild(database):
  database.edit("box/long.stl", label="beam", metadata={"steel": "ä"})
  database.remove(["box/flat.stl"], purge=True)
  assert database.rebuild(MeasuringPipeline("two")) == 3
  opened = reopen(shared.find_uri(database.directory))
  assert opened.fingerprint == opened.pipeline.fingerprint == "two"
  model = opened.find_model("box/long.stl")
  assert (model.label, model.metadata) == ("beam", {"steel": "ä"})
  assert len(opened) == len(opened.gallery.names) == 3
  assert (
    list(check.scan(opened.directory, load_pipeline=opened._load_pipeline))
    == []
  )


def test_stored_file_is_found_on_another_machine(database, tmp_path):
  path = tmp_path / "cone.stl"
  path.write_bytes(stl(trimesh.creation.cone(3, 9)))
  assert database.store(path, name="cone.stl", label="cone").new == 1
  assert database.store(path, name="cone.stl").unchanged == 1
  for kept in journal.list_files(database.directory):
    kept.unlink()  # this machine's copy
  assert database.read_file("cone.stl") == path.read_bytes()
  path.write_bytes(stl(trimesh.creation.cone(3, 5)))
  with pytest.raises(ConflictError, match="another model"):
    database.store(path, name="cone.stl")
  database.remove(["cone.stl"])
  assert journal.list_files(database.directory) == []


def test_accepted_upload_of_a_killed_machine_is_completed(database, tmp_path):
  path = tmp_path / "cone.stl"
  path.write_bytes(stl(trimesh.creation.cone(3, 9)))
  digest = ModelFile(path, "cone.stl", "cone", unit="mm")
  import dataclasses

  journal.accept(
    database.directory, dataclasses.replace(digest, digest=hash_file(path))
  )
  path.unlink()
  for kept in (database.directory / journal.FILES).glob("*"):
    kept.unlink()  # the machine that accepted it is gone
  assert database.recover(reader=HERE) == 1
  assert database.find_model("cone.stl").label == "cone"
  assert database.recover(reader=HERE) == 0


def test_damaged_copy_of_the_vectors_is_fetched_again(database):
  expected = np.array(database.gallery.features)
  (path,) = database.directory.glob("vectors-*.f32")
  path.write_bytes(b"x" * path.stat().st_size)
  opened = reopen(shared.find_uri(database.directory))
  np.testing.assert_array_equal(opened.gallery.features, expected)


def test_index_of_one_machine_is_fetched_by_another(uri, tmp_path, monkeypatch):
  """The vectors are enough for ScaNN, whose index takes seconds to build."""
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(600, 2, 3)).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
  made = make(uri, exact_below=100)
  with catalogue.open_catalogue(made.directory) as connection:
    catalogue.write_models(
      connection,
      [
        Model(f"{i}.stl", "", f"{i}", "indexed", "", "one", features=each)
        for i, each in enumerate(vectors)
      ],
    )
  made.refresh()
  with made._writing():
    made._keep_derived()
  assert made.gallery.index.engine == "scann"
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "other"))
  opened = reopen(uri, exact_below=100)
  assert opened.directory != made.directory
  assert opened.gallery.index.engine == "scann"
  np.testing.assert_array_equal(opened.gallery.features, made.gallery.features)


def test_damaged_row_is_an_error(database):
  with catalogue.open_catalogue(database.directory) as connection:
    connection.execute("UPDATE model SET label = 'x' WHERE name LIKE '%long%'")
  with pytest.raises(DatabaseError, match="is damaged"):
    database.models()


def test_writer_waits_for_one_that_is_alone(database, monkeypatch):
  monkeypatch.setattr(postgres, "_LOCK_SECONDS", 1)
  opened = reopen(shared.find_uri(database.directory))
  with database._writing(alone=True):
    with pytest.raises(LockError, match="another process"):
      opened.label("box/long.stl", "no")
    thread = threading.Thread(target=opened.label, args=("box/long.stl", "b"))
    monkeypatch.setattr(postgres, "_LOCK_SECONDS", 60)
    thread.start()
    time.sleep(0.2)
    assert database.find_model("box/long.stl").label == "box"
  thread.join()
  assert database.find_model("box/long.stl").label == "b"


def test_writer_whose_session_ended_changes_nothing_after_a_rebuild(
  database, uri
):
  opened = reopen(uri)
  with database._writing():
    with postgres.connect(database.directory, uri) as connection:
      connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory'"
      )
    thread = threading.Thread(target=opened.rebuild)  # is alone
    thread.start()
    thread.join()
    with (
      pytest.raises(LockError, match="ended the session"),
      catalogue.open_catalogue(database.directory) as connection,
    ):
      catalogue.write_models(connection, [])


def test_killed_writer_leaves_whole_batches_and_no_lock(uri, models, tmp_path):
  for i in range(60):
    (models / f"{i}.stl").write_bytes(stl(trimesh.creation.box((1, 1, 1 + i))))
  make(uri)
  program = """
import sys
from support.standin import MeasuringPipeline, SlowPipeline
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
made = Database.open(sys.argv[1], load_pipeline=MeasuringPipeline.load)
made.pipeline = SlowPipeline()
made.update(sys.argv[2], reader=FileReader(jobs=0))
"""
  opened = reopen(uri)
  with other_machine(tmp_path, program, uri, models) as process:
    while not len(opened):
      assert process.poll() is None
      time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
  assert 0 < len(opened) < 64
  report = opened.update(models, reader=HERE)
  assert report.unchanged > 0
  assert len(opened) == 64
  assert (
    list(check.scan(opened.directory, load_pipeline=opened._load_pipeline))
    == []
  )


def test_server_that_starts_again_is_waited_for(postgresql, database):
  before = database.models()
  postgresql.stop()
  thread = threading.Timer(1.0, postgresql.start)
  thread.start()
  assert to_rows(database) == [to_values(model, 0, 0) for model in before]
  thread.join()


def test_server_that_is_away_is_one_sentence(postgresql, database, monkeypatch):
  monkeypatch.setattr(postgres, "_CONNECT_SECONDS", 0.5)
  postgresql.stop()
  try:
    with pytest.raises(DatabaseError, match="does not answer") as caught:
      database.label("box/long.stl", "beam")
  finally:
    postgresql.start()
  assert "\n" not in str(caught.value)
  database.label("box/long.stl", "beam")


def test_missing_tables_are_one_sentence(uri):
  with pytest.raises(DatabaseError, match="holds no dr3d database"):
    reopen(uri)


def test_password_is_not_in_messages():
  uri = "postgresql://dr3d:secret@host/parts?sslmode=require"
  assert shared.hide_password(uri) == "postgresql://dr3d@host/parts"


def test_folder_from_elsewhere_names_no_server(tmp_path, monkeypatch):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  directory = shared.find_directory("postgresql://host/parts")
  assert shared.find_uri(directory) == "postgresql://host/parts"
  moved = tmp_path / "elsewhere" / directory.name
  moved.parent.mkdir()
  directory.rename(moved)
  assert shared.find_uri(moved) is None


def test_meshes_are_in_the_folder_until_no_row_names_them(
  uri, models, tmp_path
):
  folder = tmp_path / "objects"
  made = make(uri, objects=folder.as_uri())
  made.update(models, reader=HERE)
  assert sum(path.is_file() for path in folder.rglob("*")) == 4
  made.remove(["box/long.stl"])
  made.rebuild()
  found = [path for path in folder.rglob("*") if path.is_file()]
  assert len(found) == 3
  found[0].write_bytes(b"damaged")
  found[1].unlink()
  assert [damage.kind for damage in find_damage(made)] == ["mesh", "mesh"]


def test_migrated_database_is_the_same_there_and_back(uri, objects, tmp_path):
  local = make_database(tmp_path)
  path = tmp_path / "cone.stl"
  path.write_bytes(stl(trimesh.creation.cone(3, 9)))
  local.store(path, name="cone.stl", label="cone")
  local.edit("box/long.stl", label="beam", metadata={"a": "b"})
  target = shared.find_directory(uri)
  count = transfer.copy_database(local.directory, target, objects=objects)
  assert count == 6
  there = reopen(uri)
  assert_equal(local, there)
  assert there.read_file("cone.stl") == path.read_bytes()
  with pytest.raises(DatabaseError, match="already"):
    transfer.copy_database(local.directory, target)
  transfer.copy_database(target, tmp_path / "back")
  back = reopen(tmp_path / "back")
  assert_equal(local, back)
  assert (
    list(check.scan(back.directory, load_pipeline=back._load_pipeline)) == []
  )


def test_interrupted_copy_is_completed(uri, tmp_path, monkeypatch):
  local = make_database(tmp_path)
  target = shared.find_directory(uri)
  monkeypatch.setattr(transfer, "_BATCH", 2)

  def stop(done, total):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    transfer.copy_database(local.directory, target, progress=stop)
  assert len(reopen(uri)) == 0
  transfer.copy_database(local.directory, target)
  assert_equal(local, reopen(uri))
