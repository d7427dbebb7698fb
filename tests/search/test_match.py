import dataclasses
import functools
import importlib.util
import json
import math

import numpy as np
import pytest

from dr3d.index.vector_index import Index
from dr3d.search import candidate
from dr3d.search.calibration import AIM, Calibration, target_on_average
from dr3d.search.match import Answer, Match, find_matches, make_gallery
from dr3d.search.vote import AMBIGUOUS, UNKNOWN, Prediction

pytestmark = pytest.mark.fast


def unit(vectors):
  vectors = np.asarray(vectors, np.float64)
  length = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return (vectors / length).astype(np.float32)


def at(*degrees):
  """Unit vectors in the plane: all cosines are cosines of differences."""
  angle = np.radians(degrees)
  return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def cosine(*degrees):
  return round(
    sum(math.cos(math.radians(d)) for d in degrees) / len(degrees), 6
  )


@pytest.fixture(scope="module")
def plane():
  features = np.stack([at(0, 60), at(100, 150), at(200, 260)])
  return make_gallery(features, ["a", "b", "c"], ["nut", "bolt", "nut"])


@pytest.fixture(autouse=True)
def _probability_is_the_lead(monkeypatch):
  """So that it can be told by hand; what it is worth is for test_trust."""
  monkeypatch.setattr(
    Calibration, "estimate", lambda _, margin: np.asarray(margin)
  )


find_best = functools.partial(find_matches, kind="max")
near = functools.partial(pytest.approx, abs=3e-6)


def vote_slowly(features, stored, names, labels, *, k, exclude=(), kind="max"):
  """Independent oracle: the rule in plain Python, pair by pair."""
  models = sorted(
    (name, label, [list(map(float, v)) for v in views])
    for name, label, views in zip(names, labels, stored, strict=True)
    if name not in exclude
  )
  exact = [
    [
      max(sum(map(float.__mul__, map(float, q), v)) for v in views)
      for q in features
    ]
    for _, _, views in models
  ]
  if kind == "view_aligned":
    for row, (_, _, views) in zip(exact, models, strict=True):
      for n, (q, v) in enumerate(zip(features, views, strict=True)):
        row[n] = (row[n] + sum(map(float.__mul__, map(float, q), v))) / 2
  score = [sum(row) / len(row) for row in exact]
  share = {"max": 0.0, "view_aligned": 0.15}[kind]
  best = [
    [float(np.float32(number + share * whole)) for number in row]
    for row, whole in zip(exact, score, strict=True)
  ]
  nearest = [
    min(range(len(models)), key=lambda m: (-best[m][q], models[m][0]))
    for q in range(len(features))
  ]
  votes = [nearest.count(m) for m in range(len(models))]
  score = [round(number, 6) for number in score]
  order = sorted(range(len(models)), key=lambda m: (-score[m], models[m][0]))
  ballots = {}
  for q, m in enumerate(nearest):
    if models[m][1]:
      ballots.setdefault(models[m][1], []).append(best[m][q])
  label = min(
    ballots, key=lambda l: (-len(ballots[l]), -round(sum(ballots[l]), 6), l)
  )
  kin = [
    row for row, model in zip(best, models, strict=True) if model[1] == label
  ]
  others = [
    row for row, model in zip(best, models, strict=True) if model[1] != label
  ]
  margin = [
    max(row[q] for row in kin) - max(row[q] for row in others)
    for q in range(len(features))
  ]
  return (
    label,
    len(ballots[label]) / len(features),
    near(sum(margin) / len(margin)),
    [(models[m][0], models[m][1], score[m], votes[m]) for m in order[:k]],
  )


def as_oracle(answer):
  return (
    answer.prediction.label,
    answer.prediction.confidence,
    answer.prediction.probability,
    [(m.model, m.label, m.score, m.votes) for m in answer.matches],
  )


