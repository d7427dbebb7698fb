"""The losses, compared with NumPy loops over their formulas."""

import doctest
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.features import random_features

from dr3d.retrieval import loss as loss_module
from dr3d.retrieval import pair as pair_module
from dr3d.retrieval import separation as separation_module
from dr3d.retrieval.loss import (
  batch_triplet_loss,
  contrastive_loss,
  join_views,
  pair_triplet_loss,
  prototype_loss,
  triplet_ratio,
)
from dr3d.retrieval.margin import Margin, make_margin
from dr3d.retrieval.pair import relate_by_pose, relate_images
from dr3d.retrieval.separation import (
  OBJECTIVES,
  batch_separation_loss,
  pair_separation_loss,
)

# Compiled once for each shape: faster than operation by operation.
pair_triplet = jax.jit(pair_triplet_loss)
batch_triplet = jax.jit(batch_triplet_loss, static_argnames="mining")
contrast = jax.jit(contrastive_loss)
classify = jax.jit(prototype_loss)
pair_separation = jax.jit(pair_separation_loss, static_argnames="objective")
separation = jax.jit(batch_separation_loss, static_argnames="objective")

MININGS = ("all", "hard", "semihard")
# Two models of one class, one of another class, two without a label.
LABELS = np.array([3, 3, 0, -1, -1])


def random_margin(seed, *shape):
  within = np.random.default_rng(seed).uniform(0.05, 1, size=shape)
  return Margin(within, 1.5)


def as_jax(margin):
  return jax.tree.map(jnp.asarray, margin)


# ----- oracles ---------------------------------------------------------------


def square(x, y):
  return float(sum((x - y) ** 2))


def printed_triplet_sum(A, B, epsilon):
  total, active, count = 0.0, 0, 0
  for own, other in ((A, B), (B, A)):
    for i, a in enumerate(own):
      for j, p in enumerate(own):
        if j == i:
          continue
        for n in other:
          term = max(0.0, 1 - square(a, n) / (square(a, p) + epsilon[i, j]))
          total, active, count = total + term, active + (term > 0), count + 1
  return total, active, count


def are_similar(labels, b, c):
  return b == c or (labels[b] == labels[c] and labels[b] >= 0)


def mined_triplets(features, margin, labels, mining):
  """Terms of Eq. 1 by the definition of each mining."""
  B, N = features.shape[:2]
  images = [(b, i) for b in range(B) for i in range(N)]
  terms = []
  for b, i in images:
    a = features[b, i]
    negatives = [
      square(a, features[c, j])
      for c, j in images
      if not are_similar(labels, b, c)
    ]
    for c, j in images:
      if (c, j) == (b, i) or not are_similar(labels, b, c):
        continue
      positive = square(a, features[c, j])
      epsilon = margin.within[i, j] if c == b else margin.between
      if mining == "all":
        chosen = negatives
      elif mining == "hard":
        chosen = sorted(negatives)[:1]
      else:
        further = [d for d in negatives if d > positive]
        chosen = [min(further)] if further else sorted(negatives)[-1:]
      terms += [max(0.0, 1 - d / (positive + epsilon)) for d in chosen]
  return terms


def khosla(features, labels, temperature):
  B, N = features.shape[:2]
  images = [(b, i) for b in range(B) for i in range(N)]
  terms, wrong = [], 0
  for b, i in images:
    a = features[b, i]
    others = [(c, j) for c, j in images if (c, j) != (b, i)]
    similar = {k: math.exp(a @ features[k] / temperature) for k in others}
    positives = [k for k in others if are_similar(labels, b, k[0])]
    if not positives:
      continue
    total = sum(similar.values())
    terms.append(
      -sum(math.log(similar[k] / total) for k in positives) / len(positives)
    )
    wrong += max(similar, key=similar.get) not in positives
  return sum(terms) / len(terms), wrong / len(terms), len(terms)


