"""`dr3d locate` before anything is searched: arguments and files."""

import types

import numpy as np
import pytest
from PIL import Image

from dr3d import cli
from dr3d.cli import locate
from dr3d.cli.subcommand import UsageError
from dr3d.error import PictureError
from dr3d.locate.medium import find_media, name_outputs

pytestmark = pytest.mark.fast


@pytest.fixture
def picture(tmp_path):
  pixels = np.full((40, 60, 3), 200, np.uint8)
  pixels[10:30, 20:40] = 30, 60, 120
  path = tmp_path / "part.png"
  Image.fromarray(pixels).save(path)
  return path


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["q.png"], "give a query and at least one picture"),
    (["m.png", "--db=d"], "--db=DB and --model=NAME belong together"),
    (["m.png", "--db=d", "--model=n", "--region=1,2,3,4"], "need a picture"),
    (["q.png", "m.png", "--region=1,2,3"], "--region=1,2,3 must be x,y,width"),
    (["q.png", "m.png", "--region=1,2,0,4"], "must be x,y,width"),
  ],
)
def test_wrong_arguments_are_explained(arguments, message, capsys):
  assert cli.main(["locate", *arguments, "--out=o"]) == 2
  assert message in capsys.readouterr().err


def test_missing_files_are_named(picture, tmp_path, capsys):
  out = f"--out={tmp_path / 'out'}"
  assert cli.main(["locate", str(picture), "no.jpg", out]) == 1
  assert "no.jpg does not exist." in capsys.readouterr().err
  assert cli.main(["locate", "no.jpg", str(picture), out]) == 1
  assert "no.jpg does not exist." in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_media_of_a_folder_are_sorted_and_others_are_left_out(picture):
  folder = picture.parent
  (folder / "deep").mkdir()
  (folder / "deep" / "a.jpg").write_bytes(picture.read_bytes())
  (folder / "note.txt").write_text("no picture")
  (folder / "walk.mp4").write_bytes(b"")
  names = [path.name for path in find_media([folder])]
  assert names == ["a.jpg", "part.png", "walk.mp4"]


def test_folder_without_pictures_and_foreign_file_raise(tmp_path):
  with pytest.raises(PictureError, match="holds no picture and no video"):
    find_media([tmp_path])
  file = tmp_path / "a.txt"
  file.write_text("")
  with pytest.raises(PictureError, match=r"a\.txt is neither a picture"):
    find_media([file])


def test_equal_stems_get_a_number(tmp_path):
  paths = [
    tmp_path / "x" / "a.jpg",
    tmp_path / "y" / "a.png",
    tmp_path / "b.jpg",
  ]
  assert name_outputs(paths) == ["a", "a-2", "b"]


def test_region_is_parsed_and_a_split_keeps_the_order():
  assert locate.read_region("3,4,50,60") == (3, 4, 50, 60)
  flags = types.SimpleNamespace(db=None, model=None, region=None, more=("b",))
  assert locate.split_files(flags, ["a", "m", "n"]) == (["a", "b"], ["m", "n"])
  flags.more = None
  with pytest.raises(UsageError):
    locate.split_files(flags, ["a"])
