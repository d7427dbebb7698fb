import dataclasses
import hashlib
import importlib.util
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from support.standin import StoredPipeline

from dr3d.database import (
  catalogue,
  index_builder,
  ingest,
  snapshot,
  sqlite_file,
)
from dr3d.database.ingest import Failure, Report
from dr3d.database.stored_vectors import StoredVectors
from dr3d.database.writer import Database
from dr3d.error import DatabaseError, Dr3dError, LabelError, MeshError
from dr3d.search import gallery
from dr3d.search.calibration import fit_calibration

VIEWS, SIZE = 3, 16


@dataclasses.dataclass
class Thing:
  """What stands for a mesh: a class and a seed."""

  kind: str
  seed: int
  radius: float = 2.5
  extent: tuple = (3.0, 2.0, 1.0)
  faces: tuple = (0,) * 12
  face_count: int = 1
  debris: int = 0
  box: None = None
  smallest_box: None = None


def load(path):
  kind, seed = path.read_text().split()
  if kind == "broken":
    raise MeshError(f"{path} is truncated: export it again.")
  return Thing(kind, int(seed))


def draw(*seed):
  digest = hashlib.sha256(repr(seed).encode()).digest()
  return np.random.default_rng(list(digest))


class Pipeline(StoredPipeline):
  """Vectors of a class stand together, those of a model closer still."""

  face_budget = 100

  def __init__(self, fingerprint="one"):
    super().__init__(fingerprint)
    self.batches = []

  def embed(self, meshes):
    self.batches.append(len(meshes))
    features = np.stack([self._features(mesh) for mesh in meshes])
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    return features.astype(np.float32)

  def _features(self, mesh):
    if mesh.kind == "spoiled":
      return np.full((VIEWS, SIZE), np.nan)
    model = draw(mesh.kind).normal(size=(1, SIZE))
    model = model + 0.3 * draw(mesh.kind, mesh.seed).normal(size=(1, SIZE))
    return model + 0.2 * draw(mesh.seed, "views").normal(size=(VIEWS, SIZE))


def put(root, name, content):
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(content)


def fill(root, count, kinds=7):
  for i in range(count):
    kind = f"kind{i % kinds}"
    put(root, f"{kind}/{i:03d}.stl", f"{kind} {i}")


def open_database(directory, **options):
  return Database.open(directory, load_pipeline=Pipeline.load, **options)


def rows(directory):
  """All rows but for the slot of the vectors."""
  with sqlite3.connect(directory / "catalogue.sqlite") as connection:
    connection.row_factory = sqlite3.Row
    found = map(dict, connection.execute("SELECT * FROM model ORDER BY name"))
    return [{**row, "slot": row["slot"] is not None} for row in found]


def states(database):
  return {model.name: model.state for model in database.models()}


@pytest.fixture
def models(tmp_path):
  root = tmp_path / "models"
  fill(root, 40)
  return root


@pytest.fixture
def database(tmp_path, models):
  made = Database.create(tmp_path / "db", Pipeline())
  made.update(models, load=load)
  return made


def test_indexed_model_is_found_by_its_mesh(database):
  assert database.pipeline.batches == [16, 16, 8]
  answer = database.query(Thing("kind3", 10), k=4)
  assert len(answer.matches) == 4
  best = answer.matches[0]
  assert (best.rank, best.model, best.label) == (1, "kind3/010.stl", "kind3")
  assert (best.score, best.votes) == (1.0, VIEWS)
  prediction = answer.prediction
  assert (prediction.label, prediction.confidence) == ("kind3", 1.0)
  assert prediction.probability > 0.95
  assert prediction.accepted


def test_reopened_database_gives_the_same_answer(database):
  again = open_database(database.directory)
  for seed in (3, 10, 99):
    thing = Thing("kind3", seed)
    assert again.query(thing) == database.query(thing)