def cross_entropy(features, prototypes, labels, temperature, smoothing):
  """Mean cross-entropy and share of errors, term by term."""
  K = len(prototypes)
  terms, wrong = [], 0
  for own, views in zip(labels, features, strict=True):
    for image in views if own >= 0 else ():
      cosines = [image @ p / math.sqrt(p @ p) for p in prototypes]
      total = math.log(sum(math.exp(c / temperature) for c in cosines))
      logs = [c / temperature - total for c in cosines]
      terms.append(-(1 - smoothing) * logs[own] - smoothing / K * sum(logs))
      wrong += max(cosines) != cosines[own]
  return sum(terms) / len(terms), wrong / len(terms), len(terms)


def separation_pairs(features, labels):
  """Squared distances between and within models, each pair once."""
  B, N = features.shape[:2]
  between, within = [], []
  for b in range(B):
    within += [
      square(features[b, i], features[b, j]) for i in range(N) for j in range(i)
    ]
    for c in range(b):
      if not are_similar(labels, b, c):
        between += [square(x, y) for x in features[b] for y in features[c]]
  return between, within


# ----- masks and single terms ------------------------------------------------


@pytest.mark.parametrize(
  "module", [loss_module, pair_module, separation_module]
)
def test_docstring_examples_hold(module):
  assert doctest.testmod(module).failed == 0


def test_masks_follow_models_and_labels():
  pairs = relate_images(jnp.zeros((5, 2, 1)), jnp.array(LABELS))
  for x in range(10):
    for y in range(10):
      b, c = x // 2, y // 2
      same = are_similar(LABELS, b, c)
      assert pairs.positive[x, y] == (same and x != y)
      assert pairs.negative[x, y] == (not same)
      assert pairs.within[x, y] == (b == c and x != y)


def test_triplet_term_has_closed_form():
  positive = jnp.array([0.0, 1.0, 1.0, 1.0])
  negative = jnp.array([0.0, 0.0, 0.6, 2.0])
  got = triplet_ratio(positive, negative, 0.2)
  np.testing.assert_allclose(got, [1, 1, 0.5, 0], atol=1e-7)


def test_triplet_term_without_margin_or_distance_is_finite():
  slopes = jax.grad(triplet_ratio, argnums=(0, 1))
  assert triplet_ratio(0.0, 0.0, 0.0) == 1
  assert triplet_ratio(0.0, 0.5, 0.0) == 0
  for negative in (0.0, 1e-7, 0.5):
    assert np.isfinite(slopes(0.0, negative, 0.0)).all()


# ----- Eq. 1 -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unit", "patent"])
def test_pair_loss_equals_printed_sum_with_both_roles(kind):
  A, B = random_features(0, 2, 4, 6)
  margin = make_margin(jnp.float32(random_features(1, 4, 4)), kind=kind)
  got = pair_triplet(jnp.float32(A), jnp.float32(B), margin)
  total, active, count = printed_triplet_sum(A, B, np.array(margin.within))
  assert 0 < active < count
  assert got.count == count == 2 * 4 * 3 * 4
  np.testing.assert_allclose(got.loss * got.count, total, rtol=1e-5)
  np.testing.assert_allclose(got.active, active / count, rtol=1e-6)


def test_pair_loss_ignores_order_of_models_and_views():
  A, B = jnp.float32(random_features(2, 2, 5, 6))
  margin = as_jax(random_margin(2, 5, 5))
  order = np.random.default_rng(0).permutation(5)
  turned = Margin(margin.within[order][:, order], 1.5)

  def loss(*arguments):
    return pair_triplet(*arguments).loss

  value = loss(A, B, margin)
  assert 0 < value < 1
  np.testing.assert_allclose(loss(B, A, margin), value, rtol=1e-6)
  np.testing.assert_allclose(loss(A[order], B[order], turned), value, rtol=1e-6)


