import math

import numpy as np
import pytest

from dr3d.config import from_values, to_values
from dr3d.error import Dr3dError, LabelError, MeshError
from dr3d.evaluate import (
  HEADER,
  PROTOCOLS,
  Result,
  Score,
  evaluate,
  make_query,
  read_queries,
  read_splits,
  score_answers,
  tabulate,
)
from dr3d.folder import ModelFile
from dr3d.mesh import make_mesh
from dr3d.reading import Reading, read_models
from dr3d.search.query import Answer, Prediction
from dr3d.table import format_table

BOX = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 3)])
BOX_FACES = np.array(
  [
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
  ]
)  # fmt: skip


def write_box(path, size=(1.0, 1.0, 1.0)):
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = [f"v {x} {y} {z}" for x, y, z in BOX * size]
  lines += [f"f {a} {b} {c}" for a, b, c in BOX_FACES + 1]
  path.write_text("\n".join(lines))


def answer(label, confidence, *, reliable):
  return Answer(Prediction(label, confidence, reliable), ())


def test_a_score_counts_what_is_right_and_what_is_trusted():
  answers = [
    answer("a", 0.9, reliable=True),
    answer("b", 0.9, reliable=True),
    answer("a", 0.3, reliable=False),
    answer("c", 0.2, reliable=False),
    answer("d", 0.8, reliable=True),
  ]
  score = score_answers(answers, ["a", "x", "a", "x", "d"])
  assert score == Score(5, 3 / 5, 3 / 5, 2 / 3)


def test_the_precision_of_nothing_is_no_number():
  score = score_answers([answer("a", 0.1, reliable=False)], ["a"])
  assert score.accuracy == 1
  assert score.accepted == 0
  assert math.isnan(score.precision)


@pytest.mark.parametrize("labels", [[], ["a", "b"]])
def test_answers_and_labels_must_be_as_many(labels):
  with pytest.raises(ValueError, match=f"1 answers and {len(labels)} labels"):
    score_answers([answer("a", 1, reliable=True)], labels)


def test_queries_are_turned_but_keep_their_size():
  rng = np.random.default_rng(0)
  filed, turned, scanned = (
    make_query(BOX, BOX_FACES, rng, protocol=protocol, face_budget=None)
    for protocol in PROTOCOLS
  )
  plain = make_mesh(BOX, BOX_FACES)
  np.testing.assert_array_equal(filed.vertices, plain.vertices)
  assert np.abs(turned.vertices - plain.vertices).max() > 0.1
  np.testing.assert_allclose(turned.extent, plain.extent, rtol=1e-5)
  assert turned.radius == pytest.approx(plain.radius, rel=1e-5)
  assert scanned.face_count > 12
  assert 0.02 > abs(scanned.radius / plain.radius - 1) > 1e-6


def test_an_unknown_protocol_is_refused():
  with pytest.raises(ValueError, match="got 'bent'"):
    make_query(
      BOX, BOX_FACES, np.random.default_rng(0), protocol="bent", face_budget=9
    )


def test_a_query_hangs_on_seed_and_name_alone(tmp_path):
  files = []
  for name in ("one.obj", "two.obj"):
    write_box(tmp_path / name)
    files.append(ModelFile(tmp_path / name, name, "box"))
  both = read_queries(files, face_budget=64, seed=3)
  alone = read_queries(files[1:], face_budget=64, seed=3)
  other = read_queries(files[1:], face_budget=64, seed=4)
  assert list(both) == list(PROTOCOLS)
  for protocol in PROTOCOLS:
    np.testing.assert_array_equal(
      both[protocol][1].vertices, alone[protocol][0].vertices
    )
  first, second = (mesh.vertices for mesh in both["turned"])
  assert np.abs(first - second).max() > 0.01
  assert (
    np.abs(other["turned"][0].vertices - alone["turned"][0].vertices).max()
    > 0.01
  )


def test_a_damaged_query_is_named(tmp_path):
  path = tmp_path / "bad.obj"
  path.write_text("nothing")
  with pytest.raises(MeshError, match=r"bad\.obj"):
    read_queries([ModelFile(path, "bad.obj", "")], face_budget=64)


def write_table(path, text):
  path.write_text(text)
  return path