def test_the_votes_and_scores_of_a_plane_world_are_those_of_the_protractor(
  plane,
):
  # Nearest: 10° → a (0°), 55° → a (60°), 110° → b (100°).
  answer = find_best(at(10, 55, 110), plane)
  margin = cosine(10, 5, 50) - cosine(90, 45, 10)
  assert answer.prediction == Prediction("nut", 2 / 3, near(margin), AMBIGUOUS)
  assert [(m.rank, m.model, m.label, m.votes) for m in answer.matches] == [
    (1, "a", "nut", 2),
    (2, "b", "bolt", 1),
    (3, "c", "nut", 0),
  ]
  np.testing.assert_allclose(
    [m.score for m in answer.matches],
    [cosine(10, 5, 50), cosine(90, 45, 10), cosine(110, 145, 90)],
    atol=1e-6,
  )


def test_reliable_is_a_matter_of_the_threshold(plane):
  margin = cosine(10, 5, 50) - cosine(90, 45, 10)
  for aim, accepted in ((margin + 0.01, False), (margin - 0.01, True)):
    threshold = aim * AIM / (1 - aim + aim * AIM)
    assert target_on_average(threshold) == pytest.approx(aim)
    answer = find_best(at(10, 55, 110), plane, threshold=threshold)
    assert answer.prediction.accepted is accepted


def test_votes_that_agree_may_have_a_rival(plane):
  # All three are nearest to a nut, and hardly less near to a bolt.
  answer = find_best(at(79, 176, 79), plane, threshold=0.02)
  margin = cosine(19, 24, 19) - cosine(21, 26, 21)
  assert answer.prediction == Prediction("nut", 1.0, near(margin), AMBIGUOUS)


def test_labels_are_voted_for_across_models(plane):
  # One vote for each model: the two nuts outvote the bolt, whatever its score.
  answer = find_best(at(5, 100, 205), plane)
  assert answer.prediction.label == "nut"
  assert answer.prediction.confidence == 2 / 3
  assert [m.votes for m in answer.matches] == [1, 1, 1]


def test_a_tie_of_labels_goes_to_the_higher_summed_cosine(plane):
  assert find_best(at(100, 5), plane).prediction.label == "bolt"
  assert find_best(at(105, 0), plane).prediction.label == "nut"
  margin = cosine(0, 100) - cosine(40, 0)
  assert find_best(at(100, 0), plane).prediction == Prediction(
    "bolt", 0.5, near(margin), AMBIGUOUS
  )


def test_a_model_without_a_label_has_votes_but_predicts_nothing():
  features = np.stack([at(0, 10), at(90, 100)])
  gallery = make_gallery(features, ["a", "b"], ["", "bolt"])
  answer = find_best(at(1, 9, 95), gallery)
  assert [(m.model, m.votes) for m in answer.matches] == [("a", 2), ("b", 1)]
  margin = cosine(89, 81, 5) - cosine(1, 1, 85)
  assert answer.prediction == Prediction("bolt", 1 / 3, near(margin), AMBIGUOUS)
  answer = find_best(at(1, 9, 11), gallery, threshold=-2)
  assert answer.prediction == Prediction("", 0.0, 0.0, AMBIGUOUS)


@pytest.fixture(scope="module")
def crowd():
  rng = np.random.default_rng(0)
  centers = rng.normal(size=(20, 1, 8))
  stored = unit(
    centers[rng.integers(20, size=300)] + rng.normal(size=(300, 8, 8))
  )
  names = [f"folder/{i:03d}.stl" for i in rng.permutation(300)]
  labels = [f"class {i}" for i in rng.integers(6, size=300)]
  return stored, names, labels, unit(rng.normal(size=(12, 5, 8)))


@pytest.mark.parametrize("k", [1, 3, 300])
def test_the_answer_is_that_of_the_rule_applied_to_every_pair(crowd, k):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  for features in queries[:4]:
    answer = find_best(features, gallery, k=k)
    expected = vote_slowly(features, stored, names, labels, k=k)
    assert as_oracle(answer) == expected
    assert [m.rank for m in answer.matches] == list(range(1, k + 1))


