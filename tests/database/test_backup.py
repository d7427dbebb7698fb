"""Backups are of one moment, and restore only if they are whole."""

import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
import trimesh
from support.upkeep import Pipeline

import dr3d
from dr3d import cli
from dr3d.database import backup, check
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import DatabaseError

HERE = FileReader(jobs=0)


def open_database(directory):
  return Database.open(directory, load_pipeline=Pipeline.load)


def restore(source, directory):
  return backup.restore(source, directory, load_pipeline=Pipeline.load)


def write_box(path, *sides):
  path.parent.mkdir(parents=True, exist_ok=True)
  trimesh.creation.box(sides).export(path)
  return path


def store(database, path, name):
  """Stores a model without a process of its own for the reader."""
  from dr3d.data.folder import ModelFile
  from dr3d.database.processed_model import read_processed_model

  processed = read_processed_model(path, face_budget=200)
  return database.store_file(ModelFile(path, name, "box"), processed=processed)


@pytest.fixture
def database(tmp_path):
  for i in range(3):
    write_box(tmp_path / f"models/kind/{i}.stl", 1, 2, 2 + i)
  made = Database.create(
    tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load
  )
  made.update(tmp_path / "models", reader=HERE)
  store(made, write_box(tmp_path / "up.stl", 1, 3, 9), "up.stl")
  return made


def rows(directory):
  database = open_database(directory)
  found = {}
  for model in database.models():
    features = database.find_features(model.name)
    found[model.name] = (
      model.label,
      model.state,
      model.hash,
      None if features is None else features.tobytes(),
    )
  return found


def test_restored_database_is_equal(database, tmp_path):
  database.label("kind/1.stl", "mine")
  made = backup.back_up(database.directory, tmp_path / "backup")
  assert (made.searchable, made.generation) == (4, 0)
  restored = tmp_path / "restored"
  assert restore(tmp_path / "backup", restored) == made
  assert rows(restored) == rows(database.directory)
  again = open_database(restored)
  assert again.read_file("up.stl") == database.read_file("up.stl")
  mesh = dr3d.load_mesh(tmp_path / "models/kind/1.stl")
  assert again.query(mesh) == database.query(mesh)
  again.label("kind/0.stl", "changed")  # it can be written
  assert again.rebuild(Pipeline("other")) == 4


def test_backup_has_only_vectors_that_its_catalogue_names(database, tmp_path):
  database.remove(["kind/0.stl"])
  database.rebuild()
  backup.back_up(database.directory, tmp_path / "backup")
  home = tmp_path / "backup" / "database"
  assert [path.name for path in home.glob("vectors*")] == ["vectors-1.f32"]
  assert not (home / "writer.lock").exists()


def test_accepted_upload_is_in_the_backup_and_is_completed(
  database, tmp_path, monkeypatch
):
  path = write_box(tmp_path / "late.stl", 2, 3, 9)
  monkeypatch.setattr(
    Database, "_index_accepted", lambda self, file, processed: None
  )
  database.store(path, name="late.stl", label="late")
  monkeypatch.undo()
  backup.back_up(database.directory, tmp_path / "backup")
  restore(tmp_path / "backup", tmp_path / "restored")
  again = open_database(tmp_path / "restored")
  assert again.recover(reader=HERE) == 1
  assert again.find_model("late.stl").label == "late"


def test_existing_folder_is_not_overwritten(database, tmp_path):
  (tmp_path / "backup").mkdir()
  with pytest.raises(DatabaseError, match="backup exists: name a new folder"):
    backup.back_up(database.directory, tmp_path / "backup")
  backup.back_up(database.directory, tmp_path / "other")
  with pytest.raises(DatabaseError, match="db exists: name a new directory"):
    restore(tmp_path / "other", database.directory)


@pytest.mark.parametrize("harm", ["change", "remove", "add", "manifest"])
def test_damaged_backup_restores_nothing(database, tmp_path, harm):
  made = tmp_path / "backup"
  backup.back_up(database.directory, made)
  vectors = made / "database" / "vectors-0.f32"
  if harm == "change":
    content = bytearray(vectors.read_bytes())
    content[5] ^= 1
    vectors.write_bytes(content)
  elif harm == "remove":
    vectors.unlink()
  elif harm == "add":
    (made / "database" / "pipeline-x").write_text("x")
  else:
    (made / "backup.json").write_text("{")
  with pytest.raises(DatabaseError, match=r"is not what was|missing|damaged"):
    restore(made, tmp_path / "restored")
  assert not (tmp_path / "restored").exists()


