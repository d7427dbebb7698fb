"""Models come and go one by one, and a database lives through it."""

import csv
import dataclasses
import io
import json
import os
import shutil
import sqlite3

import numpy as np
import pytest
import trimesh
from support.upkeep import Pipeline

import dr3d
from dr3d import cli
from dr3d.database import catalogue
from dr3d.database.file_reader import FileReader
from dr3d.database.processed_model import hash_geometry, read_processed_model
from dr3d.database.writer import Database
from dr3d.error import DatabaseError
from dr3d.mesh.packing import pack_mesh, unpack_mesh
from dr3d.runtime import progress
from dr3d.search import refinement

HERE = FileReader(jobs=0)


def write_box(path, *sides, unit=1.0):
  path.parent.mkdir(parents=True, exist_ok=True)
  trimesh.creation.box(np.array(sides) * unit).export(path)
  return path


def open_database(directory):
  return Database.open(directory, load_pipeline=Pipeline.load)


def rows(directory):
  with sqlite3.connect(directory / "catalogue.sqlite") as connection:
    found = connection.execute("SELECT * FROM model ORDER BY name").fetchall()
    shapes = connection.execute("SELECT * FROM shape ORDER BY name").fetchall()
  return found, shapes


@pytest.fixture
def models(tmp_path):
  for i in range(1, 6):
    write_box(tmp_path / "models" / f"kind{i % 2}" / f"{i}.stl", 1, 2, 2 + i)
  return tmp_path / "models"


@pytest.fixture
def database(tmp_path, models):
  made = Database.create(
    tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load
  )
  made.update(models, reader=HERE)
  return made


def test_update_reports_what_a_file_lacks(tmp_path):
  folder = tmp_path / "models"
  folder.mkdir()
  data = bytearray(trimesh.creation.box([1, 2, 3]).export(file_type="stl"))
  data[80:84] = bytes(4)  # the count of triangles in the head
  (folder / "a.stl").write_bytes(data)
  database = Database.create(tmp_path / "db", Pipeline())
  report = database.update(folder, reader=FileReader(jobs=0))
  assert report.new == 1
  (warning,) = report.warnings
  assert warning.model == "a.stl"
  assert warning.reason.startswith("a.stl announces 0 triangles")
  assert database.update(folder, reader=FileReader(jobs=0)).warnings == ()


def test_added_models_are_found_and_kept_by_an_update(
  database, models, tmp_path
):
  extra = write_box(tmp_path / "extra" / "long.stl", 1, 1, 40)
  report = database.add([extra], label="bar", reader=HERE)
  assert (report.new, report.missing) == (1, 0)
  mesh = dr3d.load_mesh(extra)
  best = database.query(mesh).matches[0]
  assert (best.model, best.label) == (str(extra), "bar")
  assert database.update(models, reader=HERE).missing == 0
  assert database.query(mesh).matches[0].model == str(extra)
  # A label that is not given stays; metadata joins what is known.
  database.add([extra], metadata={"maker": "a"}, reader=HERE)
  report = database.add([extra], metadata={"steel": "b"}, reader=HERE)
  assert (report.new, report.changed) == (0, 1)
  (model,) = [m for m in database.models() if m.name == str(extra)]
  assert (model.label, model.metadata) == ("bar", {"maker": "a", "steel": "b"})


def test_file_of_the_folder_is_added_under_its_relative_name(database, models):
  write_box(models / "kind0" / "9.stl", 1, 1, 9)
  assert database.add([models / "kind0" / "9.stl"], reader=HERE).new == 1
  report = database.update(models, reader=HERE)
  assert (report.new, report.changed) == (0, 1)  # its label
  assert len(database.models()) == 6
  (models / "kind0" / "9.stl").unlink()
  assert database.update(models, reader=HERE).missing == 1


def test_missing_file_raises_and_adds_nothing(database, tmp_path):
  before = rows(database.directory)
  good = write_box(tmp_path / "good.stl", 1, 1, 1)
  with pytest.raises(DatabaseError, match=r"no\.stl does not exist: nothing"):
    database.add([good, tmp_path / "no.stl"], reader=HERE)
  assert rows(database.directory) == before


def test_removed_models_leave_no_row_and_no_shape(database):
  names = ["kind0/2.stl", "kind1/1.stl"]
  database.remove(names)
  found, shapes = rows(database.directory)
  assert len(found) == len(shapes) == 3
  assert not {row[0] for row in found + shapes} & set(names)
  with pytest.raises(DatabaseError, match=r"db has no model 'kind1/1.stl'"):
    database.remove(["kind0/4.stl", "kind1/1.stl"])
  assert len(rows(database.directory)[0]) == 3


