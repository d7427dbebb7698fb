"""What models of a gallery find in it, and what that is worth."""

import dataclasses

import numpy as np
import pytest
from support.vectors import unit

from dr3d.database import calibration_file
from dr3d.search import vote
from dr3d.search.answer import AMBIGUOUS, TARGET_PRECISION, UNKNOWN
from dr3d.search.calibration import (
  QUERY_COUNT,
  Calibration,
  Observations,
  choose_models,
  target_on_average,
)
from dr3d.search.gallery import make_gallery
from dr3d.search.matching import find_matches
from dr3d.search.query import Query

pytestmark = pytest.mark.fast


def ask(vectors, gallery, *, similarity="view_aligned", **options):
  query = Query(vectors, is_view_aligned=similarity == "view_aligned")
  return find_matches(query, gallery, **options)


def draw_kinds(count, *, members, spread, seed):
  """Models [count · members, 3, 16] and labels of kinds that lie at random."""
  rng = np.random.default_rng(seed)
  centers = np.repeat(rng.normal(size=(count, 3, 16)), members, axis=0)
  noise = spread * rng.normal(size=centers.shape)
  labels = [f"kind {i // members}" for i in range(len(centers))]
  return unit(centers + noise), labels


def name(count):
  return [f"{i:04d}" for i in range(count)]


def observe(margin, rejection_score, right=False):
  right = np.broadcast_to(np.array(right, bool), len(margin))
  return Observations(
    np.array(margin, float), np.array(rejection_score, float), right
  )


NONE = observe([], [])
SURE, UNSURE = 10.0, -10.0  # margins with a probability of 1 and of 0


def make_calibration(unknown_class, in_database):
  count = max(len(unknown_class.margin), len(in_database.margin))
  shared = np.arange(count) < len(in_database.margin)
  return Calibration(np.arange(count), unknown_class, in_database, shared)


@pytest.mark.parametrize(("target", "limit"), [(0, 0.8), (0.5, 0.6)])
def test_rejection_threshold_lets_one_unknown_query_in_ten_pass(target, limit):
  # Of twenty two may pass: .9 and .85, whether or not the others count.
  unknown_class = observe(
    [UNSURE] * 8 + [SURE] * 3 + [UNSURE] * 9,
    [0.8] + [0.7] * 7 + [0.6, 0.9, 0.85] + [0.1] * 9,
  )
  calibration = make_calibration(unknown_class, NONE)
  assert calibration.rejection_threshold(target) == limit
  assert calibration.accept(unknown_class, target).sum() == 2


def test_few_probable_unknown_queries_need_no_threshold():
  unknown_class = observe([SURE] * 2 + [UNSURE] * 18, [0.9] * 20)
  assert (
    make_calibration(unknown_class, NONE).rejection_threshold(0.5) == -np.inf
  )


def test_gallery_of_one_label_accepts_nothing():
  features, _ = draw_kinds(5, members=1, spread=0.1, seed=6)
  gallery = make_gallery(features, name(5), ["bolt"] * 4 + [""])
  assert gallery.calibrate().rejection_threshold(0.5) == np.inf
  found = ask(features[0], gallery).prediction
  assert (found.label, found.reject_reason) == ("bolt", UNKNOWN)


def test_threshold_rejects_one_in_database_query_in_twenty_at_most():
  unknown_class = observe([SURE] * 10, [0.9] * 10)
  rejection_score = [*np.linspace(0.5, 0.69, 40), *[0] * 5]
  in_database = observe(
    [SURE] * 40 + [UNSURE] * 5, rejection_score, [True] * 40 + [False] * 5
  )
  calibration = make_calibration(unknown_class, in_database)
  assert (~calibration.accept(in_database, 0.9))[:40].sum() == 2
  near = observe([SURE] * 20, [0.95] * 20, True)
  assert make_calibration(unknown_class, near).rejection_threshold(0.9) == 0.9


def draw_observations(count, *, base, slope, scale, seed=0):
  """Queries whose margins are right by a logistic curve."""
  rng = np.random.default_rng(seed)
  margin = scale * rng.normal(0.1, 0.15, count)
  chance = 1 / (1 + np.exp(-base - slope / scale * margin))
  return observe(margin, np.zeros(count), rng.random(count) < chance)


