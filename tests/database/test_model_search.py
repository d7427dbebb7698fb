"""Models are listed and counted by words, label, metadata, state and size."""

import pytest
import trimesh
from support.upkeep import Pipeline

from dr3d.database import catalogue
from dr3d.database.file_reader import FileReader
from dr3d.database.model import Model
from dr3d.database.model_search import (
  Filter,
  choose,
  choose_columns,
  count_values,
)
from dr3d.database.writer import Database
from dr3d.error import DatabaseError

pytestmark = pytest.mark.fast

HERE = FileReader(jobs=0)


def make_model(name, label="", *, state="indexed", side=10.0, **metadata):
  return Model(
    name,
    label,
    "",
    state,
    "",
    "",
    metadata=metadata,
    extent=(side, 2.0, 1.0),
  )


MODELS = [
  make_model("a", "nut", material="steel", supplier="RS"),
  make_model("b", "nut", material="brass"),
  make_model("c", "bolt", material="steel", side=50.0),
  make_model("d", "bolt", state="failed", material="lead"),
]


def names(models):
  return "".join(model.name for model in models)


@pytest.mark.parametrize(
  ("condition", "found"),
  [
    (Filter(), "abcd"),
    (Filter(labels=["nut"]), "ab"),
    (Filter(where={"material": ["steel", "brass"]}), "abc"),
    (Filter(where={"material": ["steel"], "supplier": ["RS"]}), "a"),
    (Filter(state="indexed", labels=["bolt"]), "c"),
    (Filter(smallest=10.5), "c"),
    (Filter(largest=50, smallest=50), "c"),
  ],
)
def test_filter_chooses_models(condition, found):
  assert names(choose(MODELS, condition)) == found


def count(condition):
  columns = count_values(MODELS, condition, limit=10)
  return {column.name: dict(column.values) for column in columns}


def test_values_of_a_column_ignore_its_own_filter_alone():
  counts = count(Filter(state="indexed", where={"material": ["steel"]}))
  assert counts["material"] == {"steel": 2, "brass": 1}
  assert counts["label"] == {"nut": 1, "bolt": 1}
  counts = count(Filter(state="indexed", labels=["bolt"]))
  assert counts["material"] == {"steel": 1}
  assert counts["label"] == {"nut": 2, "bolt": 1}


def test_limit_keeps_the_most_frequent_values_and_tells_their_number():
  (label, material, _) = count_values(MODELS, Filter(), limit=1)
  assert material.values == (("steel", 2),)
  assert (label.total, material.total) == (2, 3)


def test_columns_that_most_models_have_are_shown_by_default():
  assert choose_columns(MODELS) == ("material", "supplier")


@pytest.fixture
def database(tmp_path):
  for number, sides in enumerate([(1, 2, 3), (1, 2, 4), (1, 2, 5)]):
    path = tmp_path / f"models/kind{number % 2}/part-{number}0.stl"
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(sides).export(path)
  made = Database.create(
    tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load
  )
  made.update(tmp_path / "models", reader=HERE)
  return made


def found(database, text):
  return [model.name for model in database.find_models(text)]


def test_every_write_is_seen_by_the_next_text_search(database, tmp_path):
  assert found(database, "kind0 part") == [
    "kind0/part-00.stl",
    "kind0/part-20.stl",
  ]
  reader = Database.open(database.directory, load_pipeline=Pipeline.load)
  assert found(reader, "lid") == []
  database.edit("kind0/part-00.stl", label="lid", metadata={"number": "7-11"})
  assert found(reader, "lid") == found(reader, "711") == ["kind0/part-00.stl"]
  database.remove(["kind0/part-00.stl"])
  assert found(reader, "711") == []
  path = tmp_path / "hinge.stl"
  trimesh.creation.box((3, 3, 4)).export(path)
  database.add([path], reader=HERE)
  assert found(reader, "hinge") == [str(path)]


def test_edit_keeps_what_it_is_not_given(database, tmp_path):
  name = "kind0/part-00.stl"
  database.edit(name, metadata={"material": "steel"})
  database.edit(name, label="lid")
  model = database.find_model(name)
  assert (model.label, model.metadata) == ("lid", {"material": "steel"})
  database.update(tmp_path / "models", reader=HERE)
  model = database.find_model(name)
  assert (model.label, model.metadata) == ("lid", {"material": "steel"})


def test_chosen_columns_are_shown_in_their_order_by_every_reader(database):
  metadata = {"material": "steel", "number": "1", "supplier": "RS", "x": "1"}
  database.edit("kind0/part-00.stl", metadata=metadata)
  assert database.shown_columns == ("material", "number", "supplier")
  database.show_columns(["x", "material"])
  reader = Database.open(database.directory, load_pipeline=Pipeline.load)
  assert reader.shown_columns == ("x", "material")
  database.show_columns([])
  assert database.shown_columns == ()


def test_unknown_column_cannot_be_shown(database):
  with pytest.raises(DatabaseError, match=r"'colour'; the known keys are none"):
    database.show_columns(["colour"])


def test_damaged_choice_of_columns_names_the_setting(database):
  database.edit("kind0/part-00.stl", metadata={"material": "steel"})
  database.show_columns(["material"])
  with catalogue.open_catalogue(database.directory) as connection:
    connection.execute("UPDATE setting SET value = '[' WHERE name = 'columns'")
  with pytest.raises(DatabaseError, match="the setting 'columns'"):
    database.refresh()
