"""Pipelines that start from ImageNet's weights; random ones stand for them."""

import dataclasses

import numpy as np
import pytest
import trimesh
from support import lite0 as oracle

from dr3d.error import PipelineError
from dr3d.mesh import make_mesh
from dr3d.nn.encoder import LARGE_SHARE, EncoderConfig, make_encoder
from dr3d.nn.imagenet import convert
from dr3d.render.config import RenderConfig
from dr3d.retrieval import imagenet
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.pipeline_file import WEIGHTS_FILE
from dr3d.retrieval.recipe import TrainConfig, check_config

SMALL = PipelineConfig(
  view_count=2,
  render=RenderConfig(size=32),
  embed=EncoderConfig(feature_size=4, widths=(4, 8)),
)
LITE0 = dataclasses.replace(
  SMALL, embed=EncoderConfig(feature_size=4, backbone="lite0")
)


@pytest.fixture(scope="module")
def weights():
  return convert(oracle.make_tensors())


@pytest.fixture(scope="module")
def installed(weights):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(imagenet, "load_imagenet", lambda: weights)
    yield


@pytest.fixture(scope="module")
def meshes():
  boxes = [trimesh.creation.box((1, 2 + i, 3 + i * i)) for i in range(4)]
  return [make_mesh(box.vertices, box.faces) for box in boxes]


@pytest.fixture(scope="module")
def lite0(installed, meshes):
  return imagenet.start_from_imagenet(LITE0, meshes)


@pytest.fixture(scope="module")
def small(meshes):
  return Pipeline.create(SMALL).whitened(meshes)


def test_vectors_of_the_known_meshes_are_whitened(lite0, meshes):
  vectors = lite0.embed(meshes)
  assert vectors.shape == (4, 2, 4)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-5)
  # Whitened vectors point to all sides; those of the network do not.
  assert np.linalg.norm(vectors.mean((0, 1))) < 0.5


def test_saved_pipeline_gives_the_same_vectors(lite0, meshes, tmp_path):
  rounded = lite0.rounded()
  rounded.save(tmp_path / "pipeline")
  loaded = Pipeline.load(tmp_path / "pipeline")
  assert loaded.config == LITE0
  assert loaded.fingerprint == rounded.fingerprint
  np.testing.assert_array_equal(loaded.embed(meshes), rounded.embed(meshes))
  count = 2.94e6  # weights of two bytes
  size = (tmp_path / "pipeline" / WEIGHTS_FILE).stat().st_size
  assert 2 * count < size < 2.1 * count


def test_each_half_of_joint_vectors_is_of_one_encoder(
  installed, small, meshes, tmp_path
):
  joint = imagenet.join_imagenet(small, meshes)
  assert joint.config.render.size == 64
  assert joint.config.embed.feature_size == 8
  images = np.random.default_rng(0).random((1, 2, 64, 64, 4), np.float32)
  vectors = joint.embed_images(images)
  pooled = images.reshape(1, 2, 32, 2, 32, 2, 4).mean((3, 5))
  small_length, large_length = (1 - LARGE_SHARE) ** 0.5, LARGE_SHARE**0.5
  np.testing.assert_allclose(
    vectors[..., :4], small.embed_images(pooled) * small_length, atol=1e-4
  )
  large = make_encoder(EncoderConfig(feature_size=4, backbone="lite0"))
  expected = large.apply({"params": joint.weights["params"]["large"]}, images)
  np.testing.assert_allclose(
    vectors[..., 4:], expected * large_length, atol=1e-4
  )
  joint.save(tmp_path / "joint")
  assert Pipeline.load(tmp_path / "joint").fingerprint == joint.fingerprint


def test_images_of_one_brightness_in_other_colours_are_equal(lite0):
  images = np.random.default_rng(0).random((1, 1, 32, 32, 4), np.float32)
  swapped = images[..., [2, 0, 1, 3]]
  np.testing.assert_allclose(
    lite0.embed_images(images), lite0.embed_images(swapped), atol=1e-4
  )


def test_contradictions_raise(installed, small, meshes, lite0):
  with pytest.raises(ValueError, match="must be lite0, not small"):
    imagenet.start_from_imagenet(SMALL, meshes)
  with pytest.raises(PipelineError, match="if its encoder is the small one"):
    imagenet.join_imagenet(lite0, meshes)
  joint = EncoderConfig(feature_size=5, backbone="joint")
  with pytest.raises(ValueError, match="must be even for both encoders: 5"):
    make_encoder(joint)
  with pytest.raises(ValueError, match="attention and other exchange"):
    make_encoder(EncoderConfig(backbone="lite0", attention=True))
  with pytest.raises(ValueError, match="multiples of 32: 48, 48"):
    make_encoder(LITE0.embed).apply(lite0.weights, np.zeros((1, 1, 48, 48, 4)))
  even = dataclasses.replace(joint, feature_size=6)
  config = TrainConfig(pipeline=dataclasses.replace(SMALL, embed=even))
  with pytest.raises(ValueError, match="are trained from a pipeline that has"):
    check_config(config, None)


def test_pipeline_without_rounded_weights_is_saved_exactly(small, tmp_path):
  small.save(tmp_path / "pipeline")
  assert Pipeline.load(tmp_path / "pipeline").fingerprint == small.fingerprint