@pytest.mark.parametrize("k", [1, 9, 300])
def test_posed_scores_add_the_cosines_of_the_same_views(crowd, k):
  stored, names, labels, _ = crowd
  rng = np.random.default_rng(7)
  gallery = make_gallery(stored, names, labels)
  for features in unit(stored[:4] + rng.normal(size=(4, 8, 8))):
    posed = vote_slowly(
      features, stored, names, labels, k=k, kind="view_aligned"
    )
    assert as_oracle(find_matches(features, gallery, k=k)) == posed
    assert posed != vote_slowly(features, stored, names, labels, k=k)


def test_many_models_are_searched_in_parts(crowd, monkeypatch):
  stored, names, labels, _ = crowd
  gallery = make_gallery(stored, names, labels)
  whole = [find_matches(features, gallery, k=5) for features in stored[:5]]
  monkeypatch.setattr(candidate, "_CHUNK", 7)
  assert whole == [
    find_matches(features, gallery, k=5) for features in stored[:5]
  ]


@pytest.fixture
def _looks_up(monkeypatch):
  """Treats an exact index as one that only proposes models."""
  monkeypatch.setattr(Index, "backend", "scann")
  monkeypatch.setattr(candidate, "_DENSE", 1.0)


@pytest.mark.parametrize("depth", [1, 250])
@pytest.mark.parametrize("kind", ["max", "view_aligned"])
def test_a_look_up_finds_what_scoring_every_model_finds(
  crowd, monkeypatch, kind, depth
):
  stored, names, labels, queries = crowd
  if kind == "view_aligned":
    queries = unit(stored[:12] + np.random.default_rng(8).normal(size=(8, 8)))
  find = functools.partial(find_matches, kind=kind, k=9)
  gallery = make_gallery(stored, names, labels)
  every = [find(features, gallery) for features in queries]
  monkeypatch.setattr(Index, "backend", "scann")
  monkeypatch.setattr(candidate, "_DENSE", 1.0)
  monkeypatch.setattr(candidate, "_DEPTH", depth)
  whole = []
  screen = candidate._screen
  monkeypatch.setattr(
    candidate,
    "_screen",
    lambda *given, **rest: whole.append(1) or screen(*given, **rest),
  )
  assert every == [find(features, gallery) for features in queries]
  assert len(whole) == 12 if depth == 1 else len(whole) < 12


@pytest.mark.usefixtures("_looks_up")
def test_a_model_no_vector_is_nearest_to_can_still_come_first(monkeypatch):
  # `near` is the third best for both query vectors and the best in score; a
  # look-up of two neighbours sees only the views of x and y.
  features = np.stack([at(0, 1), at(90, 91), at(5, 85), at(180, 270)])
  gallery = make_gallery(features, ["x", "y", "near", "far"], [""] * 4)
  monkeypatch.setattr(candidate, "_DEPTH", 2 / 3)
  answer = find_best(at(0, 90), gallery, k=3)
  assert [(m.model, m.votes) for m in answer.matches] == [
    ("near", 0),
    ("x", 1),
    ("y", 1),
  ]
  assert answer.matches[0].score == pytest.approx(cosine(5, 5), abs=1e-6)


@pytest.mark.parametrize("excluded", [1, 60, 299])
def test_what_is_excluded_might_as_well_not_be_there(crowd, excluded):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  left_out = set(names[:excluded])
  rest = make_gallery(stored[excluded:], names[excluded:], labels[excluded:])
  for features in (*queries[:5], stored[0]):
    # What an answer is worth, the whole gallery tells.
    assert as_oracle(
      find_best(features, gallery, k=2, exclude=left_out)
    ) == as_oracle(find_best(features, rest, k=2))


