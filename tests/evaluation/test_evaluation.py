import csv
import json
import math
import re

import numpy as np
import pytest

import dr3d
from dr3d import cli
from dr3d.camera.view import make_views, sphere_views, view_directions
from dr3d.data.folder import find_models
from dr3d.error import Dr3dError, MeshError
from dr3d.evaluation import metric
from dr3d.evaluation.acceptance import accept
from dr3d.evaluation.false_accept import FalseAccept, find_false_accepts
from dr3d.evaluation.leak import Leak, find_leaks
from dr3d.evaluation.method import (
  Method,
  choose_views,
  make_distribution_method,
  make_pipeline_method,
)
from dr3d.evaluation.model_set import list_database, list_files, read_model_set
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report.summary import (
  describe_false_accepts,
  describe_leaks,
  summarize_all,
)
from dr3d.evaluation.run import EvaluateConfig, evaluate, evaluate_database
from dr3d.evaluation.similarity import (
  KINDS,
  Similarity,
  add_votes,
  compare_vectors,
)
from dr3d.evaluation.task import RetrievalTask, run_task
from dr3d.mesh import make_mesh
from dr3d.search.answer import TARGET_PRECISION
from dr3d.search.gallery import make_gallery
from dr3d.search.matching import find_matches
from dr3d.search.query import Query

BOX = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
BOX_FACES = np.array(
  [
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
  ]
)  # fmt: skip
SIZES = {"cube": (6, 5.5, 5), "rod": (1, 1.2, 6), "plate": (3, 4, 0.1)}


def write_box(path, size):
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in BOX * size]
  lines += [f"f {a} {b} {c}" for a, b, c in BOX_FACES + 1]
  path.write_text("\n".join(lines))
  return path


@pytest.fixture
def models(tmp_path):
  for label, size in SIZES.items():
    for i, scale in enumerate((1.0, 1.05, 1.1)):
      size_i = np.multiply(size, (scale, 1, 1))
      write_box(tmp_path / "models" / label / f"{i}.obj", size_i)
  write_box(tmp_path / "models" / "odd" / "0.obj", (1, 2, 3))
  write_box(tmp_path / "models" / "loose.obj", (2, 3, 4))
  return tmp_path / "models"


def unit(vectors):
  return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def random_vectors(seed, *shape):
  vectors = np.random.default_rng(seed).normal(size=shape)
  return unit(vectors).astype(np.float32)


class Ruler:
  """Stands for a pipeline: the vectors are the sizes of a mesh."""

  face_budget = 64
  fingerprint = "ruler"
  views = make_views(sphere_views(2))

  def embed(self, meshes):
    extent = np.array([[mesh.extent] * 2 for mesh in meshes], np.float32)
    return unit(extent)

  def save(self, directory):
    directory.mkdir()


@pytest.fixture
def database(models, tmp_path):
  made = dr3d.Database.create(
    tmp_path / "boxes.db", Ruler(), load_pipeline=lambda _: Ruler()
  )
  made.update(models)
  return made


# Similarity.


def test_similarity_kinds_agree_with_loops():
  queries, gallery = random_vectors(0, 2, 3, 5), random_vectors(1, 4, 3, 5)
  for kind in KINDS:
    similarity = compare_vectors(queries, gallery, kind=kind)
    for q in range(2):
      for b in range(4):
        cosine = [[u @ v for v in gallery[b]] for u in queries[q]]
        forth = np.mean([max(row) for row in cosine])
        back = np.mean([max(column) for column in zip(*cosine, strict=True)])
        one, two = queries[q].sum(axis=0), gallery[b].sum(axis=0)
        expected = {
          "max": forth,
          "vote": forth,
          "symmetric": (forth + back) / 2,
          "aligned": np.mean([cosine[n][n] for n in range(3)]),
          "view_aligned": (forth + np.mean([cosine[n][n] for n in range(3)]))
          / 2,
          "pooled": one @ two / np.linalg.norm(one) / np.linalg.norm(two),
        }[kind]
        assert similarity.whole[q, b] == pytest.approx(expected, abs=1e-6)
        parts = [max(row) for row in cosine]
        if kind == "view_aligned":
          parts = [
            (part + cosine[n][n]) / 2 + 0.15 * expected
            for n, part in enumerate(parts)
          ]
        np.testing.assert_allclose(similarity.parts[q, :, b], parts, atol=1e-6)