def test_row_holds_size_unit_bodies_and_thumbnail(database, tmp_path):
  scene = trimesh.Scene()
  scene.add_geometry(trimesh.creation.box([0.01, 0.02, 0.03]))
  scene.add_geometry(
    trimesh.creation.box([0.01, 0.02, 0.03]).apply_translation([0, 0, 0.04])
  )
  (tmp_path / "two.glb").write_bytes(scene.export(file_type="glb"))
  database.add([tmp_path / "two.glb"], reader=HERE)
  models = {model.name: model for model in database.models()}
  two = models[str(tmp_path / "two.glb")]
  assert (two.unit, two.body_count) == ("m", 2)
  assert two.extent == pytest.approx((70, 20, 10))
  assert (two.area, two.volume) == pytest.approx((4400, 12000))
  one = models["kind1/1.stl"]
  assert (one.unit, one.body_count) == ("mm, assumed", 1)
  assert one.extent == pytest.approx((3, 2, 1))
  with catalogue.open_catalogue(database.directory) as connection:
    shapes = catalogue.read_shapes(connection, ["kind1/1.stl", "nothing"])
  assert list(shapes) == ["kind1/1.stl"]
  assert shapes["kind1/1.stl"].thumbnail.startswith(b"\x89PNG")
  assert unpack_mesh(shapes["kind1/1.stl"].mesh).face_count == 12


def test_other_unit_changes_sizes_and_is_remembered(database, models):
  assert database.update(models, unit="inch", reader=HERE).changed == 5
  assert database.models()[0].extent == pytest.approx((4 * 25.4, 50.8, 25.4))
  assert open_database(database.directory).update(models).unchanged == 5
  with pytest.raises(ValueError, match="among mm, cm, m, inch"):
    database.update(models, unit="mile")


def test_rebuild_changes_only_what_is_derived(database):
  before = rows(database.directory)
  answer = database.query(unpack_mesh(before[1][0][1]))
  assert database.rebuild() == 0
  assert rows(database.directory) == before
  assert database.query(unpack_mesh(before[1][0][1])) == answer


def test_other_pipeline_embeds_the_stored_meshes(database, models, tmp_path):
  reader = open_database(database.directory)
  reader.query(dr3d.load_mesh(models / "kind0/2.stl"))
  assert database.rebuild(Pipeline("other")) == 5
  fresh = Database.create(tmp_path / "fresh", Pipeline("other"))
  fresh.update(models, reader=HERE)
  assert rows(database.directory) == rows(fresh.directory)
  reader.refresh()
  assert reader.fingerprint == "other"
  mesh = dr3d.load_mesh(models / "kind0/2.stl")
  assert open_database(database.directory).query(mesh) == fresh.query(mesh)
  assert reader.query(mesh) == fresh.query(mesh)
  names = sorted(path.name for path in database.directory.glob("pipeline*"))
  assert names == ["pipeline-other"]


def test_pipeline_of_other_budget_is_searched_at_once_and_read_later(
  database, models
):
  other = Pipeline("finer")
  other.face_budget = 8  # the boxes have 12
  assert database.rebuild(other) == 5
  assert database.count_states()["indexed"] == 5
  assert {model.fingerprint for model in database.models()} == {""}
  mesh = dr3d.load_mesh(models / "kind0/2.stl", face_budget=8)
  assert database.query(mesh).matches
  assert database.update(models, reader=HERE).changed == 5
  assert {model.face_count for model in database.models()} == {8}
  assert {model.fingerprint for model in database.models()} == {"finer"}


def test_rebuild_of_a_damaged_page_raises(database):
  path = database.directory / "catalogue.sqlite"
  content = bytearray(path.read_bytes())
  content[-3000:] = b"\x5a" * 3000
  path.write_bytes(content)
  with pytest.raises(DatabaseError, match=r"is damaged (?s:.*)restore it"):
    database.rebuild()


def test_full_disk_raises_and_loses_no_row(database, models, monkeypatch):
  before = rows(database.directory)
  for i in range(60):
    write_box(models / "more" / f"{i}.stl", 1, 3, 2 + i)

  def limit(connection):
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")

  read_models = catalogue.read_models
  monkeypatch.setattr(
    catalogue,
    "read_models",
    lambda connection: limit(connection) or read_models(connection),
  )
  with pytest.raises(DatabaseError, match="on a disk that is full: make space"):
    database.update(models, reader=HERE)
  monkeypatch.undo()
  found, _ = rows(database.directory)
  assert set(before[0]) <= set(found)
  report = open_database(database.directory).update(models, reader=HERE)
  assert report.new + len(found) == 65


