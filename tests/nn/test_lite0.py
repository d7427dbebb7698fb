"""EfficientNet-Lite0: equal to an independent computation in NumPy."""

import jax
import numpy as np
import pytest
from support import lite0 as oracle

from dr3d.error import PipelineError
from dr3d.nn import imagenet
from dr3d.nn.lite0 import FEATURE_SIZE, Lite0, Stem


@pytest.fixture(scope="module")
def tensors():
  return oracle.make_tensors()


def make_images(seed, size=64):
  return np.random.default_rng(seed).random((2, size, size, 3), np.float32)


def test_features_equal_those_of_the_unfolded_network(tensors):
  images = make_images(1)
  features = jax.jit(Lite0().apply)(imagenet.convert(tensors), images)
  expected = oracle.describe(tensors, images)
  assert expected.shape == (2, FEATURE_SIZE)
  assert np.abs(expected[0] - expected[1]).max() > 0.01
  np.testing.assert_allclose(features, expected, atol=1e-4, rtol=1e-4)


def test_stem_of_all_blocks_is_the_network_without_its_mean(tensors):
  images = make_images(2, size=32)
  weights = imagenet.convert(tensors)
  stem = jax.jit(Stem(len(oracle.BLOCKS)).apply)(weights, images)
  assert stem.shape == (2, 1, 1, FEATURE_SIZE)
  expected = jax.jit(Lite0().apply)(weights, images)
  np.testing.assert_allclose(stem[:, 0, 0], expected, atol=1e-5)


def test_converted_weights_have_the_shapes_of_new_ones(tensors):
  new = jax.eval_shape(Lite0().init, jax.random.key(0), make_images(0))
  converted = imagenet.convert(tensors)
  assert jax.tree.structure(new) == jax.tree.structure(converted)
  shapes = jax.tree.map(np.shape, (new, converted))
  assert shapes[0] == shapes[1]


def test_missing_tensor_raises_with_its_name(tensors):
  cut = {k: v for k, v in tensors.items() if k != "_blocks.3._bn1.bias"}
  with pytest.raises(PipelineError, match=r"lack '_blocks\.3\._bn1\.bias'"):
    imagenet.convert(cut)


def test_package_that_is_not_installed_raises_with_the_remedy(monkeypatch):
  monkeypatch.setattr(imagenet, "_PACKAGE", "no_such_package")
  with pytest.raises(PipelineError, match=r"pip install 'dr3d\[imagenet\]'"):
    imagenet.load_imagenet()