def test_moved_database_gives_the_same_answer(database, tmp_path):
  before = database.query(Thing("kind3", 99))
  shutil.move(tmp_path / "db", tmp_path / "elsewhere")
  shutil.rmtree(tmp_path / "models")
  moved = open_database(tmp_path / "elsewhere")
  assert moved.query(Thing("kind3", 99)) == before


def test_excluded_model_is_not_in_the_answer(database):
  answer = database.query(Thing("kind3", 10), exclude=["kind3/010.stl"])
  assert "kind3/010.stl" not in {match.model for match in answer.matches}
  assert answer.prediction.label == "kind3"


def test_row_holds_label_hash_size_and_fingerprint(database, models):
  model = database.models()[0]
  assert (model.name, model.label, model.state) == (
    "kind0/000.stl",
    "kind0",
    "indexed",
  )
  assert model.hash == hashlib.sha256(b"kind0 0").hexdigest()
  assert (model.radius, model.extent) == (2.5, (3.0, 2.0, 1.0))
  assert (model.face_count, model.fingerprint) == (12, "one")


def test_second_update_reads_no_file(database, models):
  before = rows(database.directory)
  again = open_database(database.directory)
  assert again.update(models, load=pytest.fail) == Report(0, 0, 40, 0, ())
  assert rows(database.directory) == before


def test_only_new_and_changed_files_are_embedded(database, models):
  put(models, "kind0/000.stl", "kind0 555")
  put(models, "new/1.stl", "new 1")
  (models / "kind1/001.stl").touch()
  loaded = []

  def spy(path):
    loaded.append(path.name)
    return load(path)

  before = database.query(Thing("new", 1))
  report = database.update(models, load=spy)
  assert report == Report(
    new=1, changed=1, unchanged=39, missing=0, failures=()
  )
  assert loaded == ["000.stl", "1.stl"]
  assert before.matches[0].model != "new/1.stl"
  assert database.query(Thing("new", 1)).matches[0].model == "new/1.stl"
  answer = database.query(Thing("kind0", 555))
  assert answer.matches[0].model == "kind0/000.stl"


def test_missing_model_is_not_found_until_its_file_is_back(database, models):
  answer = database.query(Thing("kind3", 10))
  (models / "kind3/010.stl").rename(models / "kind3/010.away")
  assert database.update(models, load=load).missing == 1
  assert states(database)["kind3/010.stl"] == "missing"
  names = {m.model for m in database.query(Thing("kind3", 10), k=50).matches}
  assert len(names) == 39
  assert "kind3/010.stl" not in names
  assert database.update(models, load=load).missing == 0
  (models / "kind3/010.away").rename(models / "kind3/010.stl")
  report = database.update(models, load=pytest.fail)
  assert (report.new, report.unchanged) == (1, 39)
  assert database.query(Thing("kind3", 10)) == answer


def test_missing_model_that_comes_back_changed_is_embedded_again(
  database, models
):
  (models / "kind3/010.stl").unlink()
  database.update(models, load=load)
  put(models, "kind3/010.stl", "kind3 777")
  assert database.update(models, load=load).new == 1
  answer = database.query(Thing("kind3", 777))
  assert answer.matches[0].model == "kind3/010.stl"


def test_new_label_is_written_without_embedding(database, models, tmp_path):
  labels = tmp_path / "labels.csv"
  labels.write_text("file,class\nkind3/010.stl,special\n")
  report = database.update(models, labels=labels, load=pytest.fail)
  assert report == Report(
    new=0, changed=40, unchanged=0, missing=0, failures=()
  )
  answer = database.query(Thing("kind3", 10))
  assert answer.prediction.label == "special"
  assert {m.label for m in answer.matches} == {"special", ""}


