import numpy as np
import pytest

from dr3d.error import PictureError
from dr3d.image import video

pytestmark = pytest.mark.fast


def _frames(count=6, height=33, width=48):
  """A bright square that moves to the right."""
  frames = np.full((count, height, width, 3), 40, np.uint8)
  for i in range(count):
    frames[i, 8:24, 4 + 4 * i : 20 + 4 * i] = 220, 60, 60
  return frames


def _write(path, frames, rate=25.0):
  with video.write_mp4(path, rate=rate) as add:
    for frame in frames:
      add(frame)
  return path


def test_frames_round_trip(tmp_path):
  path = _write(tmp_path / "a.mp4", _frames())
  info = video.read_info(path)
  assert info.rate == pytest.approx(25)
  assert info.count == 6
  assert info.size == (34, 48)  # the odd last row is repeated
  read = np.stack(list(video.read_frames(path)))
  assert read.shape == (6, 34, 48, 3)
  assert np.abs(read[:, :33].astype(int) - _frames()).mean() < 6


def test_failure_while_writing_leaves_no_file(tmp_path):
  path = tmp_path / "a.mp4"

  def write():
    yield _frames()[0]
    raise RuntimeError

  with pytest.raises(RuntimeError):
    _write(path, write())
  assert not path.exists()


def test_missing_and_foreign_files_are_named(tmp_path):
  with pytest.raises(PictureError, match=r"no\.mp4 does not exist"):
    next(video.read_frames(tmp_path / "no.mp4"))
  path = tmp_path / "text.mp4"
  path.write_text("not a video")
  with pytest.raises(PictureError, match=r"text\.mp4 is not a video"):
    video.read_info(path)


def test_cut_off_video_is_damaged_or_shorter(tmp_path):
  path = _write(tmp_path / "a.mp4", _frames(40))
  path.write_bytes(path.read_bytes()[:-2000])
  with pytest.raises(PictureError, match=r"a\.mp4 is"):
    list(video.read_frames(path))


def test_rate_out_of_range_raises(tmp_path):
  with (
    pytest.raises(ValueError, match="rate"),
    video.write_mp4(tmp_path / "a.mp4", rate=0),
  ):
    pass


def test_suffix_tells_a_video():
  assert video.is_video("a.MOV")
  assert not video.is_video("a.png")