@pytest.mark.parametrize("scale", [1.0, 300.0])  # cosines; any other similarity
@pytest.mark.parametrize(("base", "slope"), [(0.5, 17), (0.8, 26), (1.3, 40)])
def test_curve_recovers_the_probability_of_a_margin(base, slope, scale):
  in_database = draw_observations(4000, base=base, slope=slope, scale=scale)
  calibration = make_calibration(NONE, in_database)
  margin = np.linspace(-0.1, 0.3, 30)
  truth = 1 / (1 + np.exp(-base - slope * margin))
  np.testing.assert_allclose(
    calibration.estimate(scale * margin), truth, atol=0.05
  )


@pytest.mark.parametrize("threshold", [0.9, 0.97, 0.99])
@pytest.mark.parametrize("slope", [12, 60])
def test_accepted_predictions_reach_the_target_and_none_is_a_guess(
  threshold, slope
):
  in_database = draw_observations(2000, base=0.5, slope=slope, scale=1.0)
  calibration = make_calibration(observe([UNSURE], [0.0]), in_database)
  chance = calibration.estimate(in_database.margin)
  limit = calibration.probability_threshold(threshold)
  counted = chance >= limit
  aim = target_on_average(threshold)
  assert chance[counted].mean() > aim - 1e-3  # it is rounded
  assert limit >= 1 - 5 * (1 - aim) - 1e-9
  less = chance >= limit - 0.01
  assert chance[less].mean() < aim or limit < 1 - 4.9 * (1 - aim)
  # New ones by the same curve are right that often.
  new = draw_observations(20000, base=0.5, slope=slope, scale=1.0, seed=1)
  new = dataclasses.replace(new, rejection_score=np.ones(20000))
  assert new.right[calibration.accept(new, threshold)].mean() >= threshold


def test_threshold_without_observations_is_the_target():
  assert (
    make_calibration(NONE, NONE).probability_threshold(0.98)
    == target_on_average(0.98)
    > 0.98
  )


def test_similar_labels_need_a_larger_margin():
  def least(slope):
    in_database = draw_observations(256, base=0.6, slope=slope, scale=1.0)
    margin = np.linspace(0, 1, 1001)
    return margin[
      make_calibration(NONE, in_database).estimate(margin) >= TARGET_PRECISION
    ][0]

  assert least(15) > 1.5 * least(40)


def test_curve_without_observations_is_the_prior():
  calibration = make_calibration(NONE, NONE)
  chance = calibration.estimate([-1, 0, 0.05, 0.15, 0.3, 2])
  assert (np.diff(chance) > 0).all()
  assert chance[0] < 0.01
  assert 0.5 < chance[1] < 0.8
  assert chance[4] > TARGET_PRECISION
  assert chance[5] == 1


def test_model_left_out_has_no_influence():
  in_database = draw_observations(30, base=0.5, slope=20, scale=1.0)
  unknown_class = observe(np.zeros(30), np.arange(30))
  calibration = make_calibration(unknown_class, in_database)
  less = calibration.without(7)
  assert 7 not in less.models
  assert 7 not in less.unknown_class.rejection_score
  assert len(less.in_database.margin) == len(less.sharing) == 29
  wrong = in_database.margin[~in_database.right].max()
  (outlier,) = np.flatnonzero(in_database.margin == wrong)
  assert calibration.without(outlier).estimate(wrong) > calibration.estimate(
    wrong
  )


def test_stored_calibration_is_read_as_it_was_written():
  features, labels = draw_kinds(6, members=3, spread=0.5, seed=5)
  labels[0] = "alone"
  calibration = make_gallery(features, name(18), labels).calibrate()
  sketch = calibration_file.draw_sketch(
    name(18), labels, np.arange(18, dtype="u8")
  )
  read = calibration_file.load(
    calibration_file.dump(calibration, sketch), sketch
  )
  for one, other in (
    (calibration.unknown_class, read.unknown_class),
    (calibration.in_database, read.in_database),
  ):
    for mean, found in zip(
      dataclasses.astuple(one), dataclasses.astuple(other), strict=True
    ):
      np.testing.assert_array_equal(mean, found)
  np.testing.assert_array_equal(calibration.models, read.models)
  np.testing.assert_array_equal(calibration.sharing, read.sharing)
  assert calibration_file.load(None, sketch) is None