def test_failures_keep_their_reason_and_are_tried_again(database, models):
  put(models, "kind0/000.stl", "broken 0")
  put(models, "odd/nan.stl", "spoiled 1")
  (models / "odd/link.stl").symlink_to("nowhere")
  report = database.update(models, load=load)
  assert [f.model for f in report.failures] == [
    "kind0/000.stl",
    "odd/link.stl",
    "odd/nan.stl",
  ]
  reasons = {f.model: f.reason for f in report.failures}
  assert reasons["kind0/000.stl"] == (
    "kind0/000.stl is truncated: export it again."
  )
  assert reasons["odd/link.stl"] == (
    "odd/link.stl cannot be read (No such file or directory)."
  )
  assert reasons["odd/nan.stl"].startswith(
    "odd/nan.stl gives no usable vectors (vectors must be finite"
  )
  assert {m.name: m.reason for m in database.models() if m.reason} == reasons
  # What it was before is not searched any longer.
  assert len(database.query(Thing("kind0", 0), k=99).matches) == 39
  put(models, "kind0/000.stl", "kind0 0")
  put(models, "odd/nan.stl", "odd 1")
  report = database.update(models, load=load)
  assert (report.new, report.unchanged) == (2, 39)
  assert [f.model for f in report.failures] == ["odd/link.stl"]
  (models / "odd/link.stl").unlink()
  assert database.update(models, load=load).missing == 1
  (model,) = [m for m in database.models() if m.state != "indexed"]
  assert (model.name, model.state, model.reason) == (
    "odd/link.stl",
    "missing",
    "",
  )


def test_rows_of_another_fingerprint_are_embedded_again(database, models):
  before = rows(database.directory)
  with catalogue.open_catalogue(database.directory) as connection:
    catalogue.update_models(
      connection,
      [
        dataclasses.replace(model, fingerprint="old")
        for model in catalogue.read_models(connection)[:5]
      ],
    )
  assert database.update(models, load=load) == Report(0, 5, 35, 0, ())
  assert rows(database.directory) == before


def test_folder_of_failures_is_indexed_but_query_raises(tmp_path):
  put(tmp_path / "models", "a.stl", "broken 0")
  database = Database.create(tmp_path / "db", Pipeline())
  report = database.update(tmp_path / "models", load=load)
  assert report.failures == (
    Failure("a.stl", "a.stl is truncated: export it again."),
  )
  with pytest.raises(DatabaseError, match="db holds no indexed model: index"):
    database.query(Thing("kind0", 0))


def test_invalid_folder_or_table_changes_nothing(database, models, tmp_path):
  before = rows(database.directory)
  (tmp_path / "empty").mkdir()
  for folder, labels, kind in (
    (tmp_path / "empty", None, Dr3dError),
    (tmp_path / "nowhere", None, Dr3dError),
    (models, tmp_path / "no.csv", LabelError),
  ):
    with pytest.raises(kind):
      database.update(folder, labels=labels, load=load)
  assert rows(database.directory) == before


def test_progress_is_reported_after_each_file(database, models):
  put(models, "kind0/000.stl", "broken 0")
  calls = []
  database.update(
    models, load=load, progress=lambda *numbers: calls.append(numbers)
  )
  assert calls == [(i, 40, 1) for i in range(1, 41)]


def test_unusual_names_are_stored_and_found(tmp_path):
  names = ["a\nb.stl", "螺丝/ø ü.stl", "x'; DROP TABLE model;--.stl"]
  for seed, name in enumerate(names):
    put(tmp_path / "models", name, f"odd {seed}")
  raw = os.fsencode(tmp_path / "models") + b"/caf\xe9.stl"
  pathlib.Path(os.fsdecode(raw)).write_text("broken 0")
  database = Database.create(tmp_path / "db ?#%41", Pipeline())
  report = database.update(tmp_path / "models", load=load)
  assert report.new == 3
  (failure,) = report.failures
  assert failure.reason == "caf\\xe9.stl is truncated: export it again."
  again = open_database(tmp_path / "db ?#%41")
  for seed, name in enumerate(names):
    assert again.query(Thing("odd", seed), k=1).matches[0].model == name