def test_unknown_similarity_kind_raises():
  vectors = random_vectors(0, 1, 1, 2)
  with pytest.raises(ValueError, match="got 'worst'"):
    compare_vectors(vectors, vectors, kind="worst")


def test_votes_rank_before_similarity():
  parts = np.array([[[0.9, 0.8, 0.1], [0.2, 0.8, 0.1], [0.8, 0.7, 0.1]]])
  whole = np.array([[0.1, 0.9, -np.inf]])
  order = np.argsort(-add_votes(Similarity(parts, whole)))
  assert order.tolist() == [[0, 1, 2]]


# Trials.


def test_leave_one_out_equals_a_query_without_the_model():
  vectors = random_vectors(2, 40, 4, 6)
  names = tuple(f"{i:02}" for i in range(40))
  labels = tuple("abcd"[i % 4] for i in range(40))
  task = RetrievalTask(names, labels, names, labels, np.arange(40))
  lists = []
  (result,) = run_task(
    task,
    make_pipeline_method(Ruler(), kind="view_aligned"),
    vectors,
    vectors,
    searches=("exact",),
    sink=lists.append,
  )
  gallery = make_gallery(vectors, names, labels)
  order = np.concatenate([some.order for some in lists])
  for i in range(40):
    answer = find_matches(Query(vectors[i]), gallery, k=39, exclude=[names[i]])
    assert [names[m] for m in order[i]] == [m.model for m in answer.matches]
    assert result.known.labels[i] == answer.prediction.label
    prediction = answer.prediction
    assert result.calibration.estimate(
      result.known.observations.margin[i]
    ) == pytest.approx(prediction.probability, abs=2e-4)
    assert result.known.right[i] == (prediction.label == labels[i])
    evidence = result.known.evidence[i]
    candidates = gallery.find_candidates(
      vectors[i],
      k=1,
      allowed=np.arange(40) != i,
      similarity="view_aligned",
    )
    expected = gallery.weigh(candidates, similarity="view_aligned")
    assert evidence.label == expected.label
    assert evidence.rejection_score == pytest.approx(
      expected.rejection_score, abs=1.5e-6
    )
    others = [
      n for n, label in zip(names, labels, strict=True) if label != labels[i]
    ]
    strange = find_matches(Query(vectors[i]), gallery, only=others)
    assert result.calibration.estimate(
      result.unknown.observations.margin[i]
    ) == pytest.approx(strange.prediction.probability, abs=2e-4)
  measured = gallery.calibrate()
  for mine, its in zip(
    (result.calibration.unknown_class, result.calibration.in_database),
    (measured.unknown_class, measured.in_database),
    strict=True,
  ):
    np.testing.assert_allclose(mine.margin, its.margin, atol=2e-6)
    np.testing.assert_array_equal(mine.right, its.right)
    np.testing.assert_allclose(
      mine.rejection_score, its.rejection_score, atol=1e-6
    )
  relevant = np.array(labels)[:, None] == np.array(labels)
  hits = np.take_along_axis(relevant, order, axis=1)
  for name, values in metric.measure(hits).items():
    np.testing.assert_array_equal(result.measures[name], values)


