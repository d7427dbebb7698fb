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
