"""Damage of every kind is found, told, and repaired where that is possible."""

import dataclasses
import json
import os
import shutil
import sqlite3

import pytest
import trimesh
from support.upkeep import Pipeline

import dr3d
from dr3d import cli
from dr3d.database import catalogue, check, repair
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import DatabaseError

pytestmark = pytest.mark.fast

HERE = FileReader(jobs=0)


def open_database(directory):
  return Database.open(directory, load_pipeline=Pipeline.load)


def scan(directory):
  findings = check.scan(directory, load_pipeline=Pipeline.load)
  found = [(finding.kind, finding.name) for finding in findings]
  # A service, which reads a little at a time, must find the same.
  assert set(scan_parts(directory)) == {f for f in found if f[0] != "leftover"}
  return found


def repair_database(directory):
  findings = list(check.scan(directory, load_pipeline=Pipeline.load))
  return repair.repair(directory, findings, load_pipeline=Pipeline.load)


def execute(directory, statement, *values):
  with sqlite3.connect(directory / "catalogue.sqlite") as connection:
    assert connection.execute(statement, values).rowcount > 0


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
  """Three models of a folder and an upload, to be copied."""
  root = tmp_path_factory.mktemp("stored")
  for i in range(3):
    path = root / f"models/kind/{i}.stl"
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box([1, 2, 2 + i]).export(path)
  trimesh.creation.box([1, 3, 9]).export(root / "up.stl")
  database = Database.create(root / "db", Pipeline())
  database.update(root / "models", reader=HERE)
  database.store(root / "up.stl", name="up.stl", label="mine")
  return root


@pytest.fixture
def directory(stored, tmp_path):
  shutil.copytree(stored / "db", tmp_path / "db")
  return tmp_path / "db"


def find_first(directory):
  mesh = trimesh.creation.box([1, 2, 3])
  mesh = dr3d.make_mesh(mesh.vertices, mesh.faces)
  return open_database(directory).query(mesh).matches[0]


def scan_parts(directory):
  parts = check.scan_parts(directory, load_pipeline=Pipeline.load)
  return [(f.kind, f.name) for part in parts for f in part.findings]


def test_whole_database_has_no_findings(directory):
  assert scan(directory) == []
  parts = list(check.scan_parts(directory, load_pipeline=Pipeline.load))
  assert [part.findings for part in parts] == [()] * len(parts)
  stored = sum(
    path.stat().st_size for path in directory.glob("[v]*") if path.is_file()
  )
  assert sum(part.size for part in parts) > stored


def test_model_removed_between_two_parts_is_no_damage(directory):
  parts = check.scan_parts(directory, load_pipeline=Pipeline.load)
  next(parts)
  open_database(directory).remove(["kind/0.stl", "up.stl"], purge=True)
  open_database(directory).rebuild(Pipeline("other"))
  assert not [f for part in parts for f in part.findings]


def test_finding_that_a_second_look_does_not_have_is_no_damage(
  directory, monkeypatch
):
  real, calls = check.vector_file.hash_slots, []

  def hash_slots(*arguments):  # as while a writer replaces what is read
    calls.append(arguments)
    digests = real(*arguments)
    return [0] * len(digests) if len(calls) == 1 else digests

  monkeypatch.setattr(check.vector_file, "hash_slots", hash_slots)
  assert scan_parts(directory) == []
  assert len(calls) == 2


@pytest.mark.parametrize(
  "column", ["label", "metadata", "hash", "radius", "state", "fingerprint"]
)
def test_changed_row_is_no_answer_and_is_reset(directory, stored, column):
  value = {"radius": 7.0, "state": "missing", "metadata": '{"a": "b"}'}
  execute(
    directory,
    f"UPDATE model SET {column} = ? WHERE name = 'kind/1.stl'",
    value.get(column, "other"),
  )
  with pytest.raises(DatabaseError, match=r"row of 'kind/1.stl' is not what"):
    find_first(directory)
  assert ("row", "kind/1.stl") in scan(directory)
  assert repair_database(directory) == []
  assert scan(directory) == []
  database = open_database(directory)
  assert database.count_states()["outdated"] == 1
  report = database.update(stored / "models", reader=HERE)
  assert (report.new, report.unchanged) == (1, 2)
  assert find_first(directory).label == "kind"


