import errno
import os
import pathlib

import pytest

from dr3d.runtime.atomic import atomic_directory, atomic_file, find_whole

pytestmark = pytest.mark.fast


def test_directory_appears_when_the_block_ends(tmp_path):
  target = tmp_path / "target"
  with atomic_directory(target) as partial:
    (partial / "inner").mkdir()
    (partial / "inner" / "file").write_text("all")
    assert not target.exists()
  assert (target / "inner" / "file").read_text() == "all"
  assert list(tmp_path.iterdir()) == [target]


def test_failed_block_keeps_the_former_directory(tmp_path):
  target = tmp_path / "target"
  target.mkdir()
  (target / "old").touch()

  def fail():
    with atomic_directory(target) as partial:
      (partial / "new").touch()
      raise OSError("full")

  with pytest.raises(OSError, match="full"):
    fail()
  assert list(tmp_path.iterdir()) == [target]
  assert [path.name for path in target.iterdir()] == ["old"]


def test_former_directory_and_remains_of_killed_run_are_replaced(tmp_path):
  target = tmp_path / "target"
  target.mkdir()
  (target / "old").touch()
  (tmp_path / "target.partial").mkdir()
  (tmp_path / "target.partial" / "half").touch()
  with atomic_directory(target) as partial:
    (partial / "new").touch()
  assert list(tmp_path.iterdir()) == [target]
  assert [path.name for path in target.iterdir()] == ["new"]


class Killed(BaseException):
  """Simulates a process that ends here without cleanup."""


@pytest.mark.parametrize("survived", [0, 1])
def test_kill_between_renames_keeps_the_former_directory(
  tmp_path, monkeypatch, survived
):
  target = tmp_path / "target"
  target.mkdir()
  (target / "old").touch()
  rename, calls = pathlib.Path.rename, []

  def renames(path, new):
    calls.append(path)
    if len(calls) > survived:
      raise Killed
    return rename(path, new)

  with pytest.raises(Killed), atomic_directory(target) as partial:  # noqa: PT012
    (partial / "new").touch()
    monkeypatch.setattr(pathlib.Path, "rename", renames)
  monkeypatch.undo()
  assert target.exists() == (survived == 0)
  assert [path.name for path in find_whole(target).iterdir()] == ["old"]
  with atomic_directory(target) as partial:
    (partial / "newer").touch()
  assert list(tmp_path.iterdir()) == [target]
  assert [path.name for path in target.iterdir()] == ["newer"]


def test_file_and_its_folder_appear_when_the_block_ends(tmp_path):
  target = tmp_path / "new" / "page.html"
  with atomic_file(target) as partial:
    partial.write_text("all")
    assert partial.suffix == ".html"
    assert not target.exists()
  assert target.read_text() == "all"
  assert list(target.parent.iterdir()) == [target]


def test_failed_block_keeps_the_former_file(tmp_path):
  target = tmp_path / "page.html"
  target.write_text("old")

  def fail():
    with atomic_file(target) as partial:
      partial.write_text("half")
      raise RuntimeError

  with pytest.raises(RuntimeError):
    fail()
  assert target.read_text() == "old"
  assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_failed_flush_raises_and_keeps_what_was_there(
  tmp_path, monkeypatch, code
):
  def fail(descriptor):
    raise OSError(code, os.strerror(code))

  file, directory = tmp_path / "file", tmp_path / "directory"
  file.write_text("old")
  directory.mkdir()
  (directory / "old").touch()
  monkeypatch.setattr(os, "fsync", fail)
  with (
    pytest.raises(OSError, match=os.strerror(code)),
    atomic_file(file) as partial,
  ):
    partial.write_text("new")
  with (
    pytest.raises(OSError, match=os.strerror(code)),
    atomic_directory(directory) as partial,
  ):
    (partial / "new").touch()
  assert file.read_text() == "old"
  assert [path.name for path in directory.iterdir()] == ["old"]
  assert sorted(tmp_path.iterdir()) == [directory, file]


def test_file_system_without_flush_is_accepted(tmp_path, monkeypatch):
  def fail(descriptor):
    raise OSError(errno.EINVAL, "Invalid argument")

  monkeypatch.setattr(os, "fsync", fail)
  with atomic_file(tmp_path / "file") as partial:
    partial.write_text("new")
  assert (tmp_path / "file").read_text() == "new"
