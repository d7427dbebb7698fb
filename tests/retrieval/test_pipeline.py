"""Pipelines: vectors of meshes and images, saving and loading."""

import collections
import dataclasses
import json

import jax
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation
from support.sphere import make_spheres

from dr3d.error import PipelineError
from dr3d.mesh import make_mesh
from dr3d.nn.encoder import EncoderConfig
from dr3d.nn.whitening import whiten
from dr3d.render.budget import Unlimited
from dr3d.render.triangle import RenderConfig
from dr3d.retrieval.pipeline import PRETRAINED, Pipeline, PipelineConfig
from dr3d.retrieval.pipeline_file import CONFIG_FILE, FORMAT, WEIGHTS_FILE

CONFIG = PipelineConfig(
  view_count=3,
  render=RenderConfig(size=16),
  embed=EncoderConfig(feature_size=8, widths=(4, 8)),
)


def make_shape(seed, turn=None):
  """A wedge of random proportions: no symmetry, moments far apart."""
  rng = np.random.default_rng(seed)
  vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1.7, 0], [0.4, 0.2, 1.0]])
  vertices = vertices * rng.uniform(0.8, 1.2, 3)
  faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
  if turn is not None:
    vertices = turn.apply(vertices) + np.array([5, -3, 2])
  return make_mesh(vertices, faces)


@pytest.fixture(scope="module")
def pipeline():
  return Pipeline.create(CONFIG)


@pytest.fixture(scope="module")
def meshes():
  """Ten of the smallest bucket, and one of the next among them."""
  ball = trimesh.creation.icosphere(2)
  meshes = [make_shape(seed) for seed in range(10)]
  meshes.insert(4, make_mesh(ball.vertices, ball.faces))
  return meshes


@pytest.fixture(scope="module")
def vectors(pipeline, meshes):
  return pipeline.embed(meshes)


@pytest.fixture
def saved(pipeline, tmp_path):
  pipeline.save(tmp_path / "pipeline")
  return tmp_path / "pipeline"


def spoil(saved, **fields):
  path = saved / CONFIG_FILE
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# ----- vectors ---------------------------------------------------------------


def test_embed_returns_a_unit_vector_for_every_view(vectors):
  assert vectors.shape == (11, 3, 8)
  assert vectors.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-5)
  mean = vectors.mean(1)
  assert np.abs(mean[0] - mean[1]).max() > 1e-3


def test_order_of_meshes_does_not_change_vectors(pipeline, meshes, vectors):
  order = np.random.default_rng(0).permutation(11)
  got = pipeline.embed([meshes[i] for i in order])
  np.testing.assert_allclose(got, vectors[order], atol=1e-6)


def test_other_meshes_in_the_list_do_not_change_vectors(
  pipeline, meshes, vectors
):
  np.testing.assert_allclose(
    pipeline.embed(meshes[2:4]), vectors[2:4], atol=1e-6
  )
  np.testing.assert_allclose(
    pipeline.embed([meshes[6]]), vectors[6:7], atol=1e-6
  )


def test_no_meshes_give_no_vectors(pipeline):
  assert pipeline.embed([]).shape == (0, 3, 8)


def test_principal_pose_makes_rotated_mesh_the_same(pipeline, vectors):
  for seed in range(3):
    turn = Rotation.random(random_state=seed)
    got = pipeline.embed([make_shape(seed, turn)])
    np.testing.assert_allclose(got[0], vectors[seed], atol=1e-3)


def test_file_pose_makes_rotated_mesh_another(pipeline):
  config = dataclasses.replace(CONFIG, pose="file")
  file = Pipeline(config, pipeline.views, pipeline.weights)
  quarter = Rotation.from_rotvec([0, 0, np.pi / 2])
  here, there = file.embed([make_shape(0), make_shape(0, quarter)])
  assert np.abs(here - there).max() > 1e-2


