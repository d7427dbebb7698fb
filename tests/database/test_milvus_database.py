"""A database whose index is in Milvus answers as one that is not."""

import numpy as np
import pytest

pytest.importorskip("milvus_lite")

from support.vectors import unit

from dr3d.database import catalogue
from dr3d.database.condition import Condition
from dr3d.database.model import Model
from dr3d.database.reader import DatabaseReader
from dr3d.database.writer import Database
from dr3d.index import milvus
from dr3d.search import candidate
from dr3d.search.query import Query

COUNT, N, D = 1500, 3, 12


class Pipeline:
  """Enough of a pipeline to make a database; nothing is embedded here."""

  fingerprint = "one"
  face_budget = 100

  def save(self, directory):
    directory.mkdir(parents=True)
    (directory / "pipeline.json").write_text("{}")


def draw(seed, count):
  rng = np.random.default_rng(seed)
  centers = np.random.default_rng(9).normal(size=(30, N, D))
  kind = np.arange(count) % 30
  return unit(centers[kind] + 0.6 * rng.normal(size=(count, N, D)))


def make_model(number, features):
  return Model(
    f"{number:05d}.stl",
    f"kind {number % 30}",
    f"{number}",
    "indexed",
    "",
    "one",
    radius=1.0 + number,
    extent=(1.0 + number, 1.0, 0.5),
    face_count=1,
    metadata={"steel": f"a{number % 4}"},
    features=features,
  )


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  return tmp_path_factory.mktemp("milvus")


@pytest.fixture(scope="module")
def engine(directory):
  return f"milvus:{directory / 'milvus.db'}"


@pytest.fixture(scope="module")
def database(directory, engine):
  made = Database.create(directory / "db", Pipeline(), engine=engine)
  with catalogue.open_catalogue(made.directory) as connection:
    catalogue.write_models(
      connection, [make_model(*pair) for pair in enumerate(draw(0, COUNT))]
    )
  made.refresh()
  with made._writing():
    made._keep_derived()
  return made


@pytest.fixture(autouse=True)
def _looks_up(monkeypatch):
  monkeypatch.setattr(candidate, "_DIRECT", 0)
  monkeypatch.setattr("dr3d.index.model_index.MIN_MODELS", 60)
  monkeypatch.setattr("dr3d.index.model_index._MODELS_PER_MATCH", 6)
  monkeypatch.setattr("dr3d.index.model_index._DENSE_MODELS", 1.0)


def ask(reader, features, **options):
  return reader.query(Query(features), **options)


def test_stored_index_is_opened_and_answers_alike(database, engine):
  again = DatabaseReader.open(database.directory, engine=engine)
  exact = DatabaseReader.open(database.directory, engine="exact")
  assert again.gallery.index.engine == "milvus"
  assert exact.gallery.index.engine == "exact"
  same = [
    ask(again, features).matches == ask(exact, features).matches
    for features in draw(1, 20)
  ]
  assert np.mean(same) >= 0.9


@pytest.mark.parametrize(
  "condition",
  [
    Condition(labels=["kind 3", "kind 4"]),
    Condition(where={"steel": ["a1"]}),
    Condition(
      labels=[f"kind {i}" for i in range(9)], where={"steel": ["a1", "a3"]}
    ),
  ],
)
def test_condition_is_a_filter_of_milvus(
  database, engine, monkeypatch, condition
):
  again = DatabaseReader.open(database.directory, engine=engine)
  exact = DatabaseReader.open(database.directory, engine="exact")
  asked = []
  search = milvus.MilvusSearcher.search
  monkeypatch.setattr(
    milvus.MilvusSearcher,
    "search",
    lambda self, *given, **options: (
      asked.append(self.expression) or search(self, *given, **options)
    ),
  )
  for features in draw(2, 6):
    found = ask(again, features, condition=condition, k=5)
    truth = ask(exact, features, condition=condition, k=5)
    assert [m.model for m in found.matches] == [m.model for m in truth.matches]
  assert set(asked) == {condition.express(())}


def test_edited_label_is_found_by_its_new_name(database, engine):
  name = "00007.stl"
  features = database.gallery.features[7]
  database.label(name, "odd")
  again = DatabaseReader.open(database.directory, engine=engine)
  assert again.gallery.index.engine == "milvus"
  assert again.gallery.index.index.drift > 0
  for label, expected in (("odd", [name]), ("kind 7", None)):
    answer = ask(again, features, condition=Condition(labels=[label]), k=3)
    found = [match.model for match in answer.matches]
    assert found == expected or (expected is None and name not in found)


def test_purged_database_leaves_no_collection(database, engine):
  address = milvus.MilvusAddress.parse(engine)
  assert len(address.connect().list_collections()) == 1
  database.remove(["00011.stl"], purge=True)
  names = address.connect().list_collections()
  again = DatabaseReader.open(database.directory, engine=engine)
  assert len(names) == 1  # of a new build, without the model
  assert again.gallery.index.index.searcher.count == COUNT - 1