@pytest.mark.usefixtures("_looks_up")
def test_with_the_nearest_models_excluded_all_others_are_scored(
  crowd, monkeypatch
):
  stored, names, labels, _ = crowd
  stored = stored.copy()
  stored[1:6] = stored[0]  # they fill the first 48 places
  gallery = make_gallery(stored, names, labels)
  monkeypatch.setattr(candidate, "_DEPTH", 8)
  assert as_oracle(
    find_best(stored[0], gallery, k=1, exclude=names[:6])
  ) == vote_slowly(stored[0], stored, names, labels, k=1, exclude=names[:6])


@pytest.mark.usefixtures("_looks_up")
def test_a_vector_whose_hits_are_all_excluded_looks_further(monkeypatch):
  # Both hits of 0° are views of x; leaving it at that, y would have all votes.
  features = np.stack([at(0, 1), at(89, 91), at(10, 200)])
  gallery = make_gallery(features, ["x", "y", "z"], [""] * 3)
  monkeypatch.setattr(candidate, "_DEPTH", 2)
  answer = find_best(at(0, 90), gallery, k=1, exclude=["x"])
  assert (answer.matches[0].model, answer.matches[0].votes) == ("z", 1)


def test_with_all_excluded_there_is_no_match_and_no_prediction(plane):
  assert find_best(at(3), plane, exclude=["a", "b", "c"]) == Answer(
    Prediction("", 0.0, 0.0, AMBIGUOUS), ()
  )


def test_names_that_are_not_there_can_be_excluded(plane):
  assert find_best(at(3), plane, exclude=["d"]) == find_best(at(3), plane)


def test_the_order_in_which_models_came_does_not_show(crowd):
  stored, names, labels, queries = crowd
  stored = stored.copy()
  stored[200:250] = stored[:50]  # so that names have to decide
  order = np.random.default_rng(1).permutation(300)
  first = make_gallery(stored, names, labels)
  second = make_gallery(
    stored[order], [names[i] for i in order], [labels[i] for i in order]
  )
  for features in (*queries, stored[7]):
    assert find_best(features, first) == find_best(features, second)


def test_equal_models_have_equal_scores_and_the_first_name_has_the_votes():
  views = unit(np.random.default_rng(2).normal(size=(12, 64)))
  other = unit(np.random.default_rng(3).normal(size=(500, 12, 64)))
  other[[3, 77, 402]] = views
  names = [f"{i:03d}" for i in range(500)]
  gallery = make_gallery(other, names, [""] * 500)
  answer = find_best(views, gallery, k=3)
  assert [(m.model, m.score, m.votes) for m in answer.matches] == [
    ("003", 1.0, 12),
    ("077", 1.0, 0),
    ("402", 1.0, 0),
  ]


def test_the_pair_of_views_is_the_one_with_the_smallest_angle(plane):
  answer = find_best(at(10, 58, 146), plane)
  assert [(m.model, m.query_view, m.view) for m in answer.matches] == [
    ("a", 2, 2),
    ("b", 3, 2),
    ("c", 3, 1),
  ]


def test_only_what_is_chosen_is_searched(crowd):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  for count in (3, 250):  # compared at once, and looked up
    rest = make_gallery(stored[:count], names[:count], labels[:count])
    for features in queries[:4]:
      assert find_best(features, gallery, k=2, only=names[:count]) == find_best(
        features, rest, k=2
      )
  assert find_best(queries[0], gallery, only=()).matches == ()


def test_matches_below_the_score_are_left_out_and_still_vote(crowd):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  whole = find_best(queries[0], gallery, k=9)
  limit = whole.matches[4].score
  cut = find_best(queries[0], gallery, k=9, min_score=limit)
  assert cut.prediction == whole.prediction
  assert [m.model for m in cut.matches] == [
    m.model for m in whole.matches if m.score >= limit
  ]


def test_turning_all_vectors_together_changes_nothing(crowd):
  stored, names, labels, queries = crowd
  turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(8, 8)))
  first = find_best(queries[0], make_gallery(stored, names, labels))
  second = find_best(
    unit(queries[0] @ turn), make_gallery(unit(stored @ turn), names, labels)
  )
  assert [(m.model, m.votes) for m in first.matches] == [
    (m.model, m.votes) for m in second.matches
  ]
  np.testing.assert_allclose(
    [m.score for m in first.matches],
    [m.score for m in second.matches],
    atol=2e-6,
  )


