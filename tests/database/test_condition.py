"""Only the models that a person asks for are searched."""

import dataclasses

import pytest

from dr3d.database.catalogue import Model
from dr3d.database.condition import Condition
from dr3d.error import DatabaseError

pytestmark = pytest.mark.fast

BOLT = Model(
  "bolt", "bolt", "", "indexed", "", "", radius=5.1, extent=(10.0, 2.0, 1.0)
)
MODELS = [
  dataclasses.replace(BOLT, metadata={"steel": "a2", "maker": "x"}),
  dataclasses.replace(
    BOLT, name="twice", extent=(20.0, 4.0, 2.0), metadata={"steel": "a4"}
  ),
  dataclasses.replace(BOLT, name="nut", label="nut", metadata={"maker": "x"}),
]


def choose(extent=(10.0, 2.0, 1.0), **options):
  return Condition(**options).choose(MODELS, extent=extent)


def test_empty_condition_chooses_all():
  assert choose() == {"bolt", "twice", "nut"}


def test_any_label_and_all_keys_must_match():
  assert choose(labels=["bolt"]) == {"bolt", "twice"}
  assert choose(labels=["bolt", "nut"]) == {"bolt", "twice", "nut"}
  assert choose(where={"steel": ["a2", "a4"]}) == {"bolt", "twice"}
  assert choose(where={"steel": ["a2", "a4"], "maker": ["x"]}) == {"bolt"}
  assert choose(labels=["nut"], where={"steel": ["a2"]}) == set()


def test_same_size_holds_in_any_pose_within_the_tolerance():
  assert choose(same_size=0.05) == {"bolt", "nut"}
  assert choose((1.0, 9.6, 2.3), same_size=0.05) == {"bolt", "nut"}
  assert choose((1.0, 9.4, 2.3), same_size=0.05) == set()
  assert choose((19.5, 4.0, 2.0), same_size=0.05) == {"twice"}


def test_condition_that_no_model_can_meet_raises():
  with pytest.raises(DatabaseError, match="no indexed model has the label 'x'"):
    choose(labels=["x"])
  with pytest.raises(DatabaseError, match="metadata 'a'; the known keys"):
    choose(where={"a": ["b"]})
  with pytest.raises(DatabaseError, match="no indexed model has steel=a3"):
    choose(where={"steel": ["a2", "a3"]})