@pytest.mark.parametrize("count", [200, 5000])  # less, and more than a sketch
@pytest.mark.parametrize(("part", "serves"), [(1 / 200, True), (0.1, False)])
def test_stored_calibration_serves_until_many_models_changed(
  count, part, serves
):
  names = name(count)
  labels = [f"kind {i % 7}" for i in range(count)]
  keys = np.random.default_rng(0).integers(2**63, size=count, dtype="u8")
  text = calibration_file.dump(
    Calibration(np.arange(3), NONE, NONE, np.zeros(3, bool)),
    calibration_file.draw_sketch(names, labels, keys),
  )
  n = int(part * count)
  other = keys + (np.arange(count) < n).astype("u8")
  for changed in (
    (names[n:], labels[n:], keys[n:]),
    (names, ["new"] * n + labels[n:], keys),
    (names, labels, other),
  ):
    found = calibration_file.load(text, calibration_file.draw_sketch(*changed))
    assert (found is not None) == serves
    if serves:
      assert found.models.tolist() == [-1] * 3


@pytest.mark.parametrize("kind", ["view_aligned", "max"])
def test_observations_are_those_of_a_search_without_the_models(kind):
  features, labels = draw_kinds(9, members=4, spread=1.0, seed=0)
  labels[5] = labels[21] = ""
  labels[7] = "alone"
  gallery = make_gallery(features, name(36), labels)
  found = gallery.calibrate(kind)
  models = choose_models(gallery.names, gallery.labels)
  assert len(models) == 34

  def check(several, i, model, *, hidden):
    only = set(gallery.names) - {gallery.names[other] for other in hidden}
    answer = ask(features[model], gallery, k=36, only=only, similarity=kind)
    prediction = answer.prediction
    assert prediction.probability == pytest.approx(
      found.estimate(several.margin[i]), abs=2e-4
    )
    assert several.right[i] == (prediction.label == labels[model])
    if not prediction.label:  # an unlabelled model has all votes
      assert several.rejection_score[i] == 0
      return
    match = next(m for m in answer.matches if m.label == prediction.label)
    row = gallery.names.index(match.model)
    same = only & {
      other
      for other, label in zip(gallery.names, labels, strict=True)
      if label == match.label
    } - {match.model} or only - {match.model}
    near = ask(features[row], gallery, only=same, k=3, similarity=kind)
    typical = np.mean([one.score for one in near.matches])
    assert several.rejection_score[i] == pytest.approx(
      match.score - 0.3 * typical, abs=1e-5
    )

  for i, model in enumerate(models):
    same = [j for j, label in enumerate(labels) if label == labels[model]]
    check(found.unknown_class, i, model, hidden=same)
  near = [model for model in models if labels[model] != "alone"]
  assert len(found.in_database.margin) == len(near) == 33
  for i, model in enumerate(near):
    check(found.in_database, i, model, hidden=[model])


def test_same_labelled_models_are_asked_for_each_time():
  names, labels = name(900), ["a", "", "b"] * 300
  models = choose_models(names, labels)
  assert len(set(models.tolist())) == QUERY_COUNT
  assert all(labels[model] for model in models)
  assert not len(choose_models(["x", "y", "z"], ["a", "a", ""]))
  # One more model replaces one of those asked for at most.
  more = choose_models(["0000a", *names], ["b", *labels])
  assert len(set(models.tolist()) - {model - 1 for model in more}) <= 1


def test_few_of_unknown_classes_are_accepted_and_most_of_known_ones():
  # Kinds come in pairs, so that an unknown query finds the sister of its class.
  rng = np.random.default_rng(1)
  centers = np.repeat(rng.normal(size=(60, 3, 16)), 2, axis=0)
  centers += 0.5 * rng.normal(size=centers.shape)
  every = np.repeat(centers, 5, axis=0)
  features = unit(every + 0.2 * rng.normal(size=every.shape))
  labels = [f"kind {i // 5}" for i in range(600)]
  missing = {f"kind {i}" for i in range(0, 120, 6)}
  known = [i for i in range(600) if labels[i] not in missing]
  kept = [i for i in known if i % 5]
  gallery = make_gallery(
    features[kept], name(len(kept)), [labels[i] for i in kept]
  )

  def ask_all(models):
    found = [ask(features[i], gallery).prediction for i in models]
    agree = [prediction.probability >= TARGET_PRECISION for prediction in found]
    return np.mean(agree), np.mean([one.accepted for one in found])

  agree, accepted = ask_all([i for i in range(600) if labels[i] in missing])
  assert agree > 0.5  # how far ahead a label is does not tell them
  assert accepted < agree / 3
  agree, accepted = ask_all([i for i in known if not i % 5])
  assert agree > 0.9
  assert accepted > 0.8


def test_same_class_neighbours_are_of_the_label_or_all():
  labels = np.array(["nut", "bolt", "nut", "", "bolt", "nut", "pin"])
  assert vote.find_same_class(labels, 0).tolist() == [2, 5]
  assert vote.find_same_class(labels[:4], 0).tolist() == [2]
  assert vote.find_same_class(labels, 6).tolist() == [0, 1, 2, 3, 4, 5]
  assert vote.find_same_class(labels[:1], 0).tolist() == []


