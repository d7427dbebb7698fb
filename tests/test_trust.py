"""What models of a gallery find in it, and what that is worth."""

import numpy as np
import pytest

from dr3d.search import trust
from dr3d.search.query import find_matches, make_gallery
from dr3d.search.trust import Findings, Trust, choose_models, measure_trust
from dr3d.search.vote import STRANGERS, VOTES


def unit(vectors):
  length = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return (vectors / length).astype(np.float32)


def draw_kinds(count, *, members, spread, seed):
  """Models [count · members, 3, 16] and labels of kinds that lie at random."""
  rng = np.random.default_rng(seed)
  centers = np.repeat(rng.normal(size=(count, 3, 16)), members, axis=0)
  noise = spread * rng.normal(size=centers.shape)
  labels = [f"kind {i // members}" for i in range(len(centers))]
  return unit(centers + noise), labels


def name(count):
  return [f"{i:04d}" for i in range(count)]


def findings(confidence, score):
  return Findings(np.array(confidence, float), np.array(score, float))


NOBODY = findings([], [])


@pytest.mark.parametrize(
  ("threshold", "floor"), [(0, 0.8), (0.5, 0.6), (0.9, -np.inf)]
)
def test_the_floor_lets_one_stranger_in_ten_pass(threshold, floor):
  # Of twenty two may pass: .9 and .85 by any votes, and by half of them too.
  strangers = findings(
    [0.4] * 8 + [0.5, 0.6, 0.95] + [0.1] * 9,
    [0.8] + [0.7] * 7 + [0.6, 0.9, 0.85] + [0.1] * 9,
  )
  found = Trust(strangers, NOBODY).find_floor(threshold)
  assert found == floor
  assert strangers.accept(threshold, found).sum() == (
    1 if threshold > 0.6 else 2
  )


def test_the_floor_stops_one_fellow_in_ten_at_most():
  strangers = findings([1] * 10, [0.9] * 10)
  fellows = findings(
    [1] * 20 + [0.1] * 5, [*np.linspace(0.5, 0.69, 20), *[0] * 5]
  )
  floor = Trust(strangers, fellows).find_floor(0.9)
  assert (~fellows.accept(0.9, floor))[:20].sum() == 2
  near = findings([1] * 20, [0.95] * 20)
  assert Trust(strangers, near).find_floor(0.9) == 0.9


def test_without_strangers_nothing_is_in_doubt():
  assert Trust(NOBODY, NOBODY).find_floor(0.5) == -np.inf


@pytest.mark.parametrize("kind", ["posed", "best"])
def test_models_find_what_a_search_without_their_label_finds(kind, monkeypatch):
  features, labels = draw_kinds(9, members=4, spread=1.0, seed=0)
  labels[5] = labels[21] = ""
  labels[7] = "alone"
  gallery = make_gallery(features, name(36), labels)
  monkeypatch.setattr(trust, "_CHUNK", 7)
  found = measure_trust(gallery.features, gallery.labels, kind=kind)
  models = choose_models(gallery.labels)
  assert len(models) == 34

  def check(several, i, model, *, hidden):
    only = set(gallery.names) - {gallery.names[other] for other in hidden}
    answer = find_matches(features[model], gallery, only=only, kind=kind)
    assert several.confidence[i] == answer.prediction.confidence
    assert several.score[i] == pytest.approx(answer.matches[0].score, abs=1e-5)

  for i, model in enumerate(models):
    same = [j for j, label in enumerate(labels) if label == labels[model]]
    check(found.strangers, i, model, hidden=same)
  near = [model for model in models if labels[model] != "alone"]
  assert len(found.fellows.score) == len(near) == 33
  for i, model in enumerate(near):
    check(found.fellows, i, model, hidden=[model])


def test_labelled_models_are_asked_for_and_the_same_each_time():
  labels = ["a", "", "b"] * 50
  models = choose_models(labels)
  assert len(set(models.tolist())) == trust.COUNT
  assert all(labels[model] for model in models)
  np.testing.assert_array_equal(models, choose_models(labels))
  assert not len(choose_models(["a", "a", ""]))


def test_few_of_unknown_kinds_are_relied_on_and_most_of_known_ones():
  # Kinds come in pairs, so that a stranger finds the sister of its kind.
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

  def ask(models):
    found = [find_matches(features[i], gallery).prediction for i in models]
    agree = [prediction.confidence == 1 for prediction in found]
    return np.mean(agree), np.mean([one.reliable for one in found])

  agree, relied = ask([i for i in range(600) if labels[i] in missing])
  assert agree > 0.5  # the votes alone do not know them
  assert relied < agree / 3
  agree, relied = ask([i for i in known if not i % 5])
  assert agree > 0.9
  assert relied > 0.8


def test_doubt_tells_why():
  features, labels = draw_kinds(8, members=5, spread=0.2, seed=2)
  near = unit(features[:5] + 0.15 * features[20:25])
  gallery = make_gallery(features, name(40), labels)
  sure = find_matches(near[0], gallery).prediction
  assert (sure.label, sure.doubt, sure.reliable) == ("kind 0", "", True)
  mixed = np.stack([features[7, 0], features[14, 1], features[21, 2]])
  assert find_matches(mixed, gallery).prediction.doubt == VOTES


def test_what_is_no_nearer_than_strangers_is_in_doubt():
  # Kinds 0 and 1, 2 and 3, and so on are sisters; of the last one is missing.
  rng = np.random.default_rng(4)
  centers = np.repeat(rng.normal(size=(20, 3, 16)), 2, axis=0)
  centers[1::2] += 0.5 * rng.normal(size=(20, 3, 16))
  every = np.repeat(centers, 4, axis=0)
  features = unit(every + 0.1 * rng.normal(size=every.shape))
  labels = [f"kind {i // 4}" for i in range(160)]
  gallery = make_gallery(features[:156], name(156), labels[:156])
  for query in features[156:]:
    found = find_matches(query, gallery).prediction
    assert (found.label, found.confidence) == ("kind 38", 1.0)
    assert (found.doubt, found.reliable) == (STRANGERS, False)
  for query in unit(features[:8] + 0.02 * rng.normal(size=(8, 3, 16))):
    assert find_matches(query, gallery).prediction.reliable


def test_labels_of_one_shape_do_not_put_the_others_in_doubt():
  features, labels = draw_kinds(12, members=4, spread=0.2, seed=3)
  features[24:] = features[:24]  # each shape under two labels
  gallery = make_gallery(features, name(48), labels)
  assert (
    measure_trust(features, labels, kind="posed").strangers.score.min() > 0.99
  )
  answers = [find_matches(one, gallery).prediction for one in features]
  assert np.mean([answer.reliable for answer in answers]) > 0.9