@pytest.mark.parametrize("mining", MININGS)
def test_batch_loss_equals_loop_over_triplets(mining):
  # Models with similar images, far from each other, and one random model.
  features = random_features(3, 5, 1, 4) + 0.2 * random_features(3, 5, 3, 4)
  features[4] = random_features(4, 3, 4)
  margin = random_margin(3, 3, 3)
  terms = mined_triplets(features, margin, LABELS, mining)
  got = batch_triplet(
    jnp.float32(features), as_jax(margin), labels=LABELS, mining=mining
  )
  assert got.count == len(terms)
  np.testing.assert_allclose(got.loss, np.mean(terms), rtol=1e-5)
  np.testing.assert_allclose(got.active, np.mean(np.array(terms) > 0))
  assert 0 < got.active < 1


def test_several_blocks_of_anchors_equal_loop_over_triplets():
  features = random_features(
    4, 7, 5, 3
  )  # 35 anchors: four blocks of 8 and a rest
  margin = random_margin(4, 5, 5)
  labels = np.array([0, 1, 0, 2, 2, -1, 1])
  terms = mined_triplets(features, margin, labels, "all")
  got = batch_triplet(
    jnp.float32(features), as_jax(margin), labels=labels, mining="all"
  )
  assert got.count == len(terms)
  np.testing.assert_allclose(got.loss, np.mean(terms), rtol=1e-5)


def test_two_models_of_different_classes_give_pair_loss():
  features = jnp.float32(random_features(5, 2, 3, 4))
  margin = as_jax(random_margin(5, 3, 3))
  pair = pair_triplet(*features, margin)
  for labels in (None, np.array([-1, -1]), np.array([0, 1])):
    batch = batch_triplet(features, margin, labels=labels, mining="all")
    assert batch == pair


def test_hard_negatives_cost_more_than_others():
  features = jnp.float32(random_features(6, 6, 3, 4))
  margin = as_jax(random_margin(6, 3, 3))
  labels = np.array([0, 0, 1, 1, 2, 2])
  value = {
    mining: batch_triplet(features, margin, labels=labels, mining=mining).loss
    for mining in MININGS
  }
  assert value["hard"] > value["all"] > 0
  assert value["hard"] > value["semihard"] > 0


def test_positives_of_a_class_use_margin_between_models():
  # One view for each model: positives are other models of the class.
  features = random_features(7, 4, 1, 3)
  labels = np.array([0, 0, 1, 1])

  def value(within, between):
    margin = Margin(jnp.full((1, 1), within), between)
    return batch_triplet(
      jnp.float32(features), margin, labels=labels, mining="all"
    ).loss

  assert value(0.1, 1.5) == value(0.9, 1.5)
  assert value(0.1, 1.5) > value(0.1, 0.5)


@pytest.mark.parametrize("mining", MININGS)
def test_batch_loss_ignores_order_of_models_and_labels(mining):
  features = jnp.float32(random_features(8, 5, 3, 4))
  margin = as_jax(random_margin(8, 3, 3))
  order = np.array([4, 2, 0, 1, 3])
  loss = functools.partial(batch_triplet, mining=mining)
  first = loss(features, margin, labels=LABELS)
  second = loss(features[order], margin, labels=LABELS[order])
  np.testing.assert_allclose(first.loss, second.loss, rtol=1e-6)
  np.testing.assert_allclose(first.active, second.active)
  renamed = np.where(LABELS >= 0, 10 - LABELS, -7)
  assert loss(features, margin, labels=renamed) == first


def test_each_model_may_have_its_own_margins():
  features = jnp.float32(random_features(9, 3, 2, 4))
  shared = as_jax(random_margin(9, 2, 2))
  own = Margin(jnp.broadcast_to(shared.within, (3, 2, 2)), 1.5)
  assert batch_triplet(features, own) == batch_triplet(features, shared)


def test_batch_of_600_images_fits_in_memory():
  features = jax.ShapeDtypeStruct((50, 12, 128), jnp.float32)
  margin = Margin(jax.ShapeDtypeStruct((12, 12), jnp.float32), 1.5)
  slope = jax.grad(lambda *x: batch_triplet_loss(*x, mining="all").loss)
  compiled = jax.jit(slope).lower(features, margin).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < 150e6