def test_density_is_that_of_the_three_nearest_neighbours():
  assert vote.normalise_by_density(0.7, np.array([0.5, 0.9, 0.1, 0.4])) == 0.52
  assert vote.normalise_by_density(0.7, np.array([0.8])) == 0.46
  assert vote.normalise_by_density(0.7, np.zeros(0)) == 0.7
  labels = np.array(["nut", "bolt", "bolt"])
  assert vote.find_best(np.array([0.9, 0.5, 0.5]), labels, "bolt") == 1


def test_density_reveals_unknown_classes_that_scores_do_not():
  # Half the kinds are tight and have sisters nearby, half are wide and have
  # none: a query of a wide kind is as far from its own class as a sister is.
  rng = np.random.default_rng(0)
  tight = np.repeat(rng.normal(size=(30, 3, 16)), 2, axis=0)
  tight[1::2] += 0.6 * rng.normal(size=(30, 3, 16))
  centers = np.concatenate([tight, rng.normal(size=(60, 3, 16))])
  spread = np.where(np.arange(120) < 60, 0.05, 0.45)
  every = np.repeat(centers, 5, axis=0)
  every += np.repeat(spread, 5)[:, None, None] * rng.normal(size=every.shape)
  features = unit(every)
  kind = np.arange(600) // 5
  missing = (kind < 60) & (kind % 6 == 0)
  asked = ~missing & (np.arange(600) % 5 == 0)
  kept = np.flatnonzero(~missing & ~asked)
  gallery = make_gallery(
    features[kept], name(len(kept)), [f"kind {kind[i]}" for i in kept]
  )

  def ask_all(which):
    answers = [ask(features[i], gallery) for i in np.flatnonzero(which)]
    score = np.array([answer.matches[0].score for answer in answers])
    return score, np.mean([answer.prediction.accepted for answer in answers])

  unknown, false_accepts = ask_all(missing)
  known, accepted = ask_all(asked)
  wide = known[kind[asked] >= 60]
  assert abs(unknown.mean() - wide.mean()) < 0.01  # no score tells them apart
  assert false_accepts < 0.75  # by the score alone .96
  assert accepted > 0.855  # .845


def test_reject_reason_tells_why():
  features, labels = draw_kinds(8, members=5, spread=0.2, seed=2)
  near = unit(features[:5] + 0.15 * features[20:25])
  gallery = make_gallery(features, name(40), labels)
  sure = ask(near[0], gallery).prediction
  assert (sure.label, sure.reject_reason, sure.accepted) == ("kind 0", "", True)
  mixed = np.stack([features[7, 0], features[14, 1], features[21, 2]])
  assert ask(mixed, gallery).prediction.reject_reason == AMBIGUOUS


def test_query_no_nearer_than_unknown_classes_is_rejected():
  # Kinds 0 and 1, 2 and 3, and so on are sisters; of the last one is missing.
  rng = np.random.default_rng(4)
  centers = np.repeat(rng.normal(size=(20, 3, 16)), 2, axis=0)
  centers[1::2] += 0.7 * rng.normal(size=(20, 3, 16))
  every = np.repeat(centers, 4, axis=0)
  features = unit(every + 0.1 * rng.normal(size=every.shape))
  labels = [f"kind {i // 4}" for i in range(160)]
  gallery = make_gallery(features[:156], name(156), labels[:156])
  for query in features[156:]:
    found = ask(query, gallery).prediction
    assert (found.label, found.confidence) == ("kind 38", 1.0)
    assert (found.reject_reason, found.accepted) == (UNKNOWN, False)
  for query in unit(features[:8] + 0.02 * rng.normal(size=(8, 3, 16))):
    assert ask(query, gallery).prediction.accepted


def test_labels_of_one_shape_are_ambiguous_and_others_are_not():
  features, labels = draw_kinds(18, members=4, spread=0.2, seed=3)
  features[8:16] = features[:8]  # two shapes under two labels each
  gallery = make_gallery(features, name(72), labels)
  assert gallery.calibrate().unknown_class.rejection_score.max() > 0.69
  answers = [
    ask(one, gallery, target_precision=0.95).prediction for one in features
  ]
  assert {answer.reject_reason for answer in answers[:16]} == {AMBIGUOUS}
  assert np.mean([answer.accepted for answer in answers[16:]]) > 0.9