def test_rows_do_not_depend_on_the_batch_size(database, models, monkeypatch):
  monkeypatch.setattr(ingest, "_BATCH_SIZE", 3)
  monkeypatch.setattr(ingest, "_MAX_WAITING", 5)
  other = Database.create(database.directory.with_name("other"), Pipeline())
  other.update(models, load=load)
  assert other.pipeline.batches == [3] * 13 + [1]
  assert rows(other.directory) == rows(database.directory)


def test_pipeline_with_wrong_shape_of_vectors_raises(models, tmp_path):
  pipeline = Pipeline()
  pipeline.embed = lambda meshes: np.ones((3, 4))
  database = Database.create(tmp_path / "db", pipeline)
  with pytest.raises(ValueError, match=r"\[16, N, D\] vectors, got shape"):
    database.update(models, load=load)


def test_meshes_have_the_face_budget_of_the_pipeline(tmp_path):
  (tmp_path / "models").mkdir()
  phi = np.linspace(0, 2 * np.pi, 200, endpoint=False)
  ring = np.stack([np.cos(phi), np.sin(phi), 0 * phi], axis=1)
  vertices = np.concatenate([ring, [[0, 0, 1], [0, 0, -1]]])
  faces = [[i, (i + 1) % 200, 200] for i in range(200)]
  faces += [[(i + 1) % 200, i, 201] for i in range(200)]
  (tmp_path / "models" / "cone.off").write_text(
    f"OFF\n{len(vertices)} {len(faces)} 0\n"
    + "".join(f"{x} {y} {z}\n" for x, y, z in vertices)
    + "".join(f"3 {a} {b} {c}\n" for a, b, c in faces)
  )
  (tmp_path / "models" / "empty.off").touch()
  pipeline = Pipeline()
  pipeline._features = lambda mesh: np.ones((VIEWS, SIZE))
  database = Database.create(tmp_path / "db", pipeline)
  report = database.update(tmp_path / "models")
  assert [f.model for f in report.failures] == ["empty.off"]
  cone = database.models()[0]
  assert cone.face_count <= 100
  assert cone.radius == pytest.approx(1)
  assert cone.extent == pytest.approx((2, 2, 2), abs=1e-3)


def test_read_only_database_can_be_searched(database, monkeypatch):
  before = database.query(Thing("kind3", 99))
  monkeypatch.setattr(sqlite_file.os, "access", lambda path, mode: False)
  files = set(database.directory.iterdir())
  with catalogue.open_catalogue(database.directory) as connection:
    assert set(database.directory.iterdir()) == files
    with pytest.raises(sqlite3.OperationalError, match="readonly database"):
      catalogue.write_setting(connection, "models", "here")
  assert open_database(database.directory).query(Thing("kind3", 99)) == before


# Creation and opening.


def test_create_opens_a_database_and_completes_a_half_made_one(tmp_path):
  directory = tmp_path / "deep" / "db"
  with pytest.raises(DatabaseError, match="no database yet: name the pipeline"):
    Database.create(directory)
  Database.create(directory, Pipeline())
  (directory / "catalogue.sqlite").unlink()  # killed before the last step
  with pytest.raises(DatabaseError, match="holds no dr3d database"):
    open_database(directory)
  Database.create(directory, Pipeline("two"))
  (directory / "catalogue.sqlite").unlink()
  (directory / "catalogue.sqlite").touch()
  with pytest.raises(DatabaseError, match="unfinished: run the command"):
    open_database(directory)
  Database.create(directory, Pipeline("three"))
  assert open_database(directory).pipeline.fingerprint == "three"
  assert (
    Database.create(directory, load_pipeline=Pipeline.load).fingerprint
    == "three"
  )


def test_other_pipeline_raises(database):
  with pytest.raises(DatabaseError, match="another pipeline, whose vectors do"):
    Database.create(database.directory, Pipeline("two"))
  (database.directory / "pipeline" / "name").write_text("two")
  with pytest.raises(DatabaseError, match="not the pipeline that made the"):
    open_database(database.directory).query(Thing("kind0", 0))


