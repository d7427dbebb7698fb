import numpy as np
import pytest

from dr3d.database import photo_store
from dr3d.database.photo_store import FOLDER, PhotoStore
from dr3d.database.sqlite_file import writer_lock
from dr3d.error import DatabaseError, LockError

pytestmark = pytest.mark.fast


@pytest.fixture(name="features")
def _features():
  rng = np.random.default_rng(0)
  return {
    key: rng.normal(size=(3, 4)).astype(np.float32) for key in ("a", "b", "c")
  }


def _same(found, expected):
  return found.keys() == expected.keys() and all(
    (found[key] == expected[key]).all() for key in expected
  )


def test_written_vectors_are_read_by_another_process(tmp_path, features):
  PhotoStore(tmp_path, encoder="e").write(features)
  store = PhotoStore(tmp_path, encoder="e")
  assert _same(store.read(["a", "b", "c"]), features)
  assert store.read(["b", "x"]).keys() == {"b"}


def test_vectors_of_another_encoder_are_missing_and_then_replaced(
  tmp_path, features
):
  PhotoStore(tmp_path, encoder="old").write(features)
  store = PhotoStore(tmp_path, encoder="new")
  assert store.read(["a"]) == {}
  wider = {"a": np.ones((2, 7), np.float32)}
  store.write(wider)
  assert _same(store.read(["a", "b"]), wider)
  assert PhotoStore(tmp_path, encoder="old").read(["a"]) == {}
  assert len(list((tmp_path / FOLDER).glob("vectors-*"))) == 1


def test_killed_writer_leaves_what_was_there(tmp_path, features, monkeypatch):
  store = PhotoStore(tmp_path, encoder="e")
  store.write({"a": features["a"]})

  def die(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(photo_store, "_set", die)  # after the vectors, before
  with pytest.raises(KeyboardInterrupt):  # the rows that name them
    store.write({"b": features["b"]})
  monkeypatch.undo()
  assert _same(store.read(["a", "b"]), {"a": features["a"]})
  store.write({"c": features["c"]})
  assert _same(
    store.read(["a", "b", "c"]), {k: features[k] for k in ("a", "c")}
  )


def test_damaged_vector_is_missing_and_the_others_are_not(tmp_path, features):
  store = PhotoStore(tmp_path, encoder="e")
  store.write(features)
  (path,) = (tmp_path / FOLDER).glob("vectors-*")
  data = bytearray(path.read_bytes())
  data[3 * 4 * 4 + 1] ^= 255  # in the second
  path.write_bytes(data)
  assert store.read(["a", "b", "c"]).keys() == {"a", "c"}


def test_damaged_file_counts_as_empty(tmp_path, features):
  store = PhotoStore(tmp_path, encoder="e")
  store.write(features)
  (tmp_path / FOLDER / "photos.sqlite").write_bytes(b"no database" * 999)
  assert store.read(["a"]) == {}
  assert store.read_setting("calibration") is None
  with pytest.raises(DatabaseError):
    store.write(features)


def test_two_writers_exclude_each_other(tmp_path, features):
  store = PhotoStore(tmp_path, encoder="e")
  store.write(features)
  with writer_lock(tmp_path / FOLDER), pytest.raises(LockError):
    store.write(features)


def test_folder_is_not_made_by_reading_and_is_removed(tmp_path, features):
  store = PhotoStore(tmp_path, encoder="e")
  assert store.read(["a"]) == {}
  assert not list(tmp_path.iterdir())
  store.write(features)
  photo_store.remove(tmp_path)
  assert not list(tmp_path.iterdir())


def test_settings_belong_to_the_encoder(tmp_path):
  PhotoStore(tmp_path, encoder="e").write_setting("calibration", "x")
  assert PhotoStore(tmp_path, encoder="e").read_setting("calibration") == "x"
  assert PhotoStore(tmp_path, encoder="f").read_setting("calibration") is None


def test_folder_that_is_a_link_is_not_followed(tmp_path, features):
  elsewhere = tmp_path / "elsewhere"
  database = tmp_path / "parts.db"
  database.mkdir()
  PhotoStore(tmp_path, encoder="e").write(features)
  (tmp_path / FOLDER).rename(elsewhere)
  (database / FOLDER).symlink_to(elsewhere)
  store = PhotoStore(database, encoder="e")
  assert store.read(["a"]) == {}
  with pytest.raises(DatabaseError, match="is a link"):
    store.write(features)
  photo_store.remove(database)
  assert (elsewhere / "photos.sqlite").exists()