def test_hash_of_geometry_does_not_depend_on_order():
  rng = np.random.default_rng(0)
  vertices, faces = rng.normal(size=(30, 3)), rng.integers(30, size=(50, 3))
  same = hash_geometry(vertices, faces)
  order = rng.permutation(30)
  place = np.argsort(order)
  turned = np.roll(place[faces][rng.permutation(50)], 1, axis=1)
  assert hash_geometry(vertices[order], turned) == same
  assert hash_geometry(vertices, faces[:, ::-1]) != same
  assert hash_geometry(vertices, faces[1:]) != same
  moved = vertices.copy()
  moved[faces[0, 0], 1] = np.nextafter(np.float32(moved[faces[0, 0], 1]), 9)
  assert hash_geometry(moved, faces) != same
  swapped = faces.copy()
  swapped[[0, 1], 0] = swapped[[1, 0], 0]
  assert hash_geometry(vertices, swapped) != same


def test_unpacked_mesh_equals_the_packed_one_bit_by_bit(tmp_path):
  mesh = dr3d.load_mesh(write_box(tmp_path / "a.stl", 1, 2, 3))
  again = unpack_mesh(pack_mesh(mesh))
  for name in ("vertices", "faces", "normals", "frame", "moments", "extent"):
    np.testing.assert_array_equal(getattr(again, name), getattr(mesh, name))
  assert again.radius == mesh.radius
  for data in (b"", b"x", pack_mesh(mesh)[:-9]):
    with pytest.raises(ValueError, match="not a packed mesh"):
      unpack_mesh(data)


def test_thumbnail_shows_the_model_on_a_transparent_background(tmp_path):
  from io import BytesIO

  from PIL import Image

  processed = read_processed_model(
    write_box(tmp_path / "a.stl", 1, 2, 3), face_budget=100
  )
  alpha = np.asarray(Image.open(BytesIO(processed.thumbnail)))[..., 3]
  assert alpha.shape == (96, 96)
  assert not alpha[[0, -1]].any()
  assert 0.2 < (alpha > 0).mean() < 0.8


# The command.


@pytest.fixture
def command(tmp_path, models, monkeypatch, capsys):
  """Runs a verb on a database of a tiny pipeline."""
  # A slow machine must not add lines of progress to what is compared.
  monkeypatch.setattr(progress, "LINE_SECONDS", 3_600.0)
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  load = Pipeline.load
  monkeypatch.setattr(dr3d.Pipeline, "load", staticmethod(load))
  Database.create(tmp_path / "db", Pipeline())

  def run(verb, *argv):
    status = cli.main([verb, f"--db={tmp_path / 'db'}", *map(str, argv)])
    out, err = capsys.readouterr()
    return status, out, err

  return run


def test_commands_index_add_inspect_remove_and_rebuild(
  command, models, tmp_path
):
  (models / "bad.stl").write_text("nothing")
  status, out, err = command("index", f"--models={models}", "--jobs=0")
  assert status == 0
  assert "5 models to search; 5 new" in out
  assert "failed: bad.stl is not an STL" in err
  extra = write_box(tmp_path / "extra.stl", 3, 1, 30)
  status, out, _ = command(
    "add", extra, "--label=bar", "--set=maker=acme,no=7", "--jobs=0"
  )
  assert (status, "6 models to search; 1 new" in out) == (0, True)
  status, out, _ = command("info", "--json")
  info = json.loads(out)
  assert status == 0
  assert {
    key: info[key]
    for key in ("indexed", "failed", "missing", "outdated", "recall", "vectors")
  } == {
    "indexed": 6, "failed": 1, "missing": 0, "outdated": 0, "recall": 1.0,
    "vectors": 18,
  }  # fmt: skip
  (failure,) = info["failures"]
  assert failure["model"] == "bad.stl"
  assert failure["reason"].startswith("bad.stl is not an STL file")
  status, out, _ = command("remove", extra, "kind0/2.stl")
  assert (status, out.endswith("2 removed, 4 models to search.\n")) == (0, True)
  status, _, err = command("remove", "kind0/2.stl")
  assert (status, "has no model 'kind0/2.stl'" in err) == (1, True)
  status, out, _ = command("rebuild")
  assert (status, "4 models to search, 0 embedded" in out) == (0, True)
  status, out, _ = command("info")
  assert "bad.stl is not an STL file" in out
  status, _, err = command("add", extra, "--set=maker")
  assert (status, "--set takes key=value, not 'maker'" in err) == (2, True)