def test_damaged_row_of_an_upload_is_read_from_the_kept_file(directory):
  execute(directory, "UPDATE model SET label = 'x' WHERE name = 'up.stl'")
  assert scan(directory) == [("row", "up.stl")]
  assert repair_database(directory) == []
  database = open_database(directory)
  assert database.count_states()["indexed"] == 4
  assert database.find_model("up.stl").label == ""


@pytest.mark.parametrize("column", ["mesh", "thumbnail"])
def test_damaged_mesh_is_found_and_read_again(directory, stored, column):
  statement = f"UPDATE shape SET {column} = zeroblob(length({column}))"
  execute(directory, f"{statement} WHERE name = 'kind/1.stl'")
  with pytest.raises(DatabaseError, match=r"stored mesh of 'kind/1.stl' is no"):
    find_first(directory)
  assert scan(directory) == [("mesh", "kind/1.stl")]
  assert repair_database(directory) == []
  assert open_database(directory).count_states()["indexed"] == 4
  assert find_first(directory).model == "kind/1.stl"
  report = open_database(directory).update(stored / "models", reader=HERE)
  assert report.changed == 1
  assert scan(directory) == []
  assert len(open_database(directory).load_shapes(["kind/1.stl"])) == 1


def test_missing_mesh_is_found(directory):
  execute(directory, "DELETE FROM shape WHERE name = 'kind/1.stl'")
  assert scan(directory) == [("mesh", "kind/1.stl")]


def test_damaged_vectors_are_computed_again(directory):
  before = find_first(directory)
  path = directory / "vectors-0.f32"
  content = bytearray(path.read_bytes())
  content[70] ^= 1
  path.write_bytes(content)
  assert scan(directory) == [("vectors", "kind/1.stl")]
  assert repair_database(directory) == []
  assert scan(directory) == []
  assert find_first(directory) == before


def test_missing_vector_file_is_computed_again(directory):
  before = find_first(directory)
  (directory / "vectors-0.f32").unlink()
  assert scan(directory) == [("vectors", "")]
  assert repair_database(directory) == []
  assert find_first(directory) == before


@pytest.mark.parametrize(
  ("name", "is_read"),
  [
    ("calibration", True),  # fitted again
    ("models", False),
    ("vectors", False),
    ("face_budget", False),
    ("pipeline", False),
  ],
)
def test_damaged_setting_is_told(directory, name, is_read):
  execute(
    directory, "UPDATE setting SET value = '{' || value WHERE name = ?", name
  )
  assert ("setting", name) in scan(directory)
  if is_read:
    assert find_first(directory).model == "kind/1.stl"
  else:
    with pytest.raises(DatabaseError, match=f"the setting '{name}' is not wha"):
      find_first(directory)
  left = [finding.name for finding in repair_database(directory)]
  if name in ("face_budget", "pipeline"):
    assert left == [name]
  else:
    assert left == []
    assert scan(directory) == []
    assert find_first(directory).model == "kind/1.stl"


@pytest.mark.parametrize(
  "layout",
  [
    '{"generation": "1/../../x", "count": 4, "views": 3, "size": 5}',
    '{"generation": -1, "count": 4, "views": 3, "size": 5}',
    '{"file": "x"}',
    "[]",
    "garbage",
  ],
)
def test_layout_that_is_no_layout_is_refused(directory, layout):
  with catalogue.open_catalogue(directory) as connection:
    catalogue.write_setting(connection, "vectors", layout)
  with pytest.raises(DatabaseError, match=r"is damaged \(the layout of its v"):
    find_first(directory)


