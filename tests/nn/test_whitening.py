"""Whitening: equal spread in all directions, and what it leaves alone."""

import numpy as np
import pytest

from dr3d.nn.whitening import fit_whitening, to_dense, whiten


def make_vectors():
  """A cloud far from round, off the origin."""
  rng = np.random.default_rng(0)
  turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
  spread = np.array([5.0, 2.0, 1.0, 0.5])
  return (rng.normal(size=(50, 6, 4)) * spread) @ turn + [3, -1, 0, 2]


def spread(features, whitening):
  mapped = (features.reshape(-1, 4) - whitening.mean) @ whitening.matrix
  return np.cov(mapped.T)


def test_known_vectors_are_spread_alike_in_all_directions():
  features = make_vectors()
  covariance = spread(features, fit_whitening(features))
  np.testing.assert_allclose(
    covariance / covariance[0, 0], np.eye(4), atol=0.1
  )  # the floor leaves the least direction a little behind
  before = np.linalg.eigvalsh(
    spread(features, fit_whitening(features, power=0))
  )
  half = np.linalg.eigvalsh(
    spread(features, fit_whitening(features, power=0.5))
  )
  np.testing.assert_allclose(
    half / half[-1], np.sqrt(before / before[-1]), rtol=0.1
  )


def test_power_zero_subtracts_only_the_mean():
  features = make_vectors()
  whitening = fit_whitening(features, power=0)
  np.testing.assert_allclose(whitening.matrix, np.eye(4), atol=1e-6)
  np.testing.assert_allclose(
    whitening.mean, features.mean((0, 1)), rtol=1e-6, atol=1e-6
  )


def test_mapped_vectors_are_unit_vectors_and_the_mean_harms_none():
  features = make_vectors().astype(np.float32)
  whitening = fit_whitening(features)
  got = np.asarray(whiten(features, whitening))
  np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, rtol=1e-5)
  mapped = (features - whitening.mean) @ whitening.matrix
  along = (got * mapped).sum(-1) / np.linalg.norm(mapped, axis=-1)
  np.testing.assert_allclose(along, 1, rtol=1e-5)
  assert np.isfinite(np.asarray(whiten(whitening.mean, whitening))).all()


def test_direction_without_spread_is_not_amplified():
  features = make_vectors()
  features[..., 3] = 1
  whitening = fit_whitening(features)
  assert np.linalg.norm(whitening.matrix, 2) < 40  # 1 / sqrt(1e-3), nearly


def test_too_few_vectors_or_invalid_power_raises():
  with pytest.raises(ValueError, match="power must be between 0 and 1"):
    fit_whitening(make_vectors(), power=2)
  with pytest.raises(ValueError, match="at least two vectors"):
    fit_whitening(np.ones((1, 1, 4)))


def test_size_keeps_the_directions_of_largest_spread():
  features = make_vectors()
  whitening = fit_whitening(features, size=2, power=0)
  mapped = (features.reshape(-1, 4) - whitening.mean) @ whitening.matrix
  largest = np.linalg.eigvalsh(np.cov(features.reshape(-1, 4).T))[-2:]
  np.testing.assert_allclose(np.cov(mapped.T), np.diag(largest), atol=1e-4)
  assert whiten(features, fit_whitening(features, size=3)).shape == (50, 6, 3)
  for size in (0, 5):
    with pytest.raises(ValueError, match=f"between 1 and 4, got {size}"):
      fit_whitening(features, size=size)


def test_dense_maps_vectors_as_the_whitening_does():
  features = np.float32(make_vectors())
  whitening = fit_whitening(features, size=3)
  layer = to_dense(whitening)
  mapped = features @ layer["kernel"] + layer["bias"]
  mapped /= np.linalg.norm(mapped, axis=-1, keepdims=True)
  np.testing.assert_allclose(mapped, whiten(features, whitening), atol=1e-4)
