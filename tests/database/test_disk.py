"""Disks that are full or fail: nothing is lost, and nothing comes back."""

import contextlib
import errno
import functools
import os
import pathlib
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
import trimesh
from support.upkeep import Pipeline

import dr3d
from dr3d.data.folder import ModelFile
from dr3d.database import (
  backup,
  catalogue,
  check,
  migration,
  reserve,
  sqlite_file,
)
from dr3d.database.file_reader import FileReader
from dr3d.database.processed_model import read_processed_model
from dr3d.database.writer import Database
from dr3d.error import DatabaseError

HERE = FileReader(jobs=0)


def open_database(directory):
  return Database.open(directory, load_pipeline=Pipeline.load)


def write_box(path, *sides):
  path.parent.mkdir(parents=True, exist_ok=True)
  trimesh.creation.box(sides).export(path)
  return path


def store(database, path, name):
  processed = read_processed_model(path, face_budget=200)
  return database.store_file(ModelFile(path, name, "box"), processed=processed)


def names(directory):
  return {model.name for model in open_database(directory).models()}


@pytest.fixture
def database(tmp_path):
  for i in range(3):
    write_box(tmp_path / f"models/kind/{i}.stl", 1, 2, 2 + i)
  made = Database.create(
    tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load
  )
  made.update(tmp_path / "models", reader=HERE)
  return made


@pytest.fixture
def upload(tmp_path):
  return write_box(tmp_path / "up.stl", 1, 3, 9)


FLUSHES = 6  # of a store: file, note and vectors, and the folders of these


def count_flushes(monkeypatch, *, failing=0, code=errno.EIO):
  """Lets a flush fail; returns a list that grows with each of them."""
  flush, calls = os.fsync, []

  def fail(descriptor):
    calls.append(descriptor)
    if len(calls) == failing:
      raise OSError(code, os.strerror(code))
    flush(descriptor)

  monkeypatch.setattr(os, "fsync", fail)
  return calls


@pytest.mark.parametrize("call", range(1, FLUSHES + 1))
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_failed_flush_accepts_nothing(
  database, upload, monkeypatch, call, code
):
  """Whichever flush fails, the model is refused and never appears."""
  calls = count_flushes(monkeypatch, failing=call, code=code)
  with pytest.raises(DatabaseError, match=os.strerror(code)):
    store(database, upload, "up.stl")
  assert len(calls) >= call
  monkeypatch.undo()
  again = open_database(database.directory)
  assert again.recover(reader=HERE) == 0
  assert "up.stl" not in names(database.directory)
  assert list((database.directory / "files").glob("*.stl")) == []
  assert store(again, upload, "up.stl").new == 1


def test_store_flushes_as_often_as_the_test_before_says(
  database, upload, monkeypatch
):
  calls = count_flushes(monkeypatch)
  store(database, upload, "up.stl")
  assert len(calls) == FLUSHES


def test_error_after_acceptance_withdraws_the_model(
  database, upload, monkeypatch
):
  def fail(*args):
    raise sqlite3.OperationalError("disk I/O error")

  monkeypatch.setattr(catalogue, "insert_model", fail)
  with pytest.raises(DatabaseError, match="cannot be used"):
    store(database, upload, "up.stl")
  monkeypatch.undo()
  again = open_database(database.directory)
  assert again.recover(reader=HERE) == 0
  assert "up.stl" not in names(database.directory)
  assert list((database.directory / "files").iterdir()) == []


@pytest.mark.skipif(not pathlib.Path("/proc").exists(), reason="needs /proc")
def test_file_system_that_cannot_flush_is_accepted(
  database, upload, monkeypatch
):
  flush = os.fsync

  def fail(descriptor):
    if pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
      raise OSError(errno.EINVAL, "Invalid argument")
    flush(descriptor)

  monkeypatch.setattr(os, "fsync", fail)
  assert store(database, upload, "up.stl").new == 1


def test_deletion_spends_the_reserve_once(database, monkeypatch):
  delete, calls = catalogue.delete_models, []

  def fail_once(connection, doomed):
    calls.append(doomed)
    if len(calls) == 1:
      error = sqlite3.OperationalError("database or disk is full")
      error.sqlite_errorcode = sqlite3.SQLITE_FULL
      raise error
    delete(connection, doomed)

  assert (database.directory / reserve.FILE).stat().st_size == reserve.SIZE
  monkeypatch.setattr(catalogue, "delete_models", fail_once)
  database.remove(["kind/0.stl"])
  assert "kind/0.stl" not in names(database.directory)
  assert not (database.directory / reserve.FILE).exists()
  database.remove(["kind/1.stl"])  # the next change writes it again
  assert (database.directory / reserve.FILE).exists()


def test_removed_content_is_overwritten(database, tmp_path):
  shape = database.load_shapes(["kind/0.stl"])["kind/0.stl"]
  vectors = database.find_features("kind/0.stl").tobytes()

  def read_all():
    return b"".join(
      path.read_bytes()
      for path in database.directory.rglob("*")
      if path.is_file()
    )

  part = shape.thumbnail[100:200]
  assert part in read_all()
  database.remove(["kind/0.stl"])
  assert part not in read_all()
  assert vectors in read_all()  # until a rebuild, as `remove` says
  database.rebuild()
  assert vectors not in read_all()


