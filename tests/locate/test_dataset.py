import numpy as np
import pytest

from dr3d.error import TrainingError
from dr3d.locate.contact_sheet import draw_sheet
from dr3d.locate.dataset import ExpandedSet, expand, list_queries

pytestmark = pytest.mark.fast


def _cutout(color, side=40):
  cutout = np.zeros((side, side, 4), np.float32)
  cutout[4:-4, 8:-8, :3], cutout[4:-4, 8:-8, 3] = color, 1
  return cutout


@pytest.fixture
def data(tmp_path):
  data = ExpandedSet(tmp_path)
  for i, color in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
    views = [_cutout(np.array(color) * shade) for shade in (1, 0.8, 0.6)]
    data.add_cutouts(views, model=f"m{i}", category=f"c{i % 2}")
  return data


def _expand(data, count, **options):
  expand(data, count=count, size=(64, 64), seed=0, **options)


def test_expansion_survives_a_new_reader(data):
  _expand(data, 6)
  again = ExpandedSet(data.directory)
  assert again.scenes == data.scenes
  assert again.cutouts == data.cutouts
  pixels, mask = again.read_scene(again.scenes[2])
  assert pixels.shape == (64, 64, 3)
  assert mask.max() == len(again.scenes[2].boxes)


def test_resumed_expansion_equals_one_in_a_row(data, tmp_path_factory):
  _expand(data, 2)
  _expand(ExpandedSet(data.directory), 5)
  other = ExpandedSet(tmp_path_factory.mktemp("other"))
  for i, color in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
    views = [_cutout(np.array(color) * shade) for shade in (1, 0.8, 0.6)]
    other.add_cutouts(views, model=f"m{i}", category=f"c{i % 2}")
  _expand(other, 5)
  assert ExpandedSet(data.directory).scenes == other.scenes


def test_originals_stay_when_cutouts_are_added(data):
  before = [data.read_cutout(r.file) for r in data.cutouts]
  data.add_cutouts(
    [_cutout((1, 1, 0))], model="m0", category="c0", source="photograph"
  )
  for record, pixels in zip(data.cutouts, before, strict=False):
    np.testing.assert_array_equal(data.read_cutout(record.file), pixels)
  assert [r.source for r in data.by_model["m0"]] == [
    *["render"] * 3,
    "photograph",
  ]


def test_category_goes_with_each_scene_and_absent_ones_occur(data):
  _expand(data, 40)
  for scene in data.scenes:
    assert scene.category == data.by_model[scene.model][0].category
  absent = sum(not scene.boxes for scene in data.scenes)
  assert 2 <= absent <= 14


def test_query_is_another_view_than_the_scene_shows(data):
  _expand(data, 20)
  for scene in data.scenes:
    files = {view.file for view in list_queries(data, scene)}
    assert files
    if len(set(scene.used)) < 3:
      assert not files & set(scene.used)


def test_one_model_is_too_few(tmp_path):
  data = ExpandedSet(tmp_path)
  data.add_cutouts([_cutout((1, 0, 0))], model="m", category="c")
  with pytest.raises(TrainingError, match="1 models; scenes need at least two"):
    _expand(data, 1)


def test_contact_sheet_shows_scenes_beside_their_query(data):
  _expand(data, 5)
  sheet = draw_sheet(data, count=4, columns=2)
  assert sheet.shape == (2 * 64, 2 * (64 + 64), 3)
  assert sheet.std() > 10
