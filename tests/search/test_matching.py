"""Answers are those of the rule, applied to every pair of vectors."""

import dataclasses
import json
import math

import numpy as np
import pytest
from support.vectors import needs_scann, unit

from dr3d.index import model_index
from dr3d.index.exact import ExactIndex
from dr3d.search import candidate, reciprocal, similarity
from dr3d.search.answer import (
  AMBIGUOUS,
  NO_ANSWER,
  UNKNOWN,
  UNLABELLED,
  Match,
  Prediction,
)
from dr3d.search.calibration import (
  ERROR_SHARE,
  Calibration,
  target_on_average,
)
from dr3d.search.candidate import CANDIDATES
from dr3d.search.gallery import make_gallery
from dr3d.search.matching import find_matches
from dr3d.search.query import Query

pytestmark = pytest.mark.fast


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
def _probability_is_the_margin(monkeypatch):
  """So that it is known by hand; test_calibration checks what it is worth."""
  monkeypatch.setattr(
    Calibration, "estimate", lambda _, margin: np.asarray(margin)
  )


@pytest.fixture(autouse=True)
def _neighbours_do_not_count(monkeypatch):
  """So that scores alone rank; test_reciprocal checks common neighbours."""
  monkeypatch.setattr(reciprocal, "WEIGHT", 0.0)


def find_max(vectors, gallery, **options):
  """Asks with vectors of unknown views, as photographs do."""
  return find_matches(Query(vectors, is_view_aligned=False), gallery, **options)


def find_aligned(vectors, gallery, **options):
  """Asks with the vectors of a mesh."""
  return find_matches(Query(vectors), gallery, **options)


def near(value):
  return pytest.approx(value, abs=3e-6)