def test_approximate_search_marks_models_that_are_not_found():
  pytest.importorskip("scann")
  count, size = 1200, 16
  vectors = random_vectors(3, count, 3, size)
  names = tuple(f"{i:04}" for i in range(count))
  labels = tuple(str(i // 4) for i in range(count))
  asked = slice(0, 40)
  own = np.arange(40)
  task = RetrievalTask(names[asked], labels[asked], names, labels, own)
  lists = []
  exact, approximate = run_task(
    task,
    make_pipeline_method(Ruler(), kind="max"),
    vectors[asked],
    vectors,
    kind="max",
    sink=lists.append,
  )
  assert (exact.search, approximate.search) == ("exact", "approximate")
  for some in lists:
    missing = np.isneginf(some.score).sum()
    assert (missing > 0) == (some.search == "approximate")
  same = exact.best[:, 0] == approximate.best[:, 0]
  # Vectors without any structure are the hardest case for short vectors.
  assert same.mean() > 0.6
  full, cut = (x.measures["mAP"].mean() for x in (exact, approximate))
  assert cut < full + 0.01


def test_method_with_equal_similarities_has_the_worst_measures():
  names = tuple("abcdef")
  labels = tuple("xxxyyy")
  task = RetrievalTask(names, labels, names, labels, np.arange(6))
  blind = Method(
    "blind",
    lambda meshes, progress: np.zeros((len(meshes), 1)),
    lambda q, g: Similarity(np.zeros((len(q), 1, 6)), np.zeros((len(q), 6))),
  )
  (result,) = run_task(task, blind, np.zeros((6, 1)), np.zeros((6, 1)))
  assert not result.measures["NN"].any()
  hits = np.array([[False, False, False, True, True]])
  assert result.measures["mAP"][0] == metric.measure(hits)["mAP"][0]


# Protocols.


def test_rotated_queries_keep_their_size():
  size = BOX * (1, 2, 3)
  plain = make_mesh(size, BOX_FACES)

  def make(**protocol):
    return make_query(
      size,
      BOX_FACES,
      name="box",
      protocol=Protocol(**protocol),
      face_budget=None,
    )

  np.testing.assert_array_equal(make().vertices, plain.vertices)
  for rotation in ("z", "so3"):
    turned = make(rotation=rotation)
    assert np.abs(turned.vertices - plain.vertices).max() > 0.1
    np.testing.assert_allclose(turned.extent, plain.extent, rtol=1e-5)
    heights = np.abs(turned.vertices[:, 2]) - np.abs(plain.vertices[:, 2])
    assert (np.abs(heights).max() < 1e-6) == (rotation == "z")
  scanned = make(rotation="so3", scan=True)
  assert scanned.face_count > 12
  assert 0.02 > abs(scanned.radius / plain.radius - 1) > 1e-6


def test_query_depends_only_on_seed_and_name():
  def turn(name, seed):
    protocol = Protocol("so3", seed=seed)
    return make_query(
      BOX, BOX_FACES, name=name, protocol=protocol, face_budget=None
    ).vertices

  np.testing.assert_array_equal(turn("a", 3), turn("a", 3))
  assert np.abs(turn("a", 3) - turn("b", 3)).max() > 0.01
  assert np.abs(turn("a", 3) - turn("a", 4)).max() > 0.01


def test_random_rotations_are_uniform():
  vertices = np.concatenate([BOX, [[0, 0, 9]]])
  faces = np.concatenate([BOX_FACES, [[1, 5, 8]]])
  tips = []
  for i in range(300):
    mesh = make_query(
      vertices, faces, name=str(i), protocol=Protocol("so3"), face_budget=None
    )
    tips.append(mesh.vertices[np.linalg.norm(mesh.vertices, axis=1).argmax()])
  mean = unit(np.array(tips)).mean(axis=0)
  assert np.linalg.norm(mean) < 4 / math.sqrt(300)


def test_unknown_rotation_raises():
  with pytest.raises(ValueError, match="got 'y'"):
    Protocol("y")


def test_chosen_views_are_far_apart():
  views = make_views(sphere_views(12))
  chosen = choose_views(views, 3)
  assert chosen[0] == 0
  assert len(set(chosen.tolist())) == 3
  cosine = np.asarray(view_directions(views.quaternion[chosen]))
  cosine = (cosine @ cosine.T)[~np.eye(3, dtype=bool)]
  assert cosine.max() < 0.3
  assert sorted(choose_views(views, 12)) == list(range(12))
  with pytest.raises(Dr3dError, match="12 views, so 13 cannot"):
    choose_views(views, 13)


# Whole evaluations.


def test_leave_one_out_of_a_database_scores_each_model(database):
  # The pipeline was hardly trained: its vectors are near each other.
  config = EvaluateConfig(searches=("exact",), target_precision=0)
  evaluation = evaluate_database(database, config=config)
  assert evaluation.task.queries == tuple(
    f"{label}/{i}.obj" for label in sorted(SIZES) for i in range(3)
  )
  assert (evaluation.single, evaluation.unlabelled) == (1, 1)
  assert len(evaluation.task.models) == 11
  assert evaluation.leaks == evaluation.failures == ()
  (means,) = summarize_all(evaluation)
  assert means["NN"].micro.value == means["vote"].macro.value == 1
  assert means["accepted"].micro.value == means["right"].micro.value == 1


def test_rotated_queries_are_made_of_their_files(database, models):
  config = EvaluateConfig(
    Protocol("so3"), methods=("pipeline", "d2"), searches=("exact",)
  )
  (models / "rod" / "1.obj").unlink()
  write_box(models / "rod" / "2.obj", (9, 9, 9))
  evaluation = evaluate_database(database, config=config)
  assert [result.method for result in evaluation.results] == [
    "pipeline",
    "d2",
  ]
  reasons = {f.model: f.reason for f in evaluation.failures}
  assert list(reasons) == ["rod/1.obj", "rod/2.obj"]
  assert "has changed since it was indexed" in reasons["rod/2.obj"]
  # Of rods one is left, so it cannot be asked for any more.
  assert (evaluation.single, len(evaluation.task.queries)) == (2, 6)
  for means in summarize_all(evaluation):
    assert means["NN"].micro.value == 1


def test_rotated_queries_do_not_use_stored_vectors(models, tmp_path):
  class Box(Ruler):
    """Sees the axes of the file."""

    def embed(self, meshes):
      sizes = [[np.ptp(mesh.vertices, axis=0)] * 2 for mesh in meshes]
      return unit(np.array(sizes, np.float32))

  made = dr3d.Database.create(
    tmp_path / "axes.db", Box(), load_pipeline=lambda _: Box()
  )
  made.update(models)
  filed, turned = (
    evaluate_database(
      made, config=EvaluateConfig(Protocol(rotation), searches=("exact",))
    )
    for rotation in ("none", "so3")
  )
  one, two = (e.results[0].measures["mAP"] for e in (filed, turned))
  assert one.min() == 1
  assert two.min() < 1


def test_moved_files_raise_unless_their_folder_is_named(
  database, models, tmp_path
):
  models.rename(tmp_path / "moved")
  config = EvaluateConfig(Protocol("z"), searches=("exact",))
  with pytest.raises(Dr3dError, match=r"does not exist.*--models"):
    evaluate_database(database, config=config)
  found = evaluate_database(database, config=config, models=tmp_path / "moved")
  assert len(found.task.queries) == 9


def test_query_files_are_searched_among_all_models(database, tmp_path):
  write_box(tmp_path / "new" / "rod" / "a.obj", (1, 1.2, 6.9))
  write_box(tmp_path / "new" / "rod" / "b.obj", (3, 3.9, 0.1))  # a plate
  write_box(tmp_path / "new" / "ball" / "c.obj", (1, 1, 1))
  write_box(tmp_path / "new" / "d.obj", (1, 1, 1))
  (tmp_path / "new" / "e.obj").write_text("nothing")
  evaluation = evaluate_database(
    database,
    queries=find_models(tmp_path / "new"),
    config=EvaluateConfig(searches=("exact",)),
  )
  assert evaluation.task.queries == ("rod/a.obj", "rod/b.obj")
  assert evaluation.task.own is None
  assert (evaluation.single, evaluation.unlabelled) == (1, 1)
  assert [failure.model for failure in evaluation.failures] == ["e.obj"]
  (result,) = evaluation.results
  assert result.measures["NN"].tolist() == [1, 0]
  assert result.known.labels == ("rod", "plate")


def write_sizes(folder, sizes):
  """Boxes by label; the files."""
  for label, several in sizes.items():
    for i, size in enumerate(several):
      write_box(folder / label / f"{i}.obj", size)
  return find_models(folder)


QUERIES = {
  "cube": [(6, 5.5, 5), (6, 5.5, 0.5), (6, 5.5, 4.5)],
  "rod": [(1, 1.2, 6), (0.1, 1.2, 6)],
  "plate": [(3, 4, 0.1), (3, 4, 3), (6, 8, 0.2)],
}


@pytest.mark.parametrize("verify", [0, 2])
def test_evaluation_predicts_as_a_query_does(database, tmp_path, verify):
  files = write_sizes(tmp_path / "new", QUERIES)
  evaluation = evaluate_database(
    database,
    queries=files,
    config=EvaluateConfig(searches=("exact", "verified"), verify=verify),
  )
  result = evaluation.results[-1]
  assert result.search == ("verified" if verify else "exact")
  assert len(evaluation.results) == 1 + bool(verify)
  accepted, _ = accept(
    result, evaluation.task, target_precision=TARGET_PRECISION
  )
  names = evaluation.task.models
  for i, file in enumerate(files):
    mesh = dr3d.load_mesh(file.path, face_budget=64)
    # As many are registered; an evaluation does not count sizes.
    answer = database.query(mesh, k=1, verify=verify, size="ignore")
    assert answer.prediction.accepted == accepted[i]
    assert answer.prediction.label == result.known.labels[i]
    if result.measures["NN"][i]:  # or a wrong one is as alike
      assert answer.matches[0].model == names[result.best[i, 0]]


def test_registered_models_support_their_label(database, tmp_path):
  files = write_sizes(tmp_path / "new", QUERIES)
  evaluation = evaluate_database(
    database,
    queries=files,
    config=EvaluateConfig(searches=("exact", "verified")),
  )
  exact, laid = evaluation.results
  # Of these the database has the very shape.
  known = [file.name for file in files].index("plate/0.obj")
  support = laid.known.observations.margin - exact.known.observations.margin
  assert support[known] > 0.05
  rejection_score = (
    laid.known.observations.rejection_score
    - exact.known.observations.rejection_score
  )
  np.testing.assert_allclose(rejection_score, support)
  assert (
    abs(
      laid.unknown.observations.margin - exact.unknown.observations.margin
    ).max()
    > 0
  )
  assert laid.score[known, 0] > exact.score[known].max()


def test_false_accepts_are_listed_by_name(database, tmp_path):
  files = write_sizes(tmp_path / "new", {"rod": [(3, 4, 0.1), (1, 1.2, 6)]})
  evaluation = evaluate_database(
    database,
    queries=files,
    config=EvaluateConfig(searches=("exact", "verified"), target_precision=0.0),
  )
  exact, laid = (
    find_false_accepts(result, evaluation.task, target_precision=0.0)
    for result in evaluation.results
  )
  # The first has the very shape of a plate.
  assert laid == [FalseAccept("rod/0.obj", "rod", "plate", "plate/0.obj", 0.0)]
  assert [mistake.query for mistake in exact] == ["rod/0.obj"]
  assert exact[0].distance is None
  text = describe_false_accepts(evaluation)
  lines = [line.split() for line in text.splitlines()]
  assert " ".join(lines[0]).startswith("False accepts by pipeline, verified: 1")
  assert lines[2] == ["rod/0.obj", "plate", "0.0", "plate/0.obj"]
  assert lines[3][:3] == ["1", "within", "0.5,"]


def test_result_without_false_accepts_says_none(database):
  evaluation = evaluate_database(
    database, config=EvaluateConfig(searches=("exact",), target_precision=1.0)
  )
  assert describe_false_accepts(evaluation).endswith("pipeline, exact: none.")


def test_baselines_have_no_verified_search(database):
  evaluation = evaluate_database(
    database, config=EvaluateConfig(methods=("pipeline", "d2"))
  )
  laid = [o.method for o in evaluation.results if o.search == "verified"]
  assert laid == ["pipeline"]


def test_labels_of_a_table_replace_those_of_the_database(database):
  labels = {"odd/0.obj": "small", "loose.obj": "small"}
  evaluation = evaluate_database(
    database, labels=labels, config=EvaluateConfig(searches=("exact",))
  )
  assert evaluation.task.queries == ("loose.obj", "odd/0.obj")
  assert evaluation.unlabelled == 9


def test_evaluation_without_scorable_query_raises(database):
  with pytest.raises(Dr3dError, match="none of 11 queries can be scored"):
    evaluate_database(database, labels={"odd/0.obj": "a", "loose.obj": "b"})


def test_unknown_method_raises_with_the_known_ones(database):
  with pytest.raises(Dr3dError, match=r"unknown method 'sift': name pipe"):
    evaluate_database(database, config=EvaluateConfig(methods=("sift",)))


# Leaks.


def test_leaks_are_found_by_file_and_by_geometry(database, models, tmp_path):
  new = tmp_path / "new"
  same = new / "rod" / "same.obj"
  same.parent.mkdir(parents=True)
  same.write_bytes((models / "rod" / "0.obj").read_bytes())
  turned = dr3d.load_mesh(models / "plate" / "1.obj", face_budget=None)
  turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
  vertices = turned.vertices @ turn * 7 + 3
  lines = ["v {} {} {}".format(*v) for v in vertices]
  lines += ["f {} {} {}".format(*f) for f in turned.faces + 1]
  path = new / "plate" / "turned.obj"
  path.parent.mkdir()
  path.write_text("\n".join(lines))
  write_box(new / "cube" / "other.obj", (6.1, 5.5, 5))
  queries, failures = read_model_set(
    list_files(find_models(new)),
    protocol=Protocol("so3", scan=True),
    face_budget=64,
  )
  assert not failures
  leaks = find_leaks(queries, list_database(database, folder=models), own=False)
  assert leaks == [
    Leak("plate/turned.obj", "plate/1.obj", "geometry"),
    Leak("rod/same.obj", "rod/0.obj", "file"),
  ]


def test_equal_models_of_a_database_are_leaks_of_a_leave_one_out(
  database, models
):
  twin = models / "cube" / "twin.obj"
  twin.write_bytes((models / "cube" / "0.obj").read_bytes())
  database.update(models)
  evaluation = evaluate_database(
    database, config=EvaluateConfig(searches=("exact",))
  )
  assert evaluation.leaks == (
    Leak("cube/0.obj", "cube/twin.obj", "file"),
    Leak("cube/twin.obj", "cube/0.obj", "file"),
  )
  text = describe_leaks(evaluation)
  assert "2 queries have the same file" in text
  assert "(cube/0.obj is cube/twin.obj)" in text


# Methods.


def test_progress_is_reported_for_each_mesh():
  calls = []
  make_distribution_method().describe(
    [make_mesh(BOX, BOX_FACES)] * 2, lambda *call: calls.append(call)
  )
  assert calls == [(1, 2), (2, 2)]


def test_set_without_meshes_and_vectors_raises(database, models):
  side = list_database(database, folder=models)
  with pytest.raises(ValueError, match="meshes are needed for the method d2"):
    evaluate(
      side,
      side,
      [make_distribution_method()],
      own=True,
      config=EvaluateConfig(),
    )


def test_unreadable_query_file_is_a_failure_with_its_name(tmp_path):
  (tmp_path / "bad.obj").write_text("nothing")
  with pytest.raises((MeshError, Dr3dError), match=r"bad\.obj"):
    read_model_set(
      list_files(find_models(tmp_path)), protocol=Protocol(), face_budget=64
    )


# The command.


@pytest.fixture
def real(database, monkeypatch):
  """A database that the command can open."""
  monkeypatch.setattr(dr3d.Pipeline, "load", lambda _: Ruler())
  return database.directory


def test_the_command_prints_protocol_and_table_and_writes_lists(
  real, tmp_path, capsys
):
  rankings = tmp_path / "lists" / "r.csv"
  call = ["evaluate", f"--db={real}", "--method=pipeline,d2", "--views=1"]
  assert cli.main([*call, f"--rankings={rankings}"]) == 0
  out, err = capsys.readouterr()
  # A slow machine may print progress after some seconds, but nothing else.
  assert all(re.search(r"\d+ of \d+ files", line) for line in err.splitlines())
  lines = out.splitlines()
  assert lines[0].startswith(
    "Protocol: leave-one-out in boxes.db; 9 queries of"
  )
  assert "1 left out: no label; 1 left out as queries" in lines[0]
  assert "similarity view_aligned of 1 views" in lines[0]
  assert lines[1].startswith("Leaks: none")
  assert lines[3].split() == (
    [
      "method",
      "search",
      "mean",
      "NN",
      "FT",
      "ST",
      "E",
      "DCG",
      "mAP",
      "vote",
      "accepted",
      "right",
      "false_accept",
    ]
  )
  assert "False accepts by pipeline, verified: " in out
  rows = list(csv.DictReader(rankings.open()))
  lists = {}
  for row in rows:
    key = row["method"], row["search"], row["query"]
    lists.setdefault(key, []).append(row)
  assert cli.main([*call, "--json"]) == 0
  values = json.loads(capsys.readouterr().out)
  assert values["single"] == values["unlabelled"] == 1
  for result in values["results"]:
    kept = {
      key[2]: several
      for key, several in lists.items()
      if key[:2] == (result["method"], result["search"])
    }
    assert len(kept) == 9
    for several in kept.values():
      assert [int(row["rank"]) for row in several] == list(range(1, 11))
      scores = [float(row["score"]) for row in several]
      assert scores == sorted(scores, reverse=True)
    firsts = [
      key.split("/")[0] == several[0]["model"].split("/")[0]
      for key, several in kept.items()
    ]
    measures = result["measures"]
    found = measures["NN"]["micro"]
    assert found["value"] == pytest.approx(np.mean(firsts))
    wrong = round(9 * measures["accepted"]["micro"]["value"])
    if wrong:
      wrong -= round(wrong * measures["right"]["micro"]["value"])
    assert len(result["false_accepts"]) == wrong
    assert found["low"] <= found["value"] <= found["high"]


@pytest.mark.parametrize(
  ("flags", "status", "message"),
  [
    (["--report=r.pdf"], 2, "must end in one of .htm, .html"),
    (["--views=3"], 1, "there are 2 views, so 3 cannot be compared"),
    (["--rotation=x"], 2, "must be one of none, z, so3"),
    (["--labels=none.csv"], 1, "none.csv cannot be read"),
  ],
)
def test_invalid_arguments_of_the_command_fail_with_a_sentence(
  flags, status, message, request, capsys
):
  db = request.getfixturevalue("real")
  assert cli.main(["evaluate", f"--db={db}", *flags]) == status
  out, err = capsys.readouterr()
  assert out == ""
  assert message in err
