"""ScaNN's index on disk: it serves, or it is ignored."""

import json
import pickle

import numpy as np
import pytest

pytest.importorskip("scann")

from dr3d.index.engine import build_index
from dr3d.index.scann_file import fingerprint, load_index, save_index
from dr3d.index.vector_index import measure_recall

pytestmark = pytest.mark.fast


def cloud(seed, count=900, size=12):
  vectors = np.random.default_rng(seed).normal(size=(count, size))
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  return vectors.astype(np.float32)


@pytest.fixture(scope="module")
def index():
  return build_index(cloud(0), engine="scann")


@pytest.fixture
def saved(index, tmp_path):
  save_index(index, tmp_path)
  (directory,) = tmp_path.iterdir()
  return directory


def test_saved_index_answers_as_before(index, saved):
  loaded = load_index(saved.parent, index.vectors)
  assert loaded.engine == "scann"
  queries = cloud(1, count=50)
  np.testing.assert_array_equal(
    loaded.search(queries, 15).ids, index.search(queries, 15).ids
  )


def test_saved_index_can_be_moved(index, saved, tmp_path, monkeypatch):
  moved = tmp_path / "other place"
  moved.mkdir()
  saved.rename(moved / saved.name)
  monkeypatch.chdir("/")
  assert load_index(moved, index.vectors).engine == "scann"


def test_same_vectors_give_same_bytes(index, saved, tmp_path):
  other = tmp_path / "other"
  other.mkdir()
  save_index(build_index(cloud(0), engine="scann"), other)
  for path in saved.iterdir():
    assert (other / saved.name / path.name).read_bytes() == path.read_bytes()


def test_files_hold_neither_vectors_nor_paths(index, saved, tmp_path):
  for path in saved.iterdir():
    assert str(tmp_path).encode() not in path.read_bytes()
    assert path.stat().st_size < index.vectors.nbytes / 2


def test_index_of_other_vectors_is_ignored(index, saved):
  assert load_index(saved.parent, cloud(1)) is None
  assert load_index(saved.parent, index.vectors[:400]) is None
  saved.rename(saved.with_name(f"index-{fingerprint(cloud(1))[:16]}"))
  assert load_index(saved.parent, index.vectors) is None


def test_index_serves_vectors_that_changed_a_little(index, saved):
  rng = np.random.default_rng(3)
  vectors = np.concatenate([index.vectors[:800], cloud(2, count=70)])
  vectors = np.concatenate([vectors, vectors[:5]])  # some twice
  vectors = vectors[rng.permutation(len(vectors))]
  loaded = load_index(saved.parent, vectors)
  assert loaded.engine == "scann"
  assert loaded.drift == pytest.approx((100 + 75) / 875)
  truth = build_index(vectors, engine="exact")
  for queries in (cloud(4, count=40), vectors[:40]):
    found, best = loaded.search(queries, 9), truth.search(queries, 9)
    hits = [
      len(np.intersect1d(a, b))
      for a, b in zip(found.ids, best.ids, strict=True)
    ]
    assert np.mean(hits) > 8.5
    assert found.ids.min() >= 0
  # What came since is searched exactly.
  new = np.flatnonzero([v.tobytes() in
                        {w.tobytes() for w in cloud(2, count=70)}
                        for v in vectors])  # fmt: skip
  np.testing.assert_array_equal(loaded.search(vectors[new], 1).ids[:, 0], new)
  assert measure_recall(loaded, truth, vectors) > 0.95
  with pytest.raises(ValueError, match="saved as it was built"):
    save_index(loaded, saved.parent)


def test_directory_without_index_gives_none(index, tmp_path):
  assert load_index(tmp_path, index.vectors) is None
  assert load_index(tmp_path / "nowhere", index.vectors) is None


@pytest.mark.parametrize(
  "name", ["manifest.json", "ah_codebook.pb", "keys.npy"]
)
@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "empty"])
def test_damaged_index_is_ignored(index, saved, name, damage):
  path = saved / name
  content = bytearray(path.read_bytes())
  if damage == "delete":
    path.unlink()
  elif damage == "flip":
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
  else:
    path.write_bytes(content[: len(content) // 2 * (damage == "truncate")])
  assert load_index(saved.parent, index.vectors) is None


class Bomb:
  def __reduce__(self):
    return pytest.fail, ("the pickle was opened",)


def test_pickled_ids_are_never_opened(index, saved):
  pickled = saved / "scann_docids.pkl"
  pickled.write_bytes(pickle.dumps(Bomb()))
  assert load_index(saved.parent, index.vectors) is None
  manifest = json.loads((saved / "manifest.json").read_text())
  import hashlib

  manifest["files"][pickled.name] = hashlib.sha256(
    pickled.read_bytes()
  ).hexdigest()
  (saved / "manifest.json").write_text(json.dumps(manifest))
  assert load_index(saved.parent, index.vectors) is None


def test_new_index_replaces_only_the_old_one(index, tmp_path):
  for name in ("index-notes", "index-0123456789abcdef.partial", "pipeline"):
    (tmp_path / name).mkdir()
  save_index(index, tmp_path)
  (first,) = tmp_path.glob("index-????????????????")
  save_index(build_index(cloud(1), engine="scann"), tmp_path)
  (second,) = tmp_path.glob("index-????????????????")
  assert first != second
  assert {path.name for path in tmp_path.iterdir()} == {
    "index-notes",
    "pipeline",
    second.name,
  }