def vote_slowly(features, stored, names, labels, *, k, exclude=(), kind="max"):
  """Independent oracle: the rule in plain Python, pair by pair.

  The margin is that of the candidates: the best by score, and those voted for.
  """
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
  votes_by_label = {}
  for q, m in enumerate(nearest):
    if models[m][1]:
      votes_by_label.setdefault(models[m][1], []).append(best[m][q])
  label = min(
    votes_by_label,
    key=lambda l: (
      -len(votes_by_label[l]),
      -round(sum(votes_by_label[l]), 6),
      l,
    ),
  )
  kept = {*order[: max(k, CANDIDATES)], *nearest}
  own = [best[m] for m in kept if models[m][1] == label]
  others = [best[m] for m in kept if models[m][1] != label]
  margin = [
    max(row[q] for row in own) - max(row[q] for row in others)
    for q in range(len(features))
  ]
  return (
    label,
    len(votes_by_label[label]) / len(features),
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


def test_votes_and_scores_of_plane_world_are_those_of_the_protractor(
  plane,
):
  # Nearest: 10° → a (0°), 55° → a (60°), 110° → b (100°).
  answer = find_max(at(10, 55, 110), plane)
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


def test_margin_below_the_target_is_ambiguous(plane):
  margin = cosine(10, 5, 50) - cosine(90, 45, 10)
  for aim, accepted in ((margin + 0.01, False), (margin - 0.01, True)):
    target = aim * ERROR_SHARE / (1 - aim + aim * ERROR_SHARE)
    assert target_on_average(target) == pytest.approx(aim)
    answer = find_max(at(10, 55, 110), plane, target_precision=target)
    assert answer.prediction.accepted is accepted


def test_votes_that_agree_can_be_ambiguous(plane):
  # All three are nearest to a nut, and hardly less near to a bolt.
  answer = find_max(at(79, 176, 79), plane, target_precision=0.02)
  margin = cosine(19, 24, 19) - cosine(21, 26, 21)
  assert answer.prediction == Prediction("nut", 1.0, near(margin), AMBIGUOUS)


def test_votes_of_models_of_one_label_add_up(plane):
  # One vote for each model: the two nuts outvote the bolt, whatever its score.
  answer = find_max(at(5, 100, 205), plane)
  assert answer.prediction.label == "nut"
  assert answer.prediction.confidence == 2 / 3
  assert [m.votes for m in answer.matches] == [1, 1, 1]


def test_tie_of_labels_goes_to_higher_summed_cosine(plane):
  assert find_max(at(100, 5), plane).prediction.label == "bolt"
  assert find_max(at(105, 0), plane).prediction.label == "nut"
  margin = cosine(0, 100) - cosine(40, 0)
  assert find_max(at(100, 0), plane).prediction == Prediction(
    "bolt", 0.5, near(margin), AMBIGUOUS
  )


def test_model_without_label_has_votes_but_predicts_no_label():
  features = np.stack([at(0, 10), at(90, 100)])
  gallery = make_gallery(features, ["a", "b"], ["", "bolt"])
  answer = find_max(at(1, 9, 95), gallery)
  assert [(m.model, m.votes) for m in answer.matches] == [("a", 2), ("b", 1)]
  margin = cosine(89, 81, 5) - cosine(1, 1, 85)
  assert answer.prediction == Prediction("bolt", 1 / 3, near(margin), AMBIGUOUS)
  answer = find_max(at(1, 9, 11), gallery, target_precision=-2)
  assert answer.prediction == Prediction("", 1.0, 0.0, UNLABELLED, "a")


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
def test_answer_is_that_of_the_rule_applied_to_every_pair(crowd, k):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  for features in queries[:4]:
    answer = find_max(features, gallery, k=k)
    expected = vote_slowly(features, stored, names, labels, k=k)
    assert as_oracle(answer) == expected
    assert [m.rank for m in answer.matches] == list(range(1, k + 1))


@pytest.mark.parametrize("k", [1, 9, 300])
def test_aligned_scores_add_the_cosines_of_the_same_views(crowd, k):
  stored, names, labels, _ = crowd
  rng = np.random.default_rng(7)
  gallery = make_gallery(stored, names, labels)
  for features in unit(stored[:4] + rng.normal(size=(4, 8, 8))):
    aligned = vote_slowly(
      features, stored, names, labels, k=k, kind="view_aligned"
    )
    assert as_oracle(find_aligned(features, gallery, k=k)) == aligned
    assert aligned != vote_slowly(features, stored, names, labels, k=k)


def test_many_models_are_scored_in_chunks(crowd, monkeypatch):
  stored, names, labels, _ = crowd
  gallery = make_gallery(stored, names, labels)
  whole = [find_aligned(features, gallery, k=5) for features in stored[:5]]
  monkeypatch.setattr(similarity, "_CHUNK", 7)
  assert whole == [
    find_aligned(features, gallery, k=5) for features in stored[:5]
  ]


@pytest.fixture
def _looks_up(monkeypatch):
  """Treats an exact index as one that only proposes models."""
  monkeypatch.setattr(ExactIndex, "is_exhaustive", False)
  monkeypatch.setattr(candidate, "_DIRECT", 0)
  monkeypatch.setattr(model_index, "_DENSE", 1.0)


@pytest.mark.parametrize("find", [find_max, find_aligned])
def test_look_up_finds_what_scoring_every_model_finds(
  crowd, monkeypatch, request, find
):
  stored, names, labels, _ = crowd
  queries = unit(stored[:12] + np.random.default_rng(8).normal(size=(8, 8)))
  gallery = make_gallery(stored, names, labels)
  expected = [find(features, gallery, k=9) for features in queries]
  request.getfixturevalue("_looks_up")
  rated = []
  rate = candidate.rate_models
  monkeypatch.setattr(
    candidate,
    "rate_models",
    lambda vectors, stored, models, rule: (
      rated.append(models) or rate(vectors, stored, models, rule)
    ),
  )
  found = [find(features, gallery, k=9) for features in queries]
  # Votes and the first match agree; a look-up may miss the last of nine.
  assert [each.matches[0] for each in found] == [
    each.matches[0] for each in expected
  ]
  assert [each.prediction.label for each in found] == [
    each.prediction.label for each in expected
  ]
  assert all(models is not None for models in rated), "all vectors were read"


@pytest.mark.parametrize("excluded", [1, 60, 299])
def test_excluded_models_change_nothing(crowd, excluded):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  left_out = set(names[:excluded])
  rest = make_gallery(stored[excluded:], names[excluded:], labels[excluded:])
  for features in (*queries[:5], stored[0]):
    # What an answer is worth, the whole gallery tells.
    assert as_oracle(
      find_max(features, gallery, k=2, exclude=left_out)
    ) == as_oracle(find_max(features, rest, k=2))


@pytest.mark.usefixtures("_looks_up")
def test_look_up_finds_allowed_models_behind_excluded_ones(crowd, monkeypatch):
  stored, names, labels, _ = crowd
  stored = stored.copy()
  stored[1:6] = stored[0]  # they fill the first 48 ranks
  gallery = make_gallery(stored, names, labels)
  monkeypatch.setattr(model_index, "_MIN_DEPTH", 8)
  monkeypatch.setattr(model_index, "_DEPTH_PER_MATCH", 8)
  answer = find_max(stored[0], gallery, k=1, exclude=names[:6])
  expected = vote_slowly(
    stored[0], stored, names, labels, k=1, exclude=names[:6]
  )
  assert answer.matches[0].model == expected[3][0][0]


# ----- several neighbours ----------------------------------------------------


def test_gallery_without_labels_predicts_the_model_named_most():
  features = np.stack([at(0, 10), at(90, 100), at(180, 190)])
  gallery = make_gallery(features, ["a", "b", "c"], ["", "", ""])
  prediction = find_max(at(1, 91, 95), gallery).prediction
  assert prediction == Prediction("", 2 / 3, 0.0, UNLABELLED, "b")
  assert not prediction.accepted


def test_labels_of_several_neighbours_are_counted():
  """The nearest model is a nut, the next two are bolts."""
  features = np.stack([at(0), at(10), at(14), at(180)])
  gallery = make_gallery(features, list("abcd"), ["nut", "bolt", "bolt", "nut"])
  one = find_max(at(3), gallery)
  assert (one.prediction.label, one.prediction.confidence) == ("nut", 1.0)
  assert [match.votes for match in one.matches] == [1, 0, 0, 0]
  three = find_max(at(3), gallery, neighbours=3)
  assert three.prediction.label == "bolt"
  assert three.prediction.confidence == 2 / 3
  assert [match.votes for match in three.matches] == [1, 1, 1, 0]
  every = find_max(at(3), gallery, neighbours=9)  # of four models
  assert every.prediction.confidence == 1 / 2
  assert sum(match.votes for match in every.matches) == 4


def test_calibration_is_fitted_with_as_many_neighbours(crowd):
  stored, names, labels, _ = crowd
  gallery = make_gallery(stored, names, labels)
  several = gallery.with_neighbours(3)
  assert gallery.with_neighbours(3) is several
  assert gallery.with_neighbours(1) is gallery
  assert several.with_neighbours(3) is several
  one, three = (g.calibrate("max").in_database for g in (gallery, several))
  assert not np.array_equal(one.right, three.right)
  for margin in (one.margin, three.margin):
    assert np.isfinite(margin).all()


def test_no_neighbours_raise(plane):
  with pytest.raises(ValueError, match="at least 1, got 0"):
    find_max(at(3), plane, neighbours=0)


def test_all_models_excluded_gives_no_answer(plane):
  assert find_max(at(3), plane, exclude=["a", "b", "c"]) == NO_ANSWER


def test_unknown_names_can_be_excluded(plane):
  assert find_max(at(3), plane, exclude=["d"]) == find_max(at(3), plane)


def test_order_of_adding_models_changes_nothing(crowd):
  stored, names, labels, queries = crowd
  stored = stored.copy()
  stored[200:250] = stored[:50]  # so that names have to decide
  order = np.random.default_rng(1).permutation(300)
  first = make_gallery(stored, names, labels)
  second = make_gallery(
    stored[order], [names[i] for i in order], [labels[i] for i in order]
  )
  for features in (*queries, stored[7]):
    assert find_max(features, first) == find_max(features, second)


def test_equal_models_have_equal_scores_and_first_name_has_the_votes():
  views = unit(np.random.default_rng(2).normal(size=(12, 64)))
  other = unit(np.random.default_rng(3).normal(size=(500, 12, 64)))
  other[[3, 77, 402]] = views
  names = [f"{i:03d}" for i in range(500)]
  gallery = make_gallery(other, names, [""] * 500)
  answer = find_max(views, gallery, k=3)
  assert [(m.model, m.score, m.votes) for m in answer.matches] == [
    ("003", 1.0, 12),
    ("077", 1.0, 0),
    ("402", 1.0, 0),
  ]


def test_pair_of_views_has_the_smallest_angle(plane):
  answer = find_max(at(10, 58, 146), plane)
  assert [(m.model, m.query_view, m.view) for m in answer.matches] == [
    ("a", 2, 2),
    ("b", 3, 2),
    ("c", 3, 1),
  ]


def test_only_chosen_models_are_searched(crowd):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  for count in (3, 250):  # compared at once, and looked up
    rest = make_gallery(stored[:count], names[:count], labels[:count])
    for features in queries[:4]:
      assert find_max(features, gallery, k=2, only=names[:count]) == find_max(
        features, rest, k=2
      )
  assert find_max(queries[0], gallery, only=()).matches == ()


def test_matches_below_min_score_are_left_out_and_still_vote(crowd):
  stored, names, labels, queries = crowd
  gallery = make_gallery(stored, names, labels)
  whole = find_max(queries[0], gallery, k=9)
  limit = whole.matches[4].score
  cut = find_max(queries[0], gallery, k=9, min_score=limit)
  assert cut.prediction == whole.prediction
  assert [m.model for m in cut.matches] == [
    m.model for m in whole.matches if m.score >= limit
  ]


def test_rotating_all_vectors_together_changes_nothing(crowd):
  stored, names, labels, queries = crowd
  turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(8, 8)))
  first = find_max(queries[0], make_gallery(stored, names, labels))
  second = find_max(
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


@needs_scann
def test_scann_gives_found_models_their_exact_scores():
  rng = np.random.default_rng(5)
  centers = rng.normal(size=(60, 1, 32))
  kind = rng.integers(60, size=800)
  shape = centers[kind] + 0.5 * rng.normal(size=(800, 1, 32))
  stored = unit(shape + 0.5 * rng.normal(size=(800, 10, 32)))
  fresh = unit(shape[:50] + 0.5 * rng.normal(size=(50, 10, 32)))
  names = [f"{i:03d}" for i in range(800)]
  labels = [str(i) for i in kind]
  exact = make_gallery(stored, names, labels, engine="exact")
  scann = make_gallery(stored, names, labels, engine="scann")
  assert scann.index.engine == "scann"
  shared = agree = 0
  for features in fresh:
    truth = find_max(features, exact, k=5)
    found = find_max(features, scann, k=5)
    score = {m.model: m.score for m in truth.matches}
    for match in found.matches:
      if match.model in score:
        shared += 1
        assert match.score == score[match.model]
    agree += found.prediction == truth.prediction
  assert shared >= 240
  assert agree >= 49


def test_answer_is_ready_for_json(plane):
  answer = find_max(at(10, 55, 110), plane, k=1)
  assert json.loads(json.dumps(dataclasses.asdict(answer))) == {
    "prediction": {
      "label": "nut",
      "confidence": 2 / 3,
      "probability": near(cosine(10, 5, 50) - cosine(90, 45, 10)),
      "reject_reason": "ambiguous",
      "model": "",
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
        "box": None,
        "smallest_box": None,
        "scale": None,
        "distance": None,
        "deviation": None,
        "mirrored": None,
        "same": None,
        "difference": None,
      }
    ],
    "size": None,
    "unit_question": None,
    "misses": [],
    "notes": [],
  }