def test_query_command_filters_and_prints_all_formats(
  command, models, tmp_path, monkeypatch
):
  command("index", f"--models={models}", "--jobs=0")
  part = write_box(tmp_path / "part.stl", 2, 4, 8)
  command("add", part, "--label=x", "--set=no=7", "--jobs=0")
  asked = write_box(tmp_path / "asked.stl", 1, 2, 4)
  status, out, err = command("query", asked, "--json", "--k=2")
  (entry,) = json.loads(out)
  assert (status, err) == (0, "")
  first = {match["model"]: match for match in entry["matches"]}
  assert {m["distance"] < 1e-3 for m in entry["matches"]} == {True}
  assert first[str(part)]["scale"] == pytest.approx(2)
  assert first["kind0/2.stl"]["scale"] == pytest.approx(1)
  assert first["kind0/2.stl"]["extent"] == pytest.approx([4, 2, 1])
  assert first["kind0/2.stl"]["mirrored"] is False
  _, out, _ = command("query", asked, "--k=2")
  assert "same shape, 2 times its size" in out
  _, out, _ = command("query", asked, "--size=match", "--csv")
  rows = list(csv.DictReader(io.StringIO(out)))
  assert [row["model"] for row in rows] == ["kind0/2.stl"]
  assert (rows[0]["length"], rows[0]["error"]) == ("4.0", "")
  _, out, _ = command(
    "query", asked, "--size=match", "--tolerance=.1", "--unit=inch"
  )
  assert "no model has this size" in out
  assert "size 25.4 x 50.8 x 101.6 mm as drawn (unit inch, given)" in out
  assert f"{part}" in out
  assert "its size" in out
  for flag in ("--label=x", "--where=no=7"):
    _, out, _ = command("query", asked, flag, "--json")
    (entry,) = json.loads(out)
    assert [m["model"] for m in entry["matches"]] == [str(part)]
  status, out, err = command("query", tmp_path / "no.stl", "--csv")
  assert (status, "no.stl does not exist" in err) == (1, True)
  assert next(csv.DictReader(io.StringIO(out)))["error"]
  for flag in ("--label=y", "--where=no=8"):
    status, _, err = command("query", asked, flag)
    assert (status, "no indexed model has" in err) == (1, True)
  for flag in (
    *("--where=no", "--tolerance=3", "--tolerance=.1", "--refine=0", "--csv"),
  ):
    assert command("query", asked, flag, "--json")[0] == 2


@pytest.mark.parametrize("flag", ["--refine", "--refine=3"])
def test_refinement_orders_more_matches_than_are_shown(
  command, models, tmp_path, monkeypatch, flag
):
  calls = []

  def turn_round(mesh, matches, meshes, *, pipeline, size):
    calls.append((len(matches), sorted(meshes), size))
    assert mesh.radius > 0
    assert pipeline is None  # a stand-in has no views
    turned = zip(range(1, 99), matches[::-1], strict=False)
    return tuple(dataclasses.replace(m, rank=rank) for rank, m in turned)

  monkeypatch.setattr(refinement, "refine_matches", turn_round)
  command("index", f"--models={models}", "--jobs=0")
  asked = write_box(tmp_path / "asked.stl", 1, 2, 4)

  def names(*flags):
    _, out, _ = command("query", asked, "--csv", *flags)
    return [row["model"] for row in csv.DictReader(io.StringIO(out))]

  plain = names("--k=9")
  count = min(len(plain), 3 if "=" in flag else 20)
  assert names("--k=1", flag) == plain[count - 1 : count]
  assert names("--k=9", flag) == plain[:count][::-1] + plain[count:]
  assert calls == [(count, sorted(plain[:count]), "prefer")] * 2
  names("--size=match", flag)
  assert calls[2][2] == "match"


def test_duplicates_command_lists_groups_and_changes_nothing(
  command, models, tmp_path
):
  command("index", f"--models={models}", "--jobs=0")
  part = write_box(tmp_path / "part.stl", 1, 2, 4, unit=2.0)
  shutil.copy(part, tmp_path / "copy.stl")
  command("add", part, tmp_path / "copy.stl", "--jobs=0")
  before = rows(tmp_path / "db")
  page = tmp_path / "page.html"
  _, out, _ = command(
    "duplicates", "--weakest=scaled", f"--html={page}", "--json"
  )
  groups = json.loads(out)
  members = {g["relation"]: [m["model"] for m in g["members"]] for g in groups}
  copy = str(tmp_path / "copy.stl")
  assert members["identical"] == [copy, str(part)]
  assert members["scaled"] == [copy, "kind0/2.stl"]
  assert page.read_text().count("<img") == sum(
    len(g["members"]) for g in groups
  )
  _, out, _ = command("duplicates", "--weakest=identical")
  assert out.startswith("Identical: ")
  assert out.endswith("1 group, 2 of 7 models.\n")
  assert rows(tmp_path / "db") == before


def test_moved_database_of_meshes_answers_as_before(database, models, tmp_path):
  mesh = dr3d.load_mesh(models / "kind0/2.stl")
  before = database.query(mesh)
  shutil.move(tmp_path / "db", tmp_path / "moved")
  os.rename(models, tmp_path / "gone")
  moved = open_database(tmp_path / "moved")
  assert moved.query(mesh) == before
  assert moved.add([tmp_path / "gone/kind0/2.stl"], reader=HERE).new == 1
