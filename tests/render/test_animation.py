import numpy as np
import pytest
from PIL import Image

import dr3d

pytestmark = pytest.mark.fast


def test_gif_has_the_frames_their_colours_and_their_duration(tmp_path):
  frames = np.zeros((3, 8, 12, 4))
  frames[0, :, :, [0, 3]] = 1  # red
  frames[1, ..., 2:] = 0.5  # half transparent blue
  dr3d.save_gif(frames, tmp_path / "a.gif", rate=10)
  with Image.open(tmp_path / "a.gif") as image:
    assert (image.n_frames, image.size) == (3, (12, 8))
    assert (image.info["duration"], image.info["loop"]) == (100, 0)
    for i, color in enumerate([(255, 0, 0), (128, 128, 255), (255,) * 3]):
      image.seek(i)
      found = np.asarray(image.convert("RGB"), int)
      assert np.abs(found - color).max() <= 1


@pytest.mark.parametrize(
  ("shape", "rate"), [((0, 4, 4, 3), 9), ((4, 4, 3), 9), ((1, 4, 4, 3), 0)]
)
def test_bad_images_or_rate_raise(tmp_path, shape, rate):
  with pytest.raises(ValueError, match="must be"):
    dr3d.save_gif(np.zeros(shape), tmp_path / "a.gif", rate=rate)


def test_mp4_has_the_frames_their_colours_and_their_rate(tmp_path):
  av = pytest.importorskip("av")
  frames = np.zeros((6, 33, 40, 4))
  frames[:3, :, :, [0, 3]] = 1  # red
  dr3d.save_mp4(frames, tmp_path / "a.mp4", rate=10)
  with av.open(str(tmp_path / "a.mp4")) as video:
    stream = video.streams.video[0]
    assert stream.average_rate == 10
    found = [f.to_ndarray(format="rgb24") for f in video.decode(stream)]
  assert [f.shape for f in found] == [(34, 40, 3)] * 6
  assert np.abs(found[0].astype(int) - [255, 0, 0]).mean() < 12
  assert found[5].mean() > 245  # nothing was drawn: white
  assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_mp4_of_bad_images_or_rate_raises(tmp_path):
  for shape, rate in (((0, 4, 4, 3), 9), ((4, 4, 3), 9), ((1, 4, 4, 3), 0)):
    with pytest.raises(ValueError, match="must be"):
      dr3d.save_mp4(np.zeros(shape), tmp_path / "a.mp4", rate=rate)
  assert not list(tmp_path.iterdir())