def test_reserved_room_prevents_later_compilation(pipeline, meshes, vectors):
  wedges = meshes[:4] + meshes[5:]
  fresh = Pipeline(pipeline.config, pipeline.views, pipeline.weights)
  fresh.reserve(wedges)
  for batch in (wedges[:1], wedges[:2]):  # alone, and in a padded batch
    fresh.embed(batch)
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **rest: (
      compiled.append(event) if "backend_compile" in event else None
    )
  )
  alone = [fresh.embed([mesh])[0] for mesh in wedges]
  together = fresh.embed(wedges)
  assert not compiled
  np.testing.assert_allclose(alone, together, atol=1e-5)
  np.testing.assert_allclose(together[:4], vectors[:4], atol=1e-5)


# ----- images and other renderers --------------------------------------------


def test_images_of_meshes_get_the_vectors_of_the_meshes(
  pipeline, meshes, vectors
):
  images = np.stack([pipeline.render(mesh) for mesh in meshes])
  got = pipeline.embed_images(images)  # 11 models: a full and a padded batch
  assert got.shape == vectors.shape
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, vectors, atol=1e-4)


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_images_of_a_model_is_embedded(pipeline, meshes, count):
  image = pipeline.render(meshes[0])[:1]
  images = np.repeat(image, count, axis=0)[None]
  got = pipeline.embed_images(images)
  assert got.shape == (1, count, 8)
  one = pipeline.embed_images(image[None])
  np.testing.assert_allclose(got[0], np.repeat(one[0], count, 0), atol=1e-6)


def test_no_images_give_no_vectors(pipeline):
  assert pipeline.embed_images(np.zeros((0, 2, 16, 16, 4))).shape == (0, 2, 8)


def test_images_are_whitened_as_meshes_are(pipeline, meshes):
  white = pipeline.whitened(meshes)
  images = white.render(meshes[0])[None]
  np.testing.assert_allclose(
    white.embed_images(images), white.embed(meshes[:1]), atol=1e-3
  )


@pytest.mark.parametrize(
  "images",
  [
    np.zeros((3, 16, 16, 4), np.float32),
    np.zeros((1, 3, 32, 32, 4), np.float32),
    np.zeros((1, 3, 16, 16, 3), np.float32),
    np.zeros((1, 0, 16, 16, 4), np.float32),
    np.zeros((1, 3, 16, 16, 4), np.uint8),
  ],
)
def test_images_of_another_shape_or_type_raise(pipeline, images):
  with pytest.raises(ValueError, match=r"floats .* \[B, M, 16, 16, 4\] .* got"):
    pipeline.embed_images(images)


def test_models_of_another_renderer_are_embedded(pipeline):
  spheres = make_spheres(size=16)
  got = pipeline.embed_rendered(spheres)
  images, _ = spheres.render(pipeline.views, budget=Unlimited())
  assert got.shape == (2, 3, 8)
  np.testing.assert_allclose(got, pipeline.embed_images(images), atol=1e-5)
  with pytest.raises(ValueError, match=r"got float32 \[2, 3, 32, 32, 4\]"):
    pipeline.embed_rendered(make_spheres(size=32))


def test_render_returns_images_of_the_requested_size(pipeline, meshes):
  images = pipeline.render(meshes[0])
  assert images.shape == (3, 16, 16, 4)
  assert images.dtype == np.float32
  assert images.min() >= 0
  assert images.max() <= 1
  alpha = images[..., 3]
  larger = pipeline.render(meshes[0], size=32)[..., 3]
  np.testing.assert_allclose(larger.mean((1, 2)), alpha.mean((1, 2)), atol=0.05)


# ----- to disk and back ------------------------------------------------------


def test_loaded_pipeline_gives_the_same_vectors(
  pipeline, saved, meshes, vectors
):
  loaded = Pipeline.load(saved)
  assert loaded.config == pipeline.config
  assert loaded.fingerprint == pipeline.fingerprint
  assert loaded._repr_html_() == pipeline._repr_html_()
  assert pipeline.fingerprint in pipeline._repr_html_()
  np.testing.assert_array_equal(loaded.embed(meshes), vectors)
  assert sorted(p.name for p in saved.parent.iterdir()) == ["pipeline"]


