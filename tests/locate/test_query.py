import numpy as np
import pytest

from dr3d.error import PictureError
from dr3d.locate.query import BLANK, OBJECT_SHARE, SIZE, frame_query
from dr3d.locate.read import cut_query, read_query

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
  ("size", "box"),
  [((40, 60), (20, 10, 20, 20)), ((900, 700), (100, 200, 400, 300))],
)
def test_object_fills_the_canonical_picture(size, box):
  image = np.full((*size, 3), 0.2, np.float32)
  mask = np.zeros(size, np.float32)
  x, y, w, h = box
  image[y : y + h, x : x + w] = 0.9, 0.1, 0.3
  mask[y : y + h, x : x + w] = 1
  query = frame_query(image, mask)
  assert query.image.shape == (SIZE, SIZE, 3)
  rows, columns = np.nonzero(query.mask > 0.5)
  sides = np.ptp(columns) + 1, np.ptp(rows) + 1
  assert max(sides) == pytest.approx(OBJECT_SHARE * SIZE, abs=2)
  assert min(sides) == pytest.approx(
    OBJECT_SHARE * SIZE * min(w, h) / max(w, h), abs=2
  )
  assert abs(columns.mean() - SIZE / 2) < 1.5
  middle = SIZE // 2
  np.testing.assert_allclose(
    query.image[middle, middle], [0.9, 0.1, 0.3], atol=0.02
  )
  np.testing.assert_allclose(query.image[0, 0], BLANK, atol=1e-3)


def test_empty_mask_raises():
  with pytest.raises(ValueError, match="empty"):
    frame_query(np.zeros((9, 9, 3), np.float32), np.zeros((9, 9), np.float32))


def test_transparent_picture_needs_no_box():
  picture = np.zeros((50, 50, 4), np.uint8)
  picture[10:40, 15:30] = 200, 40, 40, 255
  query = cut_query(picture)
  assert query.mask.mean() == pytest.approx(0.5 * OBJECT_SHARE**2, abs=0.03)


def test_region_of_a_mesh_and_wrong_arrays_raise(tmp_path):
  with pytest.raises(PictureError, match="is not a picture: a region"):
    read_query(tmp_path / "a.stl", box=(0, 0, 5, 5))
  with pytest.raises(ValueError, match="uint8"):
    cut_query(np.zeros((5, 5, 3), np.float32))
