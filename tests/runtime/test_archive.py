"""Tests of folders as bytes."""

import io
import tarfile

import pytest

from dr3d.runtime.archive import pack_folder, unpack_folder


def test_folder_is_the_same_after_packing(tmp_path):
  source, target = tmp_path / "source", tmp_path / "target"
  (source / "inner").mkdir(parents=True)
  (source / "one").write_bytes(b"1")
  (source / "inner" / "two").write_bytes(b"2" * 9000)
  target.mkdir()
  unpack_folder(pack_folder(source), target)
  assert {
    str(path.relative_to(target)): path.read_bytes()
    for path in target.rglob("*")
    if path.is_file()
  } == {"one": b"1", "inner/two": b"2" * 9000}


def test_file_outside_of_the_folder_is_rejected_and_links_left_out(tmp_path):
  data = io.BytesIO()
  with tarfile.open(fileobj=data, mode="w") as packed:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/"
    packed.addfile(link)
    packed.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
  target = tmp_path / "target"
  target.mkdir()
  with pytest.raises(ValueError, match="outside"):
    unpack_folder(data.getvalue(), target)
  assert not list(target.iterdir())
  assert not (tmp_path / "outside").exists()