def test_gallery_of_one_model_answers_with_it():
  gallery = make_gallery(at(30)[None], ["only"], ["pin"])
  answer = find_max(at(210), gallery, k=10)
  assert answer.matches == (Match(1, "only", "pin", -1.0, 1, 1, 1),)
  assert answer.prediction == Prediction("pin", 1.0, 2.0, UNKNOWN)


def test_query_that_does_not_fit_raises(plane):
  with pytest.raises(ValueError, match=r"2 numbers each .* got 3"):
    find_max(unit([[1, 1, 1]]), plane)
  with pytest.raises(ValueError, match="at least one vector"):
    find_max(np.zeros((0, 2)), plane)
  with pytest.raises(ValueError, match="row 1 has length nan"):
    find_max([[1, 0], [np.nan, 0]], plane)
  with pytest.raises(ValueError, match="k must be at least 1, got 0"):
    find_max(at(3), plane, k=0)
  with pytest.raises(
    ValueError, match=r"2 vectors, of the same views .* got 1"
  ):
    find_aligned(at(3), plane)


def test_gallery_of_other_lengths_raises():
  with pytest.raises(ValueError, match="'a' twice"):
    make_gallery(np.stack([at(0), at(1)]), ["a", "a"], ["", ""])
  with pytest.raises(ValueError, match=r"shape \(1, 2\), 1 names"):
    make_gallery(at(0), ["a"], [""])
  with pytest.raises(ValueError, match="1 names and 2 labels"):
    make_gallery(at(0)[None], ["a"], ["", ""])