def test_folder_with_other_files_raises_and_is_unchanged(tmp_path):
  (tmp_path / "pipeline").mkdir()
  (tmp_path / "pipeline" / "weights").touch()
  with pytest.raises(DatabaseError, match="holds other files but no database"):
    Database.create(tmp_path, Pipeline())
  assert (tmp_path / "pipeline" / "weights").exists()
  with pytest.raises(DatabaseError, match=r"cannot be written \(Not a dir"):
    Database.create(tmp_path / "pipeline" / "weights" / "db", Pipeline())


def test_unsaved_pipeline_leaves_no_database(tmp_path):
  pipeline = Pipeline()

  def fail(directory):
    directory.mkdir()
    raise OSError(28, "No space left on device")

  pipeline.save = fail
  with pytest.raises(DatabaseError, match=r"cannot be written \(No space left"):
    Database.create(tmp_path / "db", pipeline)
  with pytest.raises(DatabaseError, match="holds no dr3d database"):
    open_database(tmp_path / "db")
  Database.create(tmp_path / "db", Pipeline())


def test_directory_without_database_raises_with_its_name(tmp_path):
  for directory in (tmp_path, tmp_path / "nowhere"):
    with pytest.raises(DatabaseError, match=f"^{directory} holds no dr3d data"):
      open_database(directory)
  assert list(tmp_path.iterdir()) == []


def test_newer_format_raises(database):
  with sqlite3.connect(database.directory / "catalogue.sqlite") as connection:
    connection.execute("PRAGMA user_version = 5")
  with pytest.raises(DatabaseError, match=r"newer dr3d \(format 5, this one"):
    open_database(database.directory)


def test_catalogue_of_another_program_raises(tmp_path):
  with sqlite3.connect(tmp_path / "catalogue.sqlite") as connection:
    connection.execute("CREATE TABLE other (x)")
  with pytest.raises(DatabaseError, match="is not a catalogue of dr3d"):
    open_database(tmp_path)
  with pytest.raises(DatabaseError, match="is not a catalogue of dr3d"):
    Database.create(tmp_path, Pipeline())


def damage_head(content):
  return b"garbage " * 20 + content[160:]


def damage_middle(content):
  return content[:8192] + b"\x5a" * (len(content) - 8192)


def damage_end(content):
  return content[: len(content) // 2]


def damage_text(content):
  return b"file,class\n" * 500


@pytest.mark.parametrize(
  "damage", [damage_head, damage_middle, damage_end, damage_text]
)
def test_damaged_catalogue_raises(database, damage):
  path = database.directory / "catalogue.sqlite"
  path.write_bytes(damage(path.read_bytes()))

  def use():
    opened = open_database(database.directory)
    opened.query(Thing("kind0", 0))

  with pytest.raises(DatabaseError, match=r"is damaged \(.*restore it from a"):
    use()


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda content: None, "cannot be read .No such file"),
    (lambda content: content[:-4], "cannot be read .it is too short"),
    (lambda content: b"", "cannot be read .it is too short"),
    (
      lambda content: content[:300] + b"\0" + content[301:],
      "is damaged: the vectors of 'kind0/007.stl' are not what was written",
    ),
  ],
)
def test_damaged_vectors_raise_with_the_model(database, damage, message):
  path = database.directory / "vectors-0.f32"
  content = damage(path.read_bytes())
  path.unlink()
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(DatabaseError, match=rf"vectors-0\.f32 {message}"):
    open_database(database.directory).query(Thing("kind0", 0))
  with pytest.raises(DatabaseError, match=rf"vectors-0\.f32 {message}"):
    open_database(database.directory).rebuild()


def test_row_with_missing_slot_raises(database):
  with sqlite3.connect(database.directory / "catalogue.sqlite") as connection:
    connection.execute("UPDATE model SET slot = 40 WHERE rowid = 9")
  with pytest.raises(DatabaseError, match="is damaged: it has no vectors of"):
    open_database(database.directory).query(Thing("kind0", 0))


