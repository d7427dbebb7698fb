import numpy as np
import pytest
from support import photo
from support.service import BODIES, make_database

pytest.importorskip("cv2")

from dr3d.database.photo_search import PHOTOS

pytestmark = pytest.mark.fast


def test_each_labelled_model_is_photographed_several_times(tmp_path):
  database = make_database(tmp_path)
  with photo.standing_in():
    gallery = database.prepare_photos()
  calibration = gallery.calibrations["photograph"]
  models, times = np.unique(calibration.models, return_counts=True)
  assert len(models) == len(BODIES)
  assert set(times) == {PHOTOS}
  # The silhouettes are those of the models, so each finds itself.
  assert len(calibration.in_database.right) == PHOTOS * len(BODIES)
  assert calibration.in_database.right.all()
  assert len(calibration.unknown_class.right) == PHOTOS * len(BODIES)
  assert not calibration.unknown_class.right.any()