@pytest.mark.skipif(
  importlib.util.find_spec("scann") is None, reason="ScaNN has no wheel here"
)
def test_scann_gives_the_models_it_finds_the_exact_score_and_votes():
  rng = np.random.default_rng(5)
  centers = rng.normal(size=(60, 1, 32))
  kind = rng.integers(60, size=800)
  shape = centers[kind] + 0.5 * rng.normal(size=(800, 1, 32))
  stored = unit(shape + 0.5 * rng.normal(size=(800, 10, 32)))
  fresh = unit(shape[:50] + 0.5 * rng.normal(size=(50, 10, 32)))
  names = [f"{i:03d}" for i in range(800)]
  labels = [str(i) for i in kind]
  exact = make_gallery(stored, names, labels, backend="exact")
  scann = make_gallery(stored, names, labels, backend="scann")
  assert scann.index.backend == "scann"
  shared = agree = 0
  for features in fresh:
    truth = find_best(features, exact, k=5)
    found = find_best(features, scann, k=5)
    score = {m.model: m.score for m in truth.matches}
    for match in found.matches:
      if match.model in score:
        shared += 1
        assert match.score == score[match.model]
    agree += found.prediction == truth.prediction
  assert shared >= 240
  assert agree >= 49


def test_an_answer_is_ready_for_json(plane):
  answer = find_best(at(10, 55, 110), plane, k=1)
  assert json.loads(json.dumps(dataclasses.asdict(answer))) == {
    "prediction": {
      "label": "nut",
      "confidence": 2 / 3,
      "probability": near(cosine(10, 5, 50) - cosine(90, 45, 10)),
      "reject_reason": "ambiguous",
      "accepted": False,
    },
    "matches": [
      {
        "rank": 1,
        "model": "a",
        "label": "nut",
        "score": pytest.approx(cosine(10, 5, 50), abs=1e-6),
        "votes": 2,
        "query_view": 2,
        "view": 2,
        "extent": None,
        "scale": None,
        "distance": None,
        "mirrored": None,
        "same": None,
        "difference": None,
      }
    ],
  }


def test_a_gallery_of_one_model_answers_with_it():
  gallery = make_gallery(at(30)[None], ["only"], ["pin"])
  answer = find_best(at(210), gallery, k=10)
  assert answer.matches == (Match(1, "only", "pin", -1.0, 1, 1, 1),)
  assert answer.prediction == Prediction("pin", 1.0, 2.0, UNKNOWN)


def test_what_does_not_fit_is_refused(plane):
  with pytest.raises(ValueError, match=r"2 numbers each .* got 3"):
    find_best(unit([[1, 1, 1]]), plane)
  with pytest.raises(ValueError, match="at least one vector"):
    find_best(np.zeros((0, 2)), plane)
  with pytest.raises(ValueError, match="row 1 has length nan"):
    find_best([[1, 0], [np.nan, 0]], plane)
  with pytest.raises(ValueError, match="k must be at least 1, got 0"):
    find_best(at(3), plane, k=0)
  with pytest.raises(
    ValueError, match=r"2 vectors, of the same views .* got 1"
  ):
    find_matches(at(3), plane)
  with pytest.raises(ValueError, match="kind must be one of"):
    find_matches(at(3, 4), plane, kind="vote")
  with pytest.raises(ValueError, match="'a' twice"):
    make_gallery(np.stack([at(0), at(1)]), ["a", "a"], ["", ""])
  with pytest.raises(ValueError, match=r"shape \(1, 2\), 1 names"):
    make_gallery(at(0), ["a"], [""])
  with pytest.raises(ValueError, match="1 names and 2 labels"):
    make_gallery(at(0)[None], ["a"], ["", ""])