def test_long_reader_does_not_hold_a_deletion_up(database):
  begin = time.monotonic()
  with (
    catalogue.open_catalogue(database.directory) as connection,
    sqlite_file.transaction(connection, kind="DEFERRED"),
  ):
    before = len(catalogue.read_models(connection))
    open_database(database.directory).remove(["kind/0.stl"])
    assert len(catalogue.read_models(connection)) == before
  assert time.monotonic() - begin < 10
  assert "kind/0.stl" not in names(database.directory)


def test_failure_to_store_what_is_derived_does_not_fail_the_upload(
  database, upload, monkeypatch, caplog
):
  def fail(*args, **options):
    raise DatabaseError("the disk is full.")

  monkeypatch.setattr("dr3d.database.base_writer.keep_calibration", fail)
  caplog.set_level("WARNING", logger="dr3d.database.base_writer")
  assert store(database, upload, "up.stl").new == 1
  assert "the disk is full" in caplog.text
  assert "up.stl" in names(database.directory)


def test_purge_overwrites_vectors_at_once(database):
  vectors = database.find_features("kind/0.stl").tobytes()
  database.remove(["kind/0.stl"], purge=True)
  for path in database.directory.rglob("*"):
    assert not path.is_file() or vectors not in path.read_bytes()
  assert database.count_states()["indexed"] == 2


MAX_BYTES = 30 << 20  # of the disk that is filled
STORED = pathlib.Path(__file__).parent / "stored" / "format-3.zip"


def run_with_mounts(mount, *arguments):
  """Runs this file where only it sees the mounts; returns what it prints."""
  command = shlex.join([sys.executable, __file__, *map(str, arguments)])
  process = subprocess.run(
    ["unshare", "-rm", "sh", "-c", f"{mount} && {command}"],
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  )
  if process.stderr.startswith(("mount:", "unshare:")):
    pytest.skip(process.stderr)
  assert process.stdout.endswith("done\n"), process.stderr
  return process.stdout


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs namespaces")
def test_disk_that_fills_up_keeps_what_was_stored(tmp_path):
  """A real disk of 30 megabytes, in a mount namespace of its own."""
  mount = tmp_path / "disk"
  mount.mkdir()
  output = run_with_mounts(
    f"mount -t tmpfs -o size={MAX_BYTES} none {mount}", "fill", mount, tmp_path
  )
  # What was refused, and why, for whoever runs this alone.
  print(output)


def fill(mount, root):
  """Fills a disk by models; then tries every command, and makes space."""
  database = Database.create(mount / "db", Pipeline())
  shutil.unpack_archive(STORED, mount / "former")
  upload = write_box(root / "big.stl", 1, 2, 3)
  stored = {}

  def grow(count):
    for i in range(count):
      name = f"m{len(stored)}.stl"
      path = write_box(root / "m.stl", 1, 2, 3 + len(stored) / 7)
      # Trailing bytes, which the reader skips, fill the disk fast.
      with path.open("ab") as file:
        file.write(os.urandom(300_000))
      processed = read_processed_model(upload, face_budget=200)
      file = ModelFile(path, name, "box")
      assert database.store_file(file, processed=processed).new == 1, i
      stored[name] = "box"

  def verify():
    again = open_database(mount / "db")
    assert {m.name: m.label for m in again.models()} == stored
    assert not again.recover(reader=HERE)
    mesh = read_processed_model(upload, face_budget=200).mesh
    assert len(again.query(mesh, k=999, verify=0).matches) == len(stored)
    return again

  grow(5)
  # As large as the database, which is larger than what will be free.
  backup.back_up(mount / "db", root / "early")
  with pytest.raises(DatabaseError, match=r"disk that is full|No space left"):
    grow(200)
  verify()
  with (
    contextlib.suppress(OSError),  # until not one block is left
    (mount / "last").open("wb", buffering=0) as file,
  ):
    while file.write(bytes(512)):
      pass
  before = {path for path in mount.rglob("*") if path.is_file()}
  add = functools.partial(database.add, [upload], reader=HERE)
  former = mount / "former" / "db"
  for name, command in {
    "add": add,
    "rebuild": lambda: open_database(mount / "db").rebuild(),
    "switch": lambda: open_database(mount / "db").rebuild(Pipeline("other")),
    "backup": lambda: backup.back_up(mount / "db", mount / "backup"),
    "restore": lambda: backup.restore(
      root / "early", mount / "restored", load_pipeline=Pipeline.load
    ),
    "migrate": lambda: migrate(former),
    "label": lambda: open_database(mount / "db").label("m0.stl", "other"),
  }.items():
    with pytest.raises(
      DatabaseError, match=r"disk that is full|No space left"
    ) as caught:
      command()
    print(name, "-", caught.value)
    verify()
    new = {path for path in mount.rglob("*") if path.is_file()} - before
    assert not {path for path in new if path.suffix not in SHARED}, (name, new)
  for _ in range(3):
    doomed = sorted(stored)[:4]
    open_database(mount / "db").remove(doomed)
    for name in doomed:
      del stored[name]
    verify()
  (mount / "last").unlink()
  assert add().new == 1
  stored[str(upload)] = ""
  verify().label(str(upload), "new")
  stored[str(upload)] = "new"
  open_database(mount / "db").rebuild(Pipeline("other"))
  migrate(former)
  verify()
  for directory in (mount / "db", former):
    assert not [
      finding
      for finding in check.scan(directory, load_pipeline=Pipeline.load)
      if finding.kind != "pipeline"  # the stored one is not a stand-in
    ]
  print("done")