def test_candidates_of_one_label_lead_the_least_similar_of_them(monkeypatch):
  # Three models; the look-up sees the two nuts alone.
  monkeypatch.setattr(ExactIndex, "is_exhaustive", False)
  monkeypatch.setattr(candidate, "_DIRECT", 0)
  monkeypatch.setattr(model_index, "_DENSE", 1.0)
  monkeypatch.setattr(model_index, "_MIN_DEPTH", 2)
  monkeypatch.setattr(model_index, "_DEPTH_PER_MATCH", 2)
  features = np.stack([at(0), at(10), at(180)])
  gallery = make_gallery(features, ["a", "b", "c"], ["nut", "nut", "bolt"])
  answer = find_max(at(1), gallery, k=1)
  expected = cosine(1) - cosine(9)
  assert answer.prediction.probability == near(expected)


def test_nearest_pairs_of_a_photograph_count_and_photographs_are_averaged(
  plane,
):
  first = at(61, 62, 63, 64, 65, 66, 180, 180)  # six turns near view 2 of a
  second = at(59, 58, 57, 56, 55, 54, 180, 180)
  query = Query(
    np.concatenate([first, second]), is_view_aligned=False, is_photograph=True
  )
  answer = find_matches(query, plane, k=3)
  best = answer.matches[0]
  assert best.model == "a"
  assert best.score == near(cosine(1, 2, 3, 4, 5, 6))
  assert best.votes == 2
  assert (best.query_view, best.view) in ((1, 2), (2, 2))
  # Both turns at 180 degrees, and the four next to the views of b.
  nearest = sorted(
    math.cos(math.radians(abs(a - b)))
    for a in (61, 62, 63, 64, 65, 66, 180, 180)
    for b in (100, 150)
  )[-similarity.PAIRS :]
  other = sorted(
    math.cos(math.radians(abs(a - b)))
    for a in (59, 58, 57, 56, 55, 54, 180, 180)
    for b in (100, 150)
  )[-similarity.PAIRS :]
  (b,) = (match for match in answer.matches if match.model == "b")
  assert b.score == near((np.mean(nearest) + np.mean(other)) / 2)


def test_photograph_needs_all_its_turns():
  with pytest.raises(ValueError, match="vectors each"):
    Query(at(0, 10, 20), is_view_aligned=False, is_photograph=True)