# ----- contrastive -----------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrastive_loss_equals_khosla_equation_2(temperature):
  features = random_features(10, 5, 2, 4)
  got = contrast(jnp.float32(features), labels=LABELS, temperature=temperature)
  value, wrong, count = khosla(features, LABELS, temperature)
  np.testing.assert_allclose(got.loss, value, rtol=2e-6)
  assert 0 < wrong < 1
  np.testing.assert_allclose(got.active, wrong, rtol=1e-6)
  assert got.count == count


def test_contrastive_loss_omits_anchors_without_positive():
  features = random_features(11, 4, 1, 3)
  labels = np.array([0, 0, 1, -1])
  got = contrast(jnp.float32(features), labels=labels)
  value, _, count = khosla(features, labels, 0.1)
  assert got.count == count == 2
  np.testing.assert_allclose(got.loss, value, rtol=2e-6)


def test_contrastive_loss_of_perfect_and_of_equal_features_has_closed_form():
  perfect = jnp.repeat(jnp.eye(3)[:, None], 2, axis=1)
  got = contrast(perfect, temperature=0.02)
  assert got.loss < 1e-6
  assert got.active == 0
  equal = contrast(jnp.ones((3, 2, 1)))
  np.testing.assert_allclose(equal.loss, math.log(5), rtol=1e-6)
  assert equal.active == 1


def test_product_of_joined_views_is_mean_cosine_of_equal_views():
  features = random_features(12, 5, 3, 4)
  joined = np.asarray(join_views(jnp.float32(features)))
  assert joined.shape == (5, 1, 12)
  for a, b in itertools.product(range(5), repeat=2):
    mean = sum(features[a, i] @ features[b, i] for i in range(3)) / 3
    np.testing.assert_allclose(joined[a, 0] @ joined[b, 0], mean, atol=1e-6)
  swapped = np.float32(features)
  swapped[0] = swapped[0, [1, 2, 0]]  # the same images under other views
  other = join_views(jnp.asarray(swapped))
  assert contrast(other, labels=LABELS).loss != pytest.approx(
    contrast(jnp.asarray(joined), labels=LABELS).loss
  )


# ----- prototypes ------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_prototype_loss_equals_cross_entropy_of_cosines(smoothing):
  features = random_features(12, 5, 2, 4)
  prototypes = 3 * np.random.default_rng(13).normal(size=(3, 4))
  labels = np.array([0, 2, -1, 1, 1])
  got = classify(
    jnp.float32(features),
    jnp.float32(prototypes),
    labels=jnp.array(labels),
    temperature=0.2,
    smoothing=smoothing,
  )
  value, wrong, count = cross_entropy(
    features, prototypes, labels, 0.2, smoothing
  )
  np.testing.assert_allclose(got.loss, value, rtol=2e-6)
  assert 0 < wrong < 1
  np.testing.assert_allclose(got.active, wrong, rtol=1e-6)
  assert got.count == count == 8


def test_prototype_loss_without_labels_is_zero():
  got = classify(jnp.ones((2, 3, 4)), jnp.eye(4), labels=jnp.array([-1, -1]))
  assert (got.loss, got.active, got.count) == (0, 0, 0)


# ----- Eq. 3 -----------------------------------------------------------------


@pytest.mark.parametrize("labels", [np.full(5, -1), LABELS])
def test_literal_separation_sums_all_that_the_equation_prints(labels):
  features = random_features(12, 5, 3, 4)
  between, within = separation_pairs(features, labels)
  got = jax.jit(functools.partial(batch_separation_loss, objective="literal"))(
    jnp.float32(features), labels=labels
  )
  printed = [1 - 1 / (np.array(d) + 1e-6) for d in (between, within)]
  np.testing.assert_allclose(got.between, printed[0].sum(), rtol=1e-5)
  np.testing.assert_allclose(got.within, 2 * printed[1].sum(), rtol=1e-5)
  np.testing.assert_allclose(got.loss, got.between + got.within, rtol=1e-6)
  np.testing.assert_allclose(got.distance, np.mean(between + within), rtol=1e-5)