def test_splits_are_read_from_the_folders_table(tmp_path):
  write_table(
    tmp_path / "index.csv",
    "class,file,split,more\nnut,nut/a.stl,train,1\nnut,nut/b.stl,test,2\n"
    "bolt,bolt/c.stl,train,3\n",
  )
  splits = read_splits(tmp_path)
  assert {split: len(files) for split, files in splits.items()} == {
    "train": 2,
    "test": 1,
  }
  assert splits["test"] == [
    ModelFile(tmp_path / "nut/b.stl", "nut/b.stl", "nut")
  ]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("class,file\na,b\n", "lacks the column split"),
    ("", "lacks the column class and file and split"),
    ("class,file,split\n", "lists no file"),
  ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, text, message):
  path = write_table(tmp_path / "t.csv", text)
  with pytest.raises(LabelError, match=message) as caught:
    read_splits(tmp_path, path)
  assert str(path) in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
  with pytest.raises(LabelError, match=r"index\.csv cannot be read \(No such"):
    read_splits(tmp_path)


class Ruler:
  """Stands for a pipeline: the vectors are the sizes of a mesh."""

  def embed(self, meshes):
    extent = np.array([[mesh.extent] * 2 for mesh in meshes], np.float32)
    return extent / np.linalg.norm(extent, axis=-1, keepdims=True)


def test_each_protocol_is_asked_and_scored(tmp_path):
  sizes = {"cube": (6, 3, 2), "rod": (1, 1, 6), "plate": (3, 3, 0.1)}
  files, tests = [], []
  for label, size in sizes.items():
    for name, scale in (("one", 1.0), ("two", 1.1)):
      path = tmp_path / label / f"{name}.obj"
      write_box(path, np.multiply(size, scale))
      file = ModelFile(path, f"{label}/{name}.obj", label)
      (files if name == "one" else tests).append(file)
  gallery = read_models(files, face_budget=64)
  queries = read_queries(tests, face_budget=64)
  labels = [file.label for file in tests]
  results = evaluate(Ruler(), gallery, queries, labels)
  assert [result.protocol for result in results] == list(PROTOCOLS)
  for result in results:
    assert result.score == Score(3, 1.0, 1.0, 1.0)
    assert result.seconds > 0
  wrong = evaluate(Ruler(), gallery, queries, labels[1:] + labels[:1])
  assert {result.score.accuracy for result in wrong} == {0.0}


def test_pipelines_stand_side_by_side_in_a_protocol():
  score = Score(3, 1 / 3, 0.0, math.nan)
  results = {
    name: [Result(protocol, score, 1.25) for protocol in PROTOCOLS]
    for name in ("learned", "fixed")
  }
  rows = tabulate(results)
  assert [row[:2] for row in rows] == [
    [protocol, name] for protocol in PROTOCOLS for name in ("learned", "fixed")
  ]
  assert rows[0][2:] == ["3", "0.333", "0.000", "nan", "416.7"]
  assert len(rows[0]) == len(HEADER)


def test_files_that_fail_are_left_out_with_the_reason(tmp_path):
  write_box(tmp_path / "good.obj")
  (tmp_path / "bad.obj").write_text("v 0 0")
  files = [
    ModelFile(tmp_path / name, name, "box") for name in ("bad.obj", "good.obj")
  ]
  calls = []
  reading = read_models(
    files, face_budget=64, progress=lambda *call: calls.append(call)
  )
  assert isinstance(reading, Reading)
  assert reading.files == (files[1],)
  assert reading.labels == ("box",)
  assert len(reading.meshes) == 1
  (failure,) = reading.failures
  assert failure.model == "bad.obj"
  assert failure.reason.startswith("bad.obj ")
  assert calls == [(1, 2), (2, 2)]
  with pytest.raises(Dr3dError, match=r"none of 1 models .* bad\.obj"):
    read_models(files[:1], face_budget=64)


def test_columns_of_a_table_are_as_wide_as_their_widest_cell():
  text = format_table(("n", "name"), [("1", "nut"), ("10", "b")], right=(0,))
  assert text.splitlines() == ["   n  name", "   1  nut", "  10  b"]


def test_a_configuration_survives_the_way_through_plain_values():
  from dr3d.training.train import OptimizerConfig, TrainConfig

  config = TrainConfig(
    seed=3, augmentation=None, optimizer=OptimizerConfig(trainable=("light",))
  )
  assert from_values(TrainConfig, to_values(config)) == config
  assert from_values(TrainConfig, {}) == TrainConfig()


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"sede": 1}, '"sede"'),
    ({"seed": "one"}, '"seed"'),
    ({"sampling": "none"}, '"sampling"'),
    ({"optimizer": {"steps": 1.5}}, '"optimizer.steps"'),
  ],
)
def test_a_wrong_setting_is_named(values, message):
  from dr3d.training.train import TrainConfig

  with pytest.raises(ValueError, match=f"no TrainConfig.*{message}"):
    from_values(TrainConfig, values)