def test_whitened_pipeline_maps_vectors_and_saves_its_whitening(
  pipeline, meshes, vectors, tmp_path
):
  white = pipeline.whitened(meshes)
  got = white.embed(meshes)
  np.testing.assert_allclose(
    got, np.asarray(whiten(vectors, white.whitening)), atol=1e-5
  )
  assert np.abs(got - vectors).max() > 0.1
  assert pipeline.whitening is None
  assert white.fingerprint != pipeline.fingerprint
  again = white.whitened(meshes)  # of T's own vectors, not of mapped ones
  assert again.fingerprint == white.fingerprint
  white.save(tmp_path / "white")
  loaded = Pipeline.load(tmp_path / "white")
  assert loaded.fingerprint == white.fingerprint
  np.testing.assert_array_equal(
    loaded.embed(meshes[:2]), white.embed(meshes[:2])
  )


def test_stem_is_saved_and_loaded(meshes, tmp_path):
  embed = dataclasses.replace(CONFIG.embed, stem=4)
  pipeline = Pipeline.create(dataclasses.replace(CONFIG, embed=embed))
  pipeline.save(tmp_path / "fine")
  loaded = Pipeline.load(tmp_path / "fine")
  assert loaded.config == pipeline.config
  assert loaded.fingerprint == pipeline.fingerprint
  np.testing.assert_array_equal(
    loaded.embed(meshes[:1]), pipeline.embed(meshes[:1])
  )


def test_config_without_stem_is_saved_without_the_key(saved):
  written = json.loads((saved / CONFIG_FILE).read_text())
  assert set(written["config"]["embed"]) == {
    "feature_size",
    "widths",
    "depth",
    "attention",
  }


def test_second_save_replaces_the_first(saved):
  other = Pipeline.create(CONFIG, seed=1)
  other.save(saved)
  assert Pipeline.load(saved).fingerprint == other.fingerprint


def test_failed_save_keeps_the_old_pipeline(pipeline, saved, monkeypatch):
  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr("pathlib.Path.write_bytes", fail)
  with pytest.raises(OSError, match="disk full"):
    Pipeline.create(CONFIG, seed=1).save(saved)
  monkeypatch.undo()
  assert Pipeline.load(saved).fingerprint == pipeline.fingerprint
  assert sorted(p.name for p in saved.parent.iterdir()) == ["pipeline"]


def test_fingerprint_changes_with_every_number(pipeline):
  def change(tree, leaf):
    leaves, form = jax.tree.flatten(tree)
    leaves[leaf] = leaves[leaf] + 1e-6
    return jax.tree.unflatten(form, leaves)

  seen = {pipeline.fingerprint}
  for leaf in range(3):
    views = dataclasses.replace(pipeline, views=change(pipeline.views, leaf))
    weights = change(pipeline.weights, leaf)
    seen |= {views.fingerprint}
    seen |= {dataclasses.replace(pipeline, weights=weights).fingerprint}
  config = dataclasses.replace(CONFIG, pose="file")
  seen |= {dataclasses.replace(pipeline, config=config).fingerprint}
  assert len(seen) == 8
  assert Pipeline.create(CONFIG).fingerprint == pipeline.fingerprint


def test_weight_of_surfaces_is_saved_and_changes_no_fingerprint(
  pipeline, tmp_path
):
  other = dataclasses.replace(pipeline, surface_weight=0.4)
  other.save(tmp_path / "other")
  loaded = Pipeline.load(tmp_path / "other")
  assert loaded.surface_weight == 0.4
  assert loaded.fingerprint == pipeline.fingerprint
  pipeline.save(tmp_path / "plain")
  assert "surface_weight" not in (tmp_path / "plain" / CONFIG_FILE).read_text()
  assert Pipeline.load(tmp_path / "plain").surface_weight == 1


@pytest.mark.parametrize("weight", [0, -1, "1", None, True, 1e999])
def test_damaged_weight_of_surfaces_raises(saved, weight):
  spoil(saved, surface_weight=weight)
  with pytest.raises(
    PipelineError, match=r"surface_weight must be a number above"
  ):
    Pipeline.load(saved)


