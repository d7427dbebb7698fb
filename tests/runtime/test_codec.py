"""Values cross between processes unchanged, and cannot run code."""

import math
import pathlib
import pickle

import hypothesis
import msgpack
import numpy as np
import pytest
import trimesh
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from dr3d.database.duplicate import Group, Member
from dr3d.database.processed_model import ProcessedModel
from dr3d.error import ConflictError, Dr3dError, MeshError
from dr3d.mesh import make_mesh
from dr3d.registration.surface import Fit
from dr3d.runtime import codec
from dr3d.runtime.codec import CodecError
from dr3d.server.upload_reader import FaceLimitError

pytestmark = pytest.mark.fast

LEAVES = (
  st.none()
  | st.booleans()
  | st.integers(-(2**63), 2**64 - 1)
  | st.floats(allow_nan=False)
  | st.text()
  | st.binary()
)
VALUES = st.recursive(
  LEAVES,
  lambda inner: (
    st.lists(inner)
    | st.lists(inner).map(tuple)
    | st.dictionaries(st.text(), inner)
  ),
  max_leaves=20,
)


def make_box():
  body = trimesh.creation.box((3, 4, 5))
  return make_mesh(np.array(body.vertices), np.array(body.faces))


@hypothesis.given(VALUES)
def test_value_is_the_same_after_a_round_trip(value):
  assert codec.decode(codec.encode(value)) == value


@hypothesis.given(
  numpy_st.arrays(
    numpy_st.boolean_dtypes()
    | numpy_st.integer_dtypes()
    | numpy_st.floating_dtypes(),
    numpy_st.array_shapes(min_dims=0, min_side=0),
  )
)
def test_array_is_the_same_after_a_round_trip(array):
  found = codec.decode(codec.encode(array))
  np.testing.assert_array_equal(found, array)
  assert found.dtype == array.dtype
  assert found.flags.writeable


def test_dataclasses_and_paths_are_the_same_after_a_round_trip():
  fits = {"a": Fit(0.1, 0.2, True), "b": Fit(0.1, math.inf, False, 0.5, 1.0)}
  group = Group("same", (Member("a", ""), Member("b", "x", "same", "a")))
  path = pathlib.Path("folder/caf\udce9.stl")
  value = {"fits": fits, "groups": [group], "path": path}
  assert codec.decode(codec.encode(value)) == value


def test_mesh_is_the_same_after_a_round_trip():
  processed = ProcessedModel(make_box(), "abc", "mm", 1, 94.0, 60.0, b"png")
  found = codec.decode(codec.encode(processed))
  assert (found.geometry, found.thumbnail) == ("abc", b"png")
  for name, value in vars(processed.mesh).items():
    np.testing.assert_array_equal(getattr(found.mesh, name), value)


@pytest.mark.parametrize(
  ("error", "kind"),
  [
    (MeshError("a.stl is empty."), MeshError),
    (ConflictError("b"), ConflictError),
    (FaceLimitError("c"), FaceLimitError),
    (type("Unknown", (MeshError,), {})("d"), MeshError),
  ],
)
def test_error_keeps_its_message_and_the_nearest_known_class(error, kind):
  found = codec.decode(codec.encode(error))
  assert type(found) is kind
  assert str(found) == str(error)


@pytest.mark.parametrize(
  "value", [object(), {1}, np.array([None]), np.array(["a"]), {1: 2}]
)
def test_unknown_type_raises(value):
  with pytest.raises(CodecError):
    codec.decode(codec.encode(value))


def extension(code, value):
  return msgpack.packb(msgpack.ExtType(code, msgpack.packb(value)))


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"\xc1",
    pickle.dumps(make_box),
    codec.encode([1, 2])[:-1],
    extension(1, ["O", [1], b"12345678"]),
    extension(1, ["<f4", [2**40], b"1234"]),
    extension(1, ["<f4", [-1], b"1234"]),
    extension(2, ["Popen", {"args": "true"}]),
    extension(2, ["Fit", {"mean": "text", "far": 1.0, "mirrored": False}]),
    extension(2, ["Fit", {"mean": 1.0}]),
    extension(2, ["Fit", {"__class__": 1.0}]),
    extension(3, ["SystemExit", "0"]),
    extension(3, ["importlib", "x"]),
    extension(9, []),
    b"\x91" * 100_000,
  ],
)
def test_hostile_bytes_raise(data):
  with pytest.raises(CodecError):
    codec.decode(data)


def test_mesh_with_a_face_beyond_its_vertices_raises():
  mesh = make_box()
  mesh.faces[0, 0] = 10**6
  with pytest.raises(CodecError, match="inconsistent mesh"):
    codec.decode(codec.encode(mesh))


def test_every_class_that_may_be_sent_exists():
  for name in codec._DATACLASSES:
    assert codec._find_class(name).__name__ == name
  for name in codec._ERRORS:
    assert isinstance(codec._make_error(name, "x"), Dr3dError)