# The derived index.


@pytest.fixture
def large(tmp_path):
  """400 models, 1200 vectors: enough for ScaNN to be what answers."""
  pytest.importorskip("scann")
  fill(tmp_path / "models", 400, kinds=25)
  made = Database.create(tmp_path / "db", Pipeline(), exact_below=100)
  made.update(tmp_path / "models", load=load)
  return made


def index_of(database):
  return list(database.directory.glob("index-*"))


def test_stored_index_is_used(large):
  assert len(index_of(large)) == 1
  again = open_database(large.directory, exact_below=100)
  exact = open_database(large.directory, exact_below=10_000)
  assert again.gallery.index.engine == "scann"
  assert exact.gallery.index.engine == "exact"
  same = [
    again.query(Thing(f"kind{i % 25}", i))
    == exact.query(Thing(f"kind{i % 25}", i))
    for i in range(0, 60)
  ]
  assert np.mean(same) > 0.9


@pytest.mark.parametrize("harm", ["delete", "damage", "swap"])
def test_damaged_index_is_replaced_by_exact_search_until_an_update(large, harm):
  (path,) = index_of(large)
  if harm == "delete":
    shutil.rmtree(path)
  elif harm == "damage":
    (path / "hashed_dataset.npy").write_bytes(b"nothing")
  else:
    path.rename(path.with_name("index-0123456789abcdef"))
  again = open_database(large.directory, exact_below=100)
  answer = again.query(Thing("kind3", 3))
  assert again.gallery.index.engine == "exact"
  assert answer.matches[0].model == "kind3/003.stl"
  again.update(large.directory.with_name("models"), load=pytest.fail)
  assert again.gallery.index.engine == "scann"
  assert [p.name for p in index_of(large)] == [path.name]
  mended = open_database(large.directory, exact_below=100)
  assert mended.gallery.index.engine == "scann"


def test_index_is_built_again_only_after_many_changes(large):
  (old,) = index_of(large)
  models = large.directory.with_name("models")
  for count, kept in ((1, True), (60, False)):
    for i in range(count):
      put(models, f"new/{count}-{i}.stl", f"new {count + i}")
    (models / "kind3" / f"{3 + 25 * (count % 7):03d}.stl").unlink()
    large.update(models, load=load)
    (new,) = index_of(large)
    assert (new == old) is kept
    for opened in (large, open_database(large.directory, exact_below=100)):
      assert opened.gallery.index.engine == "scann"
      best = opened.query(Thing("new", count)).matches[0]
      assert best.model == f"new/{count}-0.stl"
      answer = opened.query(Thing("kind3", 3), k=400)
      names = {match.model for match in answer.matches}
      assert names <= {
        model.name for model in opened.models() if model.state == "indexed"
      }


def test_index_of_low_recall_is_built_again(large, monkeypatch):
  (old,) = index_of(large)
  put(large.directory.with_name("models"), "new/1.stl", "new 1")
  monkeypatch.setattr(
    "dr3d.database.snapshot.measure_recall", lambda *given, **options: 0.9
  )
  large.update(large.directory.with_name("models"), load=load)
  (new,) = index_of(large)
  assert new != old


def test_large_database_reads_vectors_on_demand(large, monkeypatch):
  monkeypatch.setattr("dr3d.database.snapshot._STREAMED_FROM", 300)
  monkeypatch.setattr("dr3d.search.candidate._DIRECT", 0)
  monkeypatch.setattr("dr3d.index.model_index.MIN_MODELS", 40)
  monkeypatch.setattr("dr3d.index.model_index._MODELS_PER_MATCH", 1)
  again = open_database(large.directory, exact_below=100)
  assert isinstance(again.gallery.features, StoredVectors)
  assert again.gallery.calibrations
  again.query(Thing("kind3", 3))
  assert 20 < again.gallery.features._is_checked.sum() < 100
  same = [
    again.query(Thing(f"kind{i % 25}", i))
    == large.query(Thing(f"kind{i % 25}", i))
    for i in range(40)
  ]
  assert np.mean(same) > 0.9
  assert again.inspect()["recall"] > 0.9


