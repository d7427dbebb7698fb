"""Vectors in a file: what is written stays, whoever is killed and when."""

import dataclasses

import numpy as np
import pytest

from dr3d.database import catalogue, row
from dr3d.database.catalogue import Model
from dr3d.database.vector_file import (
  Layout,
  StoredRow,
  append,
  hash_vectors,
  read,
)

pytestmark = pytest.mark.fast


def draw(seed, count=1):
  rng = np.random.default_rng(seed)
  return list(rng.normal(size=(count, 2, 4)).astype(np.float32))


def slots(features, first=0):
  return [
    StoredRow(f"{i}", "", first + i, hash_vectors(array))
    for i, array in enumerate(features)
  ]


def model(name, features):
  return Model(name, "", "", "indexed", "", "one", features=features)


@pytest.fixture
def connection(tmp_path):
  catalogue.create_catalogue(tmp_path, {})
  with catalogue.open_catalogue(tmp_path) as opened:
    yield opened


def test_appended_vectors_are_read_in_any_order(tmp_path):
  features = draw(0, 5)
  layout = append(tmp_path, Layout(), features[:2])
  layout = append(tmp_path, layout, features[2:])
  assert layout == Layout(0, 5, 2, 4)
  assert Layout.parse(str(layout)) == layout
  wanted = slots(features)
  np.testing.assert_array_equal(read(tmp_path, layout, wanted), features)
  np.testing.assert_array_equal(
    read(tmp_path, layout, wanted[::-2]), features[::-2]
  )
  assert (tmp_path / layout.name).stat().st_size == 5 * layout.stride


def test_consecutive_slots_are_mapped_and_others_copied(tmp_path):
  features = draw(0, 4)
  layout = append(tmp_path, Layout(), features)
  mapped = read(tmp_path, layout, slots(features)[1:])
  copied = read(tmp_path, layout, slots(features)[::2])
  assert not mapped.flags.writeable
  assert copied.flags.writeable


def test_vectors_of_a_killed_writer_are_overwritten(tmp_path):
  features = draw(0, 3)
  layout = append(tmp_path, Layout(), features[:1])
  append(tmp_path, layout, draw(1, 7))  # and never committed
  layout = append(tmp_path, layout, features[1:])
  assert (tmp_path / layout.name).stat().st_size == 3 * layout.stride
  np.testing.assert_array_equal(
    read(tmp_path, layout, slots(features)), features
  )


def test_vectors_of_other_shape_raise(tmp_path):
  layout = append(tmp_path, Layout(), draw(0))
  with pytest.raises(ValueError, match=r"must be \(2, 4\), got \(3, 4\)"):
    append(tmp_path, layout, [np.zeros((3, 4), np.float32)])


def test_mapped_vectors_do_not_change_when_others_are_written(connection):
  one, two, three = draw(0, 3)
  catalogue.write_models(connection, [model("b", one), model("a", two)])
  before = row.read_features(connection)
  kept = before.features.copy()
  catalogue.delete_models(connection, ["a"])
  catalogue.write_models(connection, [model("b", three)])
  catalogue.compact(connection)
  np.testing.assert_array_equal(before.features, kept)
  after = row.read_features(connection)
  assert after.names == ("b",)
  np.testing.assert_array_equal(after.features, [three])


def test_slot_is_never_named_twice(connection):
  one, two = draw(0, 2)
  catalogue.write_models(connection, [model("a", one)])
  mapped = row.read_features(connection).features
  catalogue.delete_models(connection, ["a"])
  catalogue.write_models(connection, [model("a", two)])
  np.testing.assert_array_equal(mapped, [one])


def test_compacting_removes_gaps_and_sorts(connection, tmp_path):
  features = draw(0, 6)
  names = "fbdace"
  catalogue.write_models(
    connection, [model(*pair) for pair in zip(names, features, strict=True)]
  )
  catalogue.delete_models(connection, ["d", "f"])
  before = row.read_features(connection)
  catalogue.compact(connection)
  after = row.read_features(connection)
  for field in dataclasses.fields(after):
    np.testing.assert_array_equal(
      getattr(after, field.name), getattr(before, field.name)
    )
  assert [path.name for path in tmp_path.glob("vectors*")] == ["vectors-1.f32"]
  assert (tmp_path / "vectors-1.f32").stat().st_size == 4 * 2 * 4 * 4
  assert not after.features.flags.writeable  # mapped, as it stands
  catalogue.compact(connection)  # nothing to do: no new generation
  assert (tmp_path / "vectors-1.f32").exists()


def test_uncommitted_batch_leaves_no_row(connection):
  one, two = draw(0, 2)
  catalogue.write_models(connection, [model("a", one)])
  wrong = dataclasses.replace(model("b", two), state="nonsense")
  with pytest.raises(Exception, match="CHECK constraint"):
    catalogue.write_models(connection, [wrong])
  catalogue.write_models(connection, [model("c", two)])
  found = row.read_features(connection)
  assert found.names == ("a", "c")
  np.testing.assert_array_equal(found.features, [one, two])


def test_equal_vectors_have_equal_keys(connection):
  one, two = draw(0, 2)
  catalogue.write_models(
    connection, [model("a", one), model("b", two), model("c", one)]
  )
  a, b, c = row.read_features(connection).keys
  assert a == c != b


def test_no_slots_give_an_empty_array(tmp_path):
  assert read(tmp_path, Layout(), []).shape == (0, 0, 0)
  assert append(tmp_path, Layout(), []) == Layout()
  assert list(tmp_path.iterdir()) == []