def test_missing_file_raises_with_its_name(saved, tmp_path):
  with pytest.raises(PipelineError, match=r"none holds no.*pipeline\.json is"):
    Pipeline.load(tmp_path / "none")
  (saved / WEIGHTS_FILE).unlink()
  with pytest.raises(PipelineError, match=r"weights\.msgpack is missing"):
    Pipeline.load(saved)


def test_shipped_pipeline_separates_shapes():
  pipeline = Pipeline.load()
  sizes = collections.Counter()
  for path in PRETRAINED.rglob("*"):
    if path.is_file():
      folder = path.relative_to(PRETRAINED).parts[0]
      sizes[folder if (PRETRAINED / folder).is_dir() else "small"] += (
        path.stat().st_size
      )
  # What a wheel carries: bytes that every installation downloads.
  assert sizes["small"] + sizes["full"] < 16e6
  assert sizes["photo"] + sizes["locate"] < 8e6
  assert sizes["shape"] < 8e6
  assert (PRETRAINED / "README.md").exists()
  shapes = [trimesh.creation.icosphere(2), trimesh.creation.annulus(1, 2, 0.5)]
  shapes += [trimesh.creation.box((1, 2, 3)), trimesh.creation.cone(1, 2)]
  turn = Rotation.random(random_state=3)
  known = [make_mesh(shape.vertices, shape.faces) for shape in shapes]
  turned = [
    make_mesh(turn.apply(shape.vertices), shape.faces) for shape in shapes
  ]
  vectors = pipeline.embed(known + turned)
  cosine = np.einsum("qnd,bmd->qbnm", vectors[4:], vectors[:4])
  similarity = cosine.max(axis=3).mean(axis=2)
  np.testing.assert_array_equal(similarity.argmax(axis=1), range(4))
  others = similarity - 2 * np.eye(4)
  assert np.diag(similarity).min() > 0.8
  assert others.max() < 0.8


def test_damaged_weights_raise(saved):
  path = saved / WEIGHTS_FILE
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  with pytest.raises(PipelineError, match=r"weights\.msgpack is damaged"):
    Pipeline.load(saved)
  path.write_bytes(data[:100])
  with pytest.raises(PipelineError, match=r"weights\.msgpack is damaged"):
    Pipeline.load(saved)


def test_damaged_configuration_raises(saved):
  (saved / CONFIG_FILE).write_text('{"format": 1, "sha')
  with pytest.raises(PipelineError, match="cannot be read"):
    Pipeline.load(saved)
  (saved / CONFIG_FILE).write_text("[]")
  with pytest.raises(PipelineError, match=f"another format than {FORMAT},"):
    Pipeline.load(saved)


def test_newer_format_raises(saved):
  spoil(saved, format=FORMAT + 1)
  with pytest.raises(PipelineError, match=f"another format than {FORMAT},"):
    Pipeline.load(saved)


@pytest.mark.parametrize(
  "config",
  [
    {**dataclasses.asdict(CONFIG), "colour": 3},
    {**dataclasses.asdict(CONFIG), "view_count": "three"},
    None,
  ],
)
def test_configuration_of_another_version_raises(saved, config):
  spoil(saved, config=config)
  with pytest.raises(PipelineError, match=r"pipeline\.json is not of this"):
    Pipeline.load(saved)


@pytest.mark.parametrize(
  "change", [{"view_count": 4}, {"embed": {"widths": [4, 16]}}]
)
def test_weights_of_another_shape_raise(saved, change):
  values = json.loads((saved / CONFIG_FILE).read_text())["config"]
  for name, value in change.items():
    nested = isinstance(value, dict)
    values[name] = {**values[name], **value} if nested else value
  spoil(saved, config=values)
  with pytest.raises(PipelineError, match=r"does not fit .*has the shape"):
    Pipeline.load(saved)


def test_unsupported_light_count_raises():
  with pytest.raises(ValueError, match="1 or 3, got 2"):
    Pipeline.create(dataclasses.replace(CONFIG, light_count=2))