def test_large_index_is_built_by_another_process(large, monkeypatch):
  models = large.directory.with_name("models")
  monkeypatch.setattr("dr3d.database.snapshot._BACKGROUND_FROM", 100)
  (old,) = index_of(large)
  gone = [model.name for model in large.models()][:80]
  large.remove(gone)  # a fifth, so the index is built again
  assert large.gallery.index.engine == "scann"
  assert large.query(Thing("kind9", 9)).matches
  deadline = time.monotonic() + 60
  while index_of(large) in ([old], []) and time.monotonic() < deadline:
    time.sleep(0.1)
  time.sleep(0.1)
  again = open_database(large.directory, exact_below=100)
  assert index_of(large) != [old]
  assert again.gallery.index.index.drift == 0
  assert models.exists()


def test_index_is_not_stored_if_vectors_were_moved_meanwhile(
  large, monkeypatch
):
  gone = [model.name for model in large.models()][:80]
  monkeypatch.setattr(
    "dr3d.database.base_writer.keep_index", lambda s, *_, **__: s
  )
  large.remove(gone)
  build = snapshot.build

  def build_slowly(state, engine):
    index = build(state, engine)
    large.remove([large.models()[0].name], purge=True)
    return index

  monkeypatch.setattr(snapshot, "build", build_slowly)
  assert not index_builder.build(large.directory, exact_below=100)
  assert not index_of(large)
  monkeypatch.setattr(snapshot, "build", build)
  assert index_builder.build(large.directory, exact_below=100)
  assert not index_builder.build(large.directory, exact_below=100)  # is good
  with sqlite_file.writer_lock(large.directory, name="index.lock"):
    assert not index_builder.start(large.directory, exact_below=100)


# One writer, many readers, and kills.


def test_second_writer_raises_and_says_to_wait(database, models):
  again = open_database(database.directory)
  with sqlite_file.writer_lock(database.directory):
    with pytest.raises(DatabaseError, match="written by another process: wait"):
      again.update(models, load=load)
    process = run(database.directory, models)
    assert "written by another process: wait" in process.communicate()[0]
    assert again.query(Thing("kind0", 0)).prediction.label == "kind0"
  assert again.update(models, load=load).unchanged == 40


def test_readers_continue_while_models_are_written(tmp_path, models):
  database = Database.create(tmp_path / "db", Pipeline())
  seen = []

  def look(path):
    reader = open_database(tmp_path / "db")
    count = sum(state == "indexed" for state in states(reader).values())
    if count:
      answer = reader.query(load(path), k=99)
      assert len(answer.matches) == count
    seen.append(count)
    return load(path)

  database.update(models, load=look)
  assert seen == [0] * 16 + [16] * 16 + [32] * 8


def test_open_database_answers_from_its_state_until_refreshed(database, models):
  reader = open_database(database.directory)
  before = reader.query(Thing("new", 1))
  put(models, "new/1.stl", "new 1")
  database.update(models, load=load)
  assert reader.query(Thing("new", 1)) == before
  reader.refresh()
  assert reader.query(Thing("new", 1)) == database.query(Thing("new", 1))


def test_calibration_is_fitted_by_writers(database, models, monkeypatch):
  count = 0

  def measure(*args, **options):
    nonlocal count
    count += 1
    return fit_calibration(*args, **options)

  monkeypatch.setattr(gallery, "fit_calibration", measure)

  def ask():
    return open_database(database.directory).query(Thing("kind3", 99))

  before = ask()
  database.update(models, load=load)  # changes nothing
  assert count == 0
  database.label("kind1/001.stl", "kind2")
  assert count == 1
  database.remove(["kind1/001.stl"])
  assert count == 2
  database.update(models, load=load)
  assert count == 3
  assert ask() == before
  assert count == 3
  with sqlite3.connect(database.directory / "catalogue.sqlite") as connection:
    connection.execute("DELETE FROM setting WHERE name = 'calibration'")
  assert ask() == before  # a reader measures for itself
  assert count == 4


