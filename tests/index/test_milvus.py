"""What is particular to Milvus."""

import dataclasses

import numpy as np
import pytest
from support.vectors import clusters, unit

pytest.importorskip("milvus_lite")

from dr3d.error import Dr3dError
from dr3d.index.engine import build_index
from dr3d.index.exact import ExactIndex
from dr3d.index.milvus import (
  MilvusAddress,
  build_milvus,
  drop_collections,
  make_expression,
  make_fields,
  open_milvus,
)
from dr3d.index.scann_file import fingerprint

pytestmark = pytest.mark.fast

COUNT = 2000
KINDS = ("bolt", 'nut "M8"', "Ø-ring \\ disc")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
  return f"milvus:{tmp_path_factory.mktemp('milvus') / 'milvus.db'}"


@pytest.fixture(scope="module")
def vectors():
  return clusters(0, count=COUNT)


@pytest.fixture(scope="module")
def index(vectors, engine):
  fields = [
    make_fields(
      KINDS[i % 3],
      {"steel": f"a{i % 2}", 'key "2"': "x"} if i % 5 else {},
      (i, 2.0, 1.0) if i % 7 else None,
    )
    for i in range(COUNT)
  ]
  return build_milvus(vectors, engine, fields)


@pytest.mark.parametrize(
  ("expression", "allow"),
  [
    (make_expression([KINDS[1]]), lambda i: i % 3 == 1),
    (make_expression(KINDS[1:]), lambda i: i % 3 > 0),
    (make_expression((), {"steel": ["a0"]}), lambda i: i % 10 in (2, 4, 6, 8)),
    (
      make_expression([KINDS[2]], {'key "2"': ["x"], "steel": ["a0", "a1"]}),
      lambda i: i % 3 == 2 and i % 5,
    ),
    (
      make_expression((), {}, (300.0, 1.0, 2.0), 50.0),
      lambda i: i % 7 and 250 <= i <= 350,
    ),
  ],
)
def test_filter_runs_in_milvus(index, vectors, monkeypatch, expression, allow):
  allowed = np.array([bool(allow(i)) for i in range(COUNT)])
  queries = unit(vectors[:8] + 0.05)
  truth = ExactIndex(vectors).search(queries, 20, allowed=allowed)
  monkeypatch.setattr(ExactIndex, "search", None)
  found = index.within(expression).search(queries, 20, allowed=allowed)
  hits = [
    len(set(a) & set(b)) for a, b in zip(found.ids, truth.ids, strict=True)
  ]
  assert np.mean(hits) / 20 > 0.97
  assert allowed[found.ids].all()


def test_condition_that_accepts_all_is_empty():
  assert make_expression() == ""


def test_collection_is_opened_if_it_is_whole(index, vectors, engine):
  searcher = open_milvus(engine, fingerprint(vectors), COUNT)
  assert searcher is not None
  ids, similarity = searcher.search(vectors[7], final_num_neighbors=5)
  assert ids[0] == 7
  assert similarity[0] == pytest.approx(1, abs=1e-5)
  assert open_milvus(engine, fingerprint(vectors), COUNT + 1) is None
  assert open_milvus(engine, "0" * 16, COUNT) is None


def test_models_that_came_and_went_are_searched_exactly(index, vectors):
  new = clusters(1, count=3)
  now = np.concatenate([new, vectors[100:]])
  rows = np.arange(COUNT) - 97
  rows[:100] = -1
  later = dataclasses.replace(index, vectors=now, rows=rows)
  assert later.drift == pytest.approx(103 / (COUNT - 97))
  found = later.search(new, 5)
  np.testing.assert_array_equal(found.ids[:, 0], [0, 1, 2])
  np.testing.assert_array_equal(
    later.search(vectors[100:110], 1).ids[:, 0], np.arange(3, 13)
  )


def test_dropped_collection_fails_with_a_sentence(vectors, engine):
  made = build_index(clusters(3, count=900), engine=engine)
  drop_collections(engine, [fingerprint(made.vectors), "0" * 16])
  assert open_milvus(engine, fingerprint(made.vectors), 900) is None
  with pytest.raises(Dr3dError, match=r"^Milvus at .* cannot search \(.*\)"):
    made.search(made.vectors[:1], 3)


@pytest.mark.parametrize(
  ("engine", "message"),
  [
    ("milvus:", "must be milvus:URI"),
    ("milvus:a.db?type=FLAT", "must be milvus:URI"),
    ("milvus:folder", r"ends in \.db"),
    ("milvus:a.db?index=SCANN", "milvus-lite has no index SCANN, only"),
    ("milvus:a.db?index=DISKANN", "milvus-lite has no index DISKANN, only"),
  ],
)
def test_address_that_cannot_be_used_raises(engine, message):
  with pytest.raises(ValueError, match=message):
    build_index(clusters(0, count=100), engine=engine)


def test_index_of_a_server_is_not_limited():
  address = MilvusAddress.parse("milvus:http://host:19530?index=diskann")
  assert address == MilvusAddress("http://host:19530", "DISKANN")
  assert MilvusAddress.parse("milvus:http://host:19530").index == "HNSW"


def test_milvus_lite_ignores_what_it_does_not_know(tmp_path):
  """Why `MilvusAddress` rejects names; if this fails, it may no longer."""
  from pymilvus import MilvusClient

  client = MilvusClient(str(tmp_path / "lite.db"))
  params = client.prepare_index_params()
  params.add_index(
    "vector", index_type="NONSENSE", metric_type="IP", params={"no": 1}
  )
  client.create_collection("lite", dimension=4, metric_type="IP", auto_id=False)
  client.release_collection("lite")
  client.drop_index("lite", "vector")
  client.create_index("lite", params)
  client.insert("lite", [{"id": 3, "vector": [1.0, 0, 0, 0]}])
  client.load_collection("lite")
  state = client.describe_index("lite", "vector")
  assert (state["index_type"], state["state"]) == ("NONSENSE", "Finished")
  (hits,) = client.search("lite", [[1.0, 0, 0, 0]], search_params={"no": 2})
  assert [hit["id"] for hit in hits] == [3]