def test_literal_pair_separation_is_the_printed_double_sum():
  A, B = random_features(13, 2, 4, 5)
  between = sum(1 - 1 / (square(a, b) + 1e-6) for a in A for b in B)
  within = sum(
    1 - 1 / (square(images[i], images[j]) + 1e-6)
    for images in (A, B)
    for i in range(4)
    for j in range(4)
    if i != j
  )
  got = pair_separation(jnp.float32(A), jnp.float32(B), objective="literal")
  np.testing.assert_allclose(got.between, between, rtol=1e-5)
  np.testing.assert_allclose(got.within, within, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_intent_separation_equals_mean_of_bounded_kernel(scale):
  features = random_features(14, 5, 3, 4)
  between, within = separation_pairs(features, LABELS)
  got = separation(jnp.float32(features), labels=LABELS, scale=scale)
  delta = 0.05 * scale
  for value, d in ((got.between, between), (got.within, within)):
    np.testing.assert_allclose(
      value, np.mean(delta / (np.array(d) + delta)), rtol=1e-5
    )


@pytest.mark.parametrize("scale", [0.3, None])
def test_models_objective_uses_mean_distance_over_views(scale):
  features = random_features(40, 5, 3, 4)
  far = {
    (a, b): np.mean([square(*pair) for pair in zip(A, B, strict=True)])
    for a, A in enumerate(features)
    for b, B in enumerate(features)
    if a < b and not are_similar(LABELS, a, b)
  }
  _, within = separation_pairs(features, LABELS)
  got = separation(
    jnp.float32(features), labels=LABELS, objective="models", scale=scale
  )
  d = np.array(list(far.values()))
  delta = 0.05 * (scale or np.mean(d))
  np.testing.assert_allclose(
    got.between, np.mean(delta / (d + delta)), rtol=1e-5
  )
  d = np.array(within)
  np.testing.assert_allclose(
    got.within, np.mean(delta / (d + delta)), rtol=1e-5
  )


def test_only_models_objective_prefers_complementary_views():
  """Each view separates four models into halves: equal or crossed ones."""
  same = jnp.eye(2)[jnp.array([[0, 0], [0, 0], [1, 1], [1, 1]])]
  cross = jnp.eye(2)[jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]])]
  for objective in ("intent", "models"):
    parted = separation(cross, objective=objective, scale=0.02).between
    alike = separation(same, objective=objective, scale=0.02).between
    if objective == "models":  # two crossed divisions separate all four
      assert parted < 0.01 < 0.33 < alike
    else:
      assert alike < 0.34 < 0.41 < parted


@pytest.mark.usefixtures("x64")
def test_smallest_kernel_is_affine_in_printed_term():
  A, B = jnp.array(random_features(15, 2, 3, 4))
  literal = pair_separation(A, B, objective="literal")
  intent = pair_separation(A, B, scale=1e-6 / 0.05)
  np.testing.assert_allclose(
    intent.between, 1e-6 * (1 - literal.between / 9), rtol=1e-12
  )
  np.testing.assert_allclose(
    intent.within, 1e-6 * (1 - literal.within / 12), rtol=1e-12
  )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("term", ["loss", "between", "within"])
@pytest.mark.usefixtures("x64")
def test_step_under_intent_separates_images_and_under_literal_joins_them(
  term, seed
):
  features = jnp.array(random_features(16 + seed, 4, 3, 8))

  def mean_distance(features):
    between, within = separation_pairs(np.array(features), np.full(4, -1))
    return np.mean(
      {"loss": between + within, "between": between, "within": within}[term]
    )

  before = mean_distance(features)
  for objective, sign in (("intent", 1), ("literal", -1)):
    slope = jax.grad(
      lambda x, o=objective: getattr(separation(x, objective=o), term)
    )(features)
    step = features - 1e-3 * slope / jnp.linalg.norm(slope)
    assert sign * (mean_distance(step) - before) > 1e-5