def test_damaged_kept_file_is_found(directory):
  (path,) = (directory / "files").iterdir()
  path.write_bytes(b"other")
  assert scan(directory) == [("file", path.name)]
  assert [finding.kind for finding in repair_database(directory)] == ["file"]


@pytest.mark.parametrize(
  "content",
  [
    b"garbage",
    b"[]",
    b"{}",
    b"\xff\xfe",
    json.dumps(
      {
        "file": "../../../etc/passwd",
        "name": "x",
        "label": "",
        "metadata": {},
        "unit": "mm",
      }
    ).encode(),
  ],
)
def test_damaged_note_is_left_aside_and_keeps_all_files(directory, content):
  note = directory / "inbox" / "0.json"
  note.write_bytes(content)
  stray = directory / "files" / f"{'0' * 64}.stl"
  stray.write_bytes(b"perhaps its file")
  database = open_database(directory)
  assert database.recover(reader=HERE) == 0
  database.remove(["kind/0.stl"])
  assert stray.exists()
  stray.unlink()
  assert scan(directory) == [("upload", "0.json")]
  assert repair_database(directory) == []
  assert note.with_suffix(".damaged").read_bytes() == content


def test_hash_that_is_a_path_finds_no_file(directory, tmp_path):
  model = open_database(directory).find_model("up.stl")
  (tmp_path / "secret.txt").write_text("x")
  for digest in ("../../secret", "*", "", "../../secret.txt"):
    wrong = dataclasses.replace(model, hash=digest)
    assert open_database(directory).find_file(wrong) is None


def test_damaged_page_needs_a_backup(directory):
  path = directory / "catalogue.sqlite"
  content = bytearray(path.read_bytes())
  content[8192:] = b"\x5a" * (len(content) - 8192)
  path.write_bytes(content)
  assert scan(directory)[0] == ("catalogue", "catalogue.sqlite")
  assert [f.kind for f in repair_database(directory)] == ["catalogue"]


def test_other_pipeline_and_leftovers_are_found(directory):
  (directory / "pipeline" / "name").write_text("two")
  (directory / "pipeline-old").mkdir()
  assert scan(directory) == [
    ("pipeline", "pipeline"),
    ("leftover", "pipeline-old"),
  ]
  (directory / "pipeline" / "name").write_text("one")
  assert repair_database(directory) == []
  assert not (directory / "pipeline-old").exists()


def test_damaged_lock_is_told_with_the_right_advice(directory):
  (directory / "writer.lock").write_bytes(b"garbage " * 99)
  with pytest.raises(DatabaseError, match="It holds no data: delete it"):
    open_database(directory).label("up.stl", "x")
  assert find_first(directory).model == "kind/1.stl"


def test_read_only_copy_of_an_interrupted_writer_is_told(
  directory, monkeypatch
):
  (directory / "catalogue.sqlite-wal").write_bytes(b"x" * 99)
  monkeypatch.setattr(os, "access", lambda path, mode: False)
  with pytest.raises(DatabaseError, match="its last writer was interrupted"):
    open_database(directory)


def test_command_says_what_is_damaged_and_repairs_it(
  directory, stored, monkeypatch, capsys, tmp_path
):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  load = Pipeline.load
  monkeypatch.setattr(dr3d.Pipeline, "load", staticmethod(load))

  def run(*argv):
    status = cli.main(["check", f"--db={directory}", *argv])
    return status, *capsys.readouterr()

  assert run() == (
    0, f"{directory}: nothing is damaged; 4 models to search.\n", "",
  )  # fmt: skip
  execute(directory, "UPDATE model SET label = 'x' WHERE name = 'kind/1.stl'")
  status, out, err = run()
  assert status == 1
  assert "damaged: row kind/1.stl is not what was written; dr3d check" in err
  assert "1 findings; nothing was changed" in out
  status, out, err = run("--repair")
  assert (status, "1 repaired, 0 left" in out) == (1, True)
  assert "1 models cannot be searched until dr3d index" in err
  open_database(directory).update(stored / "models", reader=HERE)
  assert run()[0] == 0