SHARED = ("-shm", "-wal", ".sqlite-shm", ".sqlite-wal", ".sqlite-journal")


def migrate(directory):
  with sqlite_file.writer_lock(directory):
    migration.migrate(directory)


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs namespaces")
def test_disk_that_is_read_only_is_searched_and_says_so(database, tmp_path):
  """A real read-only disk, on which even root cannot write."""
  # What a writer leaves that was killed: a log without its index.
  interrupted = tmp_path / "interrupted"
  with catalogue.open_catalogue(database.directory) as connection:
    catalogue.write_setting(connection, "models", "elsewhere")
    shutil.copytree(database.directory, interrupted)
  (interrupted / "catalogue.sqlite-shm").unlink()
  assert (interrupted / "catalogue.sqlite-wal").stat().st_size
  run_with_mounts(
    f"mount --bind {tmp_path} {tmp_path} && "
    f"mount -o remount,ro,bind {tmp_path}",
    "look",
    database.directory,
    interrupted,
  )
  with catalogue.open_catalogue(interrupted) as connection:  # writable again
    assert catalogue.read_settings(connection)["models"] == "elsewhere"


def look(directory, interrupted):
  """Searches a read-only database; changes nothing of it."""
  database = open_database(directory)
  assert len(database.models()) == 3
  mesh = dr3d.make_mesh(*_box())
  assert database.query(mesh, verify=0).matches[0].model == "kind/0.stl"
  assert not list(check.scan(directory, load_pipeline=Pipeline.load))
  for change in (
    lambda: database.label("kind/0.stl", "other"),
    lambda: database.remove(["kind/0.stl"]),
    database.rebuild,
  ):
    with pytest.raises(DatabaseError, match=r"is read-only for this user"):
      change()
  with pytest.raises(DatabaseError, match=r"last writer was interrupted: run"):
    open_database(interrupted)
  print("done")


def _box():
  box = trimesh.creation.box([1, 2, 2])
  return box.vertices, box.faces


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_disk_that_reports_errors_to_sqlite_keeps_what_was_stored(
  database, tmp_path, upload
):
  """`fsync` and `fdatasync` of the whole process fail while a file exists."""
  source, library = tmp_path / "fail.c", tmp_path / "fail.so"
  source.write_text(f"""
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(void) {{ return access("{tmp_path}/fail", F_OK) == 0; }}
int fsync(int fd) {{
  if (fails()) {{ errno = EIO; return -1; }}
  return syscall(SYS_fsync, fd);
}}
int fdatasync(int fd) {{
  if (fails()) {{ errno = EIO; return -1; }}
  return syscall(SYS_fdatasync, fd);
}}
""")
  subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
  process = subprocess.run(
    [sys.executable, __file__, "inject", database.directory, tmp_path],
    capture_output=True,
    text=True,
    env={
      **os.environ,
      "PYTHONPATH": os.pathsep.join(sys.path),
      "LD_PRELOAD": str(library),
    },
  )
  assert process.stdout.endswith("done\n"), process.stderr
  again = open_database(database.directory)
  assert again.recover(reader=HERE) == 0
  assert names(database.directory) == {
    "kind/0.stl", "kind/1.stl", "kind/2.stl",
  }  # fmt: skip
  assert {m.label for m in again.models()} == {"kind"}


def inject(directory, root):
  """Tries to change a database on a disk that fails."""
  database = open_database(directory)
  pipeline = Pipeline("other")
  upload = root / "up.stl"
  backup.back_up(directory, root / "early")
  shutil.unpack_archive(STORED, root / "former")
  (root / "fail").touch()
  for change in (
    lambda: store(database, upload, "up.stl"),
    lambda: database.label("kind/0.stl", "other"),
    lambda: database.remove(["kind/0.stl"]),
    lambda: database.rebuild(pipeline),
    lambda: backup.back_up(directory, root / "backup"),
    lambda: backup.restore(
      root / "early", root / "again", load_pipeline=Pipeline.load
    ),
    lambda: migrate(root / "former" / "db"),
  ):
    try:
      change()
      raise AssertionError("the change was reported as stored")
    except DatabaseError as error:
      print(error)
  (root / "fail").unlink()
  assert not list(root.glob("backup*")) + list(root.glob("again*"))
  assert not list(check.scan(directory, load_pipeline=Pipeline.load))
  migrate(root / "former" / "db")
  print("done")


if __name__ == "__main__":
  {"fill": fill, "inject": inject, "look": look}[sys.argv[1]](
    *map(pathlib.Path, sys.argv[2:])
  )