def test_one_near_pair_dominates_literal_gradient_but_not_intent():
  features = random_features(19, 4, 2, 8)
  features[0, 1] = features[0, 0] + 6e-4 / math.sqrt(8)
  features = jnp.float32(features)

  def share(objective):
    slope = jax.grad(lambda x: separation(x, objective=objective).loss)(
      features
    )
    length = np.linalg.norm(slope, axis=-1)
    return length[0].sum() / length[1:].sum()

  assert share("literal") > 1e6
  assert share("intent") < 1


def test_intent_slope_is_bounded_at_every_distance():
  delta = 0.05 * 2.0
  for distance in np.logspace(-8, 1, 40):
    features = jnp.array([[[0.0]], [[distance]]], jnp.float32)
    slope = jax.grad(lambda x: separation(x).loss)(features)
    assert np.abs(slope).max() <= 0.65 / math.sqrt(delta)


def test_scale_and_distance_have_no_gradient():
  features = jnp.float32(random_features(20, 3, 2, 4))
  slope = jax.grad(lambda scale: separation(features, scale=scale).loss)(2.0)
  assert slope == 0
  slope = jax.grad(lambda x: separation(x).distance)(features)
  assert (slope == 0).all()


# ----- all losses: singular inputs, gradients, transformations ---------------


def mined(mining):
  def loss(features, labels):
    # Two of three viewpoints are equal, so some ε are 0.
    views = jnp.eye(4, dtype=features.dtype)[jnp.array([0, 0, 1])]
    margin = make_margin(views[: features.shape[1]], kind="patent")
    return batch_triplet(features, margin, labels=labels, mining=mining).loss

  return loss


def contrasted(features, labels):
  return contrast(features, labels=labels).loss


def separated(objective):
  def loss(features, labels):
    return separation(features, labels=labels, objective=objective).loss

  return loss


def classified(features, labels):
  """Singular prototypes: equal ones, and one of length zero."""
  prototypes = jnp.ones((5, features.shape[-1]), features.dtype)
  return classify(features, prototypes.at[4].set(0), labels=labels).loss


EVERY_LOSS = pytest.mark.parametrize(
  "function",
  [
    *(pytest.param(mined(mining), id=mining) for mining in MININGS),
    pytest.param(contrasted, id="contrastive"),
    pytest.param(classified, id="prototype"),
    *(pytest.param(separated(name), id=name) for name in OBJECTIVES),
  ],
)


def singular_features():
  yield "equal", np.full((4, 3, 8), 8**-0.5), [0, 0, 1, 1]
  yield "zero", np.zeros((4, 3, 8)), [0, 0, 1, 1]
  near = np.ones((4, 3, 8)) + 1e-6 * random_features(21, 4, 3, 8)
  yield "near", near, [0, 0, 1, 1]
  twice = random_features(22, 4, 3, 8)
  twice[0, 1] = twice[0, 0]  # a positive at distance 0
  twice[2, 0] = twice[0, 0]  # a negative at distance 0
  yield "twice", twice, [0, 0, 1, 1]
  yield "one class", random_features(23, 4, 3, 8), [0, 0, 0, 0]
  yield "no labels", random_features(24, 4, 3, 8), [-1, -1, -1, -1]
  yield "some labels", random_features(25, 4, 3, 8), [0, -1, 0, -1]
  yield "one view", random_features(26, 4, 1, 8), [0, 1, 2, 3]
  yield "one view a class", random_features(27, 4, 1, 8), [0, 0, 1, 1]
  yield "one model", random_features(28, 1, 3, 8), [0]
  yield "one image", random_features(29, 1, 1, 8), [-1]


@EVERY_LOSS
def test_singular_features_give_finite_value_and_gradient(function):
  graded = jax.jit(jax.value_and_grad(function))
  for name, features, labels in singular_features():
    value, slope = graded(jnp.float32(features), jnp.array(labels))
    assert np.isfinite(value), name
    assert np.isfinite(slope).all(), name


