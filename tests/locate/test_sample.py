"""Features that are computed once, with a stand-in for the trunk."""

import numpy as np

from dr3d.image.composite import find_box
from dr3d.locate import sample
from dr3d.locate.dataset import ExpandedSet, expand


def _run(count, cache, calls):
  def call(rows):
    calls.append(list(rows))
    return {"a": np.array(rows, np.float32), "b": np.ones((len(rows), 2))}

  return sample._run_chunks(count, call, lambda done: None, cache=cache)


def test_rows_are_computed_in_chunks_of_one_size():
  calls = []
  result = _run(sample.CHUNK + 3, None, calls)
  np.testing.assert_array_equal(result["a"], np.arange(sample.CHUNK + 3))
  assert result["b"].shape == (sample.CHUNK + 3, 2)
  assert {len(rows) for rows in calls} == {sample.CHUNK}


def test_cache_is_read_and_grows(tmp_path):
  cache = tmp_path / "new" / "features"
  _run(5, cache, [])
  calls = []
  again = _run(5, cache, calls)
  np.testing.assert_array_equal(again["a"], np.arange(5))
  grown = _run(9, cache, calls)
  np.testing.assert_array_equal(grown["a"], np.arange(9))
  # Shapes are asked for once a run; only the third run computes, from row 5.
  assert calls[-1][:4] == [5, 6, 7, 8]
  np.testing.assert_array_equal(_run(9, cache, [])["a"], np.arange(9))


def test_targets_agree_with_the_mask_and_the_boxes(tmp_path):
  data = ExpandedSet(tmp_path)
  cutout = np.ones((60, 40, 4), np.float32)
  for name in ("a", "b"):
    data.add_cutouts([cutout] * 2, model=name, category="c")
  expand(data, count=8, size=(96, 96), seed=0, distorted=False)
  for i, record in enumerate(data.scenes):
    _, numbers = data.read_scene(record)
    mask, box, inside = sample.make_targets(data, i)
    assert mask.shape == (24, 24)
    assert box.shape == (12, 12, 4)
    np.testing.assert_allclose(mask.mean(), (numbers > 0).mean(), atol=1e-3)
    assert (inside.any()) == bool(record.boxes) or (numbers > 0).sum() < 200
    if len(record.boxes) == 1 and inside.any():
      y, x = np.argwhere(inside)[0]
      left, top, right, bottom = 16 * box[y, x].astype(float)
      found = (8 * x + 4 - left, 8 * y + 4 - top, left + right, top + bottom)
      np.testing.assert_allclose(found, find_box(numbers > 0), atol=1)