def test_damage_in_the_database_is_found_at_the_latest_by_restore(
  database, tmp_path
):
  path = database.directory / "vectors-0.f32"
  content = bytearray(path.read_bytes())
  content[5] ^= 1
  path.write_bytes(content)
  backup.back_up(database.directory, tmp_path / "backup")
  with pytest.raises(DatabaseError, match="vectors kind/0"):
    restore(tmp_path / "backup", tmp_path / "restored")


def test_damaged_row_is_not_backed_up_and_names_the_database(
  database, tmp_path
):
  with sqlite3.connect(database.directory / "catalogue.sqlite") as connection:
    connection.execute("UPDATE model SET label = 'x' WHERE name LIKE 'kind/0%'")
  with pytest.raises(DatabaseError, match="row of 'kind/0") as caught:
    backup.back_up(database.directory, tmp_path / "backup")
  assert str(caught.value).startswith(f"{database.directory} is damaged")
  assert list(tmp_path.glob("backup*")) == []


def test_folder_that_is_no_backup_is_told(tmp_path):
  with pytest.raises(DatabaseError, match=r"not a backup: backup.json is mis"):
    restore(tmp_path, tmp_path / "restored")


def test_every_backup_during_writes_restores(database, tmp_path):
  """Writes, deletions and rebuilds while backups are made."""
  acknowledged, errors = ["up.stl"], []
  ended = threading.Event()
  paths = [
    write_box(tmp_path / f"new/{i}.stl", 1, 2, 3 + i / 10) for i in range(40)
  ]

  def write():
    try:
      writer = open_database(database.directory)
      for i, path in enumerate(paths):
        store(writer, path, f"new/{i}.stl")
        acknowledged.append(f"new/{i}.stl")
        if i % 10 == 9:
          writer.remove([f"new/{i - 5}.stl"])
          writer.rebuild(Pipeline(f"other{i}"))
          writer.pipeline = Pipeline(f"other{i}")
    except Exception as error:
      errors.append(error)
    ended.set()

  removed = {f"new/{i}.stl" for i in range(40) if i % 10 == 4}
  thread = threading.Thread(target=write)
  thread.start()
  count = 0
  while not ended.is_set():
    known = set(acknowledged) - removed
    made = tmp_path / f"backup-{count}"
    backup.back_up(database.directory, made)
    restored = tmp_path / f"restored-{count}"
    restore(made, restored)
    findings = check.scan(restored, load_pipeline=Pipeline.load)
    assert list(findings) == []
    names = {model.name for model in open_database(restored).models()}
    pending = restored / "inbox"
    assert known <= names or list(pending.iterdir())
    open_database(restored).recover(reader=HERE)
    assert known <= {model.name for model in open_database(restored).models()}
    count += 1
  thread.join()
  assert errors == []
  assert count >= 3


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_killed_backup_or_restore_leaves_nothing_half_made(database, tmp_path):
  for i in range(4):
    process = subprocess.Popen(
      [
        sys.executable,
        __file__,
        str(database.directory),
        str(tmp_path),
        str(i),
      ],
      stdout=subprocess.PIPE,
      env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for _ in range(i + 1):
      process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for kind in ("backup", "restored"):
      path = tmp_path / f"{kind}-{i}"
      if kind == "backup" and path.exists():
        restore(path, tmp_path / f"good-{i}")
      if kind == "restored" and path.exists():
        findings = check.scan(path, load_pipeline=Pipeline.load)
        assert list(findings) == []


def test_backup_and_restore_in_commands(
  database, tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  load = Pipeline.load
  monkeypatch.setattr(dr3d.Pipeline, "load", staticmethod(load))
  made = tmp_path / "backup"
  flags = [f"--db={database.directory}", f"--out={made}"]
  assert cli.main(["backup", *flags]) == 0
  assert (
    "4 models to search, vectors of generation 0" in capsys.readouterr().out
  )
  flags = [f"--backup={made}", f"--db={tmp_path / 'restored'}"]
  assert cli.main(["restore", *flags]) == 0
  assert "restored: 4 models to search, as of 20" in capsys.readouterr().out
  assert cli.main(["restore", *flags]) == 1
  assert "exists: name a new directory" in capsys.readouterr().err


def main(directory, root, number):
  copyfile = shutil.copyfile

  def copy(*args, **options):
    print("file", flush=True)
    return copyfile(*args, **options)

  shutil.copyfile = copy
  backup.back_up(directory, root / f"backup-{number}")
  print("backup", flush=True)
  restore(root / f"backup-{number}", root / f"restored-{number}")
  print("restored", flush=True)
  sys.stdin.read()


if __name__ == "__main__":
  main(*map(pathlib.Path, sys.argv[1:3]), sys.argv[3])
