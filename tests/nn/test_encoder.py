"""T: unit vectors, and which images may know of each other."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.nn.encoder import EncoderConfig, make_encoder

ALONE = EncoderConfig(feature_size=16, widths=(8, 16))
TOGETHER = dataclasses.replace(ALONE, attention=True)
NORMED = dataclasses.replace(ALONE, exchange="norm")
READ = dataclasses.replace(ALONE, exchange="recurrence")
FINE = dataclasses.replace(ALONE, stem=4)


@functools.partial(jax.jit, static_argnames="config")
def embed(weights, images, *, config):
  return make_encoder(config).apply(weights, images)


def make_images(seed, models=3):
  return jnp.float32(
    np.random.default_rng(seed).uniform(size=(models, 4, 16, 16, 4))
  )


@pytest.fixture(
  scope="module",
  params=[ALONE, TOGETHER, NORMED, READ, FINE],
  ids=["alone", "attention", "norm", "recurrence", "with a stem"],
)
def embedder(request):
  """A configuration, with weights that leave no path at zero."""
  config = request.param
  weights = jax.jit(make_encoder(config).init)(
    jax.random.key(0), make_images(0)
  )
  rng = np.random.default_rng(1)
  weights = jax.tree.map(
    lambda x: x + 0.1 * jnp.float32(rng.normal(size=x.shape)), weights
  )
  return config, functools.partial(embed, weights, config=config)


def test_features_are_unit_vectors_of_the_configured_size(embedder):
  config, apply = embedder
  features = apply(make_images(2))
  assert features.shape == (3, 4, config.feature_size)
  np.testing.assert_allclose(jnp.linalg.norm(features, axis=-1), 1, rtol=1e-5)
  spread = jnp.linalg.norm(features[0, 0] - features[1, 1])
  assert spread > 1e-3


def test_other_models_do_not_change_features(embedder):
  _, apply = embedder
  first, second = make_images(3), make_images(4)
  mixed = second.at[1].set(first[1])
  np.testing.assert_allclose(apply(mixed)[1], apply(first)[1], atol=1e-6)


def test_other_views_change_features_only_with_exchange(embedder):
  config, apply = embedder
  first = make_images(5)
  second = first.at[0, 2].set(make_images(6)[0, 2])
  change = jnp.abs(apply(first) - apply(second)).max(-1)
  assert change[0, 2] > 1e-3
  others = change[0, jnp.array([0, 1, 3])]
  if config.mixes_views:
    assert (others > 1e-5).all()
  else:
    assert (others < 1e-6).all()
  assert (change[1:] < 1e-6).all()


def test_permuted_views_permute_features_except_of_a_recurrence(embedder):
  config, apply = embedder
  images = make_images(7)
  order = jnp.array([2, 0, 3, 1])
  change = jnp.abs(apply(images[:, order]) - apply(images)[:, order]).max()
  if config.exchange == "recurrence":  # it reads the views in their order
    assert change > 1e-4
  else:
    assert change < 1e-5


def test_single_view_has_finite_features_and_gradients(embedder):
  _, apply = embedder
  images = make_images(8)[:, :1]
  assert np.isfinite(apply(images)).all()
  assert np.isfinite(
    jax.grad(lambda x: jnp.sum(apply(x)[..., 0]))(images)
  ).all()


def test_two_exchanges_at_once_raise():
  both = dataclasses.replace(TOGETHER, exchange="norm")
  with pytest.raises(ValueError, match="exclude each other"):
    make_encoder(both).init(jax.random.key(0), make_images(0))


def test_empty_image_has_a_finite_feature_and_gradient(embedder):
  _, apply = embedder
  slope = jax.grad(lambda x: jnp.sum(jnp.sin(3 * apply(x))))
  assert np.isfinite(apply(jnp.zeros((3, 4, 16, 16, 4)))).all()
  assert np.isfinite(slope(jnp.zeros((3, 4, 16, 16, 4)))).all()


def test_images_of_an_odd_size_raise(embedder):
  _, apply = embedder
  with pytest.raises(ValueError, match="multiples of 8: 12, 16"):
    apply(jnp.zeros((1, 4, 12, 16, 4)))