@EVERY_LOSS
@pytest.mark.usefixtures("x64")
def test_gradients_equal_central_differences(function):
  features = jnp.array(random_features(35, 4, 3, 3))
  labels = jnp.array([0, 0, 1, -1])
  loss = jax.jit(function)
  slope = jax.jit(jax.grad(function))(features, labels)
  for seed in range(3):
    way = jnp.array(random_features(seed, *features.shape))
    up, down = (loss(features + s * 1e-6 * way, labels) for s in (1, -1))
    np.testing.assert_allclose(
      jnp.vdot(slope, way), (up - down) / 2e-6, rtol=2e-6, atol=2e-8
    )


@EVERY_LOSS
def test_loss_under_vmap_equals_loss_of_each_batch(function):
  features = jnp.float32(random_features(31, 2, 4, 3, 5))
  labels = jnp.array([[0, 0, 1, 1], [0, -1, 2, 0]])
  graded = jax.value_and_grad(function)
  values, slopes = jax.jit(jax.vmap(graded))(features, labels)
  for k in range(2):
    value, slope = jax.jit(graded)(features[k], labels[k])
    np.testing.assert_allclose(values[k], value, rtol=1e-5)
    bound = 1e-5 * np.abs(slope).max()
    np.testing.assert_allclose(slopes[k], slope, atol=bound)


@pytest.mark.parametrize("mining", MININGS)
def test_equal_features_give_loss_one_and_gradient_zero(mining):
  features = jnp.full((4, 3, 16), 0.25, jnp.float32)
  margin = make_margin(jnp.eye(4)[:3])
  value, slope = jax.value_and_grad(
    lambda x: (
      batch_triplet(
        x, margin, labels=jnp.array([0, 0, 1, 1]), mining=mining
      ).loss
    )
  )(features)
  assert value == 1
  assert (slope == 0).all()


def test_loss_without_terms_is_zero():
  single = jnp.float32(random_features(32, 1, 1, 4))
  margin = make_margin(jnp.eye(4)[:1])
  for mining in MININGS:
    got = batch_triplet(single, margin, mining=mining)
    assert (got.loss, got.active, got.count) == (0, 0, 0)
  got = contrast(single)
  assert (got.loss, got.active, got.count) == (0, 0, 0)
  for objective in OBJECTIVES:
    got = separation(single, objective=objective)
    assert (got.loss, got.distance) == (0, 0)


@EVERY_LOSS
@pytest.mark.usefixtures("x64")
def test_loss_keeps_precision_of_features(function):
  labels = jax.ShapeDtypeStruct((4,), jnp.int32)
  for dtype in (jnp.float32, jnp.float64):
    features = jax.ShapeDtypeStruct((4, 3, 8), dtype)
    value, slope = jax.eval_shape(
      jax.value_and_grad(function), features, labels
    )
    assert value.dtype == slope.dtype == dtype


def test_scale_of_zero_gives_finite_gradient():
  features = jnp.ones((2, 2, 4), jnp.float32)
  value, slope = jax.value_and_grad(lambda x: separation(x, scale=0.0).loss)(
    features
  )
  assert value == 2
  assert np.isfinite(slope).all()