def test_inspection_agrees_with_queries_of_own_models(database):
  answers = {
    model.name: database.query(
      Thing(model.label, int(model.name[-7:-4])), exclude=[model.name]
    ).prediction
    for model in database.models()
  }
  label = {model.name: model.label for model in database.models()}
  info = database.inspect()
  right = [one.label == label[name] for name, one in answers.items()]
  assert info["vote"] == round(np.mean(right), 3)
  accepted = [one.accepted for one in answers.values()]
  assert info["accepted"] == round(np.mean(accepted), 3)


@pytest.mark.parametrize("moment", [0, 1, 15, 16, 17, 31, 39])
def test_interrupted_update_is_completed_by_the_next(
  database, models, tmp_path, moment
):
  other = Database.create(tmp_path / "other", Pipeline())
  calls = []

  def break_off(path):
    calls.append(path)
    if len(calls) > moment:
      raise KeyboardInterrupt
    return load(path)

  with pytest.raises(KeyboardInterrupt):
    other.update(models, load=break_off)
  stored = moment // 16 * 16
  assert len(rows(tmp_path / "other")) == stored
  report = other.update(models, load=load)
  assert (report.new, report.unchanged) == (40 - stored, stored)
  assert rows(tmp_path / "other") == rows(tmp_path / "db")


def run(directory, models):
  """Starts what `main` below does in a process of its own."""
  return subprocess.Popen(
    [sys.executable, __file__, str(directory), str(models)],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  )


def main(directory, models):
  pipeline = Pipeline()

  def save_slowly(target):
    print("save", flush=True)
    time.sleep(0.1)
    Pipeline.save(pipeline, target)

  def load_slowly(path):
    time.sleep(0.002)
    return load(path)

  pipeline.save = save_slowly
  try:
    database = Database.create(directory, pipeline, exact_below=100)
    database.update(
      models,
      load=load_slowly,
      progress=lambda done, files, failed: print("file", done, flush=True),
    )
  except DatabaseError as error:
    sys.exit(str(error))
  print("done", flush=True)


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_killed_update_loses_and_doubles_no_row(tmp_path):
  models, directory = tmp_path / "models", tmp_path / "db"
  fill(models, 200)
  put(models, "bad/one.stl", "broken 1")
  chance = random.Random(0)
  found = []
  for lines in (1, 2, 5, 30, 70, 1, 90):  # killed a little after so many
    process = run(directory, models)
    for _ in range(lines):
      process.stdout.readline()
    time.sleep(chance.uniform(0, 0.06))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if (directory / "catalogue.sqlite").exists():
      found.append(len(rows(directory)))
    if found and found[-1]:
      reader = open_database(directory, exact_below=100)
      assert len(reader.query(Thing("kind0", 0), k=999).matches) in (
        found[-1],
        found[-1] - 1,  # the broken one
      )
  assert found == sorted(found)
  assert 0 < found[-1] < 201
  process = run(directory, models)
  assert process.communicate()[0].endswith("done\n")
  whole = Database.create(tmp_path / "whole", Pipeline(), exact_below=100)
  report = whole.update(models, load=load)
  assert (report.new, len(report.failures)) == (200, 1)
  assert rows(directory) == rows(tmp_path / "whole")
  again = open_database(directory, exact_below=100)
  for seed in range(0, 200, 20):
    thing = Thing(f"kind{seed % 7}", seed)
    assert again.query(thing) == whole.query(thing)
  if importlib.util.find_spec("scann"):
    assert again.gallery.index.engine == "scann"
  assert {path.name.split("-")[0] for path in directory.iterdir()} == {
    path.name.split("-")[0] for path in whole.directory.iterdir()
  }


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
