"""Vectors that stay in their file are those that were written, or an error."""

import numpy as np
import pytest

from dr3d.database.stored_vectors import StoredVectors
from dr3d.database.vector_file import (
  Layout,
  StoredRow,
  append,
  hash_vectors,
)
from dr3d.error import DatabaseError

pytestmark = pytest.mark.fast


@pytest.fixture
def features():
  return np.random.default_rng(0).normal(size=(7, 2, 4)).astype(np.float32)


@pytest.fixture
def stored(features, tmp_path):
  layout = append(tmp_path, Layout(), features)
  order = [4, 0, 6, 2]
  slots = [StoredRow(f"{i}", "", i, hash_vectors(features[i])) for i in order]
  return StoredVectors(tmp_path, layout, slots)


def test_rows_are_read_as_from_an_array(stored, features):
  array = features[[4, 0, 6, 2]]
  assert stored.shape == (4, 2, 4)
  assert len(stored) == 4
  for rows in (
    2,
    -1,
    slice(1, 3),
    slice(None),
    np.array([3, 0, 3]),
    np.array([True, False, False, True]),
    np.zeros(0, int),
    np.int64(1),
  ):
    np.testing.assert_array_equal(stored[rows], array[rows])
  np.testing.assert_array_equal(np.asarray(stored), array)
  np.testing.assert_array_equal(stored.load(), array)
  with pytest.raises(IndexError):
    stored[4]


def test_removed_file_stays_readable(stored, features, tmp_path):
  (tmp_path / "vectors-0.f32").unlink()
  np.testing.assert_array_equal(stored[0], features[4])


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_damage_raises_when_the_model_is_read(stored, features, tmp_path, harm):
  path = tmp_path / "vectors-0.f32"
  content = bytearray(path.read_bytes())
  if harm == "flip":
    content[6 * 32 + 5] ^= 1
    path.write_bytes(content)
  else:
    path.write_bytes(content[: 6 * 32 + 5])
  np.testing.assert_array_equal(stored[1], features[0])
  with pytest.raises(DatabaseError, match=r"vectors-0.f32 is damaged: .*'6'"):
    stored[2]


def test_missing_file_raises_with_its_name(tmp_path):
  slot = StoredRow("a", "", 0, 0)
  with pytest.raises(DatabaseError, match=r"vectors-0.f32 cannot be read"):
    StoredVectors(tmp_path, Layout(0, 1, 2, 4), [slot])