@pytest.mark.parametrize(
  "function",
  [
    lambda x: (
      batch_triplet(
        x, Margin(jnp.full((3, 3), 0.5), 0.5), labels=jnp.array([0, 0, 1, 1])
      ).loss
    ),
    lambda x: contrast(x, labels=jnp.array([0, 0, 1, 1])).loss,
    lambda x: (
      classify(
        x, jnp.eye(2, 8), labels=jnp.array([0, 0, 1, 1]), smoothing=0.0
      ).loss
    ),
  ],
  ids=["hard", "contrastive", "prototype"],
)
def test_descent_groups_images_by_class(function):
  raw = jnp.float32(random_features(34, 4, 3, 8))

  def loss(raw):
    return function(raw / jnp.linalg.norm(raw, axis=-1, keepdims=True))

  step = jax.jit(lambda raw: raw - 0.5 * jax.grad(loss)(raw))
  before = loss(raw)
  for _ in range(100):
    raw = step(raw)
  assert loss(raw) < 0.7 * before
  images = np.array(raw).reshape(12, 8)
  images /= np.linalg.norm(images, axis=1, keepdims=True)
  similar = images @ images.T - 2 * np.eye(12)
  nearest = similar.argmax(1)
  assert (nearest // 6 == np.arange(12) // 6).all()


# ----- messages --------------------------------------------------------------


def test_invalid_argument_raises_with_its_value():
  features = jnp.zeros((2, 3, 4))
  margin = make_margin(jnp.eye(4)[:3])
  with pytest.raises(ValueError, match=r"\[N, D\], got \(3, 4\) and \(2, 4\)"):
    pair_triplet_loss(features[0], features[0, :2], margin)
  with pytest.raises(ValueError, match=r"\[B, N, D\], got \(3, 4\)"):
    batch_triplet_loss(features[0], margin)
  with pytest.raises(ValueError, match="'hardest'"):
    batch_triplet_loss(features, margin, mining="hardest")
  with pytest.raises(ValueError, match=r"\(2,\), got int32 \(3,\)"):
    contrastive_loss(features, labels=jnp.array([0, 1, 2]))
  with pytest.raises(ValueError, match="got float32"):
    contrastive_loss(features, labels=jnp.array([0.0, 1.0]))
  with pytest.raises(ValueError, match=r"above 0, got 0\.0"):
    contrastive_loss(features, temperature=0.0)
  with pytest.raises(ValueError, match=r"above 0, got -1"):
    prototype_loss(features, jnp.eye(4), labels=jnp.arange(2), temperature=-1)
  with pytest.raises(ValueError, match=r"N = 3 views, got \(4, 4\)"):
    batch_triplet_loss(features, make_margin(jnp.eye(4)))
  with pytest.raises(ValueError, match="'printed'"):
    batch_separation_loss(features, objective="printed")


# ----- positives by pose -----------------------------------------------------


def pose_pairs(alike, labels=LABELS, count=4):
  """Masks of models under views that are 20 degrees apart on a ring."""
  angles = np.abs(np.arange(count)[:, None] - np.arange(count)) * 20.0
  features = jnp.zeros((len(labels), count, 2))
  pairs = relate_images(features, jnp.asarray(labels))
  return relate_by_pose(
    pairs, jnp.radians(jnp.float32(angles)), alike=alike, limit=np.radians(30)
  )


@pytest.mark.parametrize("alike", ["class", "pose", "both"])
def test_masks_by_pose_follow_their_definition(alike):
  pairs = pose_pairs(alike)
  for a, b in itertools.product(range(20), repeat=2):
    near = abs(a % 4 - b % 4) <= 1
    kin = are_similar(LABELS, a // 4, b // 4)
    similar = {"class": kin, "pose": near, "both": kin and near}[alike]
    assert pairs.positive[a, b] == (similar and a != b)
    assert pairs.negative[a, b] == (not similar)
    assert pairs.within[a, b] == (a // 4 == b // 4 and a != b)


def test_features_of_the_pose_satisfy_only_the_loss_by_pose():
  """Features that tell the view and not the model, and the reverse."""
  view = jnp.broadcast_to(jnp.eye(4)[None], (5, 4, 4))
  model = jnp.broadcast_to(jnp.eye(5)[:, None], (5, 4, 5))
  far = jnp.where(jnp.eye(4, dtype=bool), 0.0, 3.0)
  labels = jnp.full(5, -1)

  def loss(features, alike):
    pairs = relate_by_pose(
      relate_images(features, labels), far, alike=alike, limit=0.5
    )
    return contrastive_loss(features, temperature=0.02, pairs=pairs).loss

  assert loss(view, "pose") < 2 < 10 < loss(model, "pose")
  assert loss(model, "class") < 2 < 10 < loss(view, "class")


def test_unknown_alike_raises():
  with pytest.raises(ValueError, match="alike must be one of"):
    pose_pairs("colour")
