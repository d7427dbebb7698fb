import json

import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

pytest.importorskip("cv2")

from dr3d.camera.view import make_views, sphere_views, view_directions
from dr3d.mesh import make_mesh
from dr3d.nn.photo import standardise
from dr3d.retrieval.photo import train
from dr3d.retrieval.photo.drawing import TILT_MAX, TURN_MAX, perturb
from dr3d.retrieval.photo.train import PhotoTrainConfig, contrast, train_photo


def test_contrast_is_its_closed_form():
  photo = jnp.eye(3)[:2]
  gallery = jnp.eye(3)[:2]
  loss, right = contrast(photo, gallery, jnp.array([0, 1]), temperature=0.5)
  assert float(loss) == pytest.approx(np.log(1 + np.exp(-2)), abs=1e-6)
  assert float(right) == 1


def test_other_views_of_a_model_are_no_negatives():
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(4, 8))
  photo = jnp.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
  one = jnp.zeros(4, jnp.int32)
  loss, right = contrast(photo, photo, one, temperature=0.1)
  assert float(loss) == pytest.approx(0, abs=1e-6)
  assert float(right) == 1


def test_photograph_is_taken_near_its_view():
  views = make_views(sphere_views(48), colored=False)
  near = perturb(views, np.random.default_rng(0))
  a, b = (np.asarray(view_directions(v.quaternion)) for v in (views, near))
  tilt = np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))
  assert tilt.max() <= TILT_MAX + 0.01
  assert tilt.mean() > TILT_MAX / 2
  dot = np.abs((np.asarray(views.quaternion) * near.quaternion).sum(axis=1))
  whole = np.degrees(2 * np.arccos(np.clip(dot, -1, 1)))
  assert whole.max() <= TILT_MAX + TURN_MAX
  assert (whole > TILT_MAX).any()  # it is turned in its plane as well


def test_standardised_image_does_not_depend_on_colour_or_exposure():
  rng = np.random.default_rng(0)
  grey = rng.uniform(0.2, 0.8, (1, 16, 16, 1))
  alpha = (rng.random((1, 16, 16, 1)) > 0.3).astype(float)

  def see(grey):
    color = np.repeat(grey * alpha, 3, axis=-1)
    return np.asarray(
      standardise(jnp.asarray(np.concatenate([color, alpha], -1)))
    )

  before, after = see(grey), see(0.4 * grey + 0.3)
  assert np.abs(before - after).max() < 0.06  # the least deviation differs
  assert np.abs(before - see(1 - grey)).max() > 0.3
  outside = np.broadcast_to(alpha == 0, before.shape)
  assert (before[outside] == 0).all()
  assert before[~outside].mean() == pytest.approx(0.5, abs=0.02)


def test_training_lowers_the_loss_resumes_and_saves(tmp_path, monkeypatch):
  _shrink(monkeypatch)
  rng = np.random.default_rng(0)
  meshes = [
    make_mesh(*_arrays(trimesh.creation.box(rng.uniform(0.2, 1, 3))))
    for _ in range(4)
  ]
  config = PhotoTrainConfig(
    view_count=4,
    size=32,
    feature_size=16,
    model_count=4,
    models_per_class=1,
    views_per_step=2,
    steps=8,
    rate=1e-2,
    block_rate=1e-3,
    temperature=0.3,
  )
  labels = ["a", "b", "c", "d"]
  pipeline = train_photo(meshes, labels, config=config, workdir=tmp_path)
  rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
  losses = [row["loss"] for row in rows]
  assert np.mean(losses[-3:]) < np.mean(losses[:3])
  again = train_photo(meshes, labels, config=config, workdir=tmp_path)
  assert again.fingerprint == pipeline.fingerprint


def _arrays(body):
  return body.vertices, body.faces


def _shrink(monkeypatch):
  """Random weights, so that ImageNet's need not be installed."""
  start = train.Pipeline.create

  def load():
    pipeline = start(
      train.PipelineConfig(
        view_count=4,
        light_count=1,
        render=train.RenderConfig(size=32),
        embed=train.EncoderConfig(feature_size=16, backbone="photo"),
      )
    )
    params = pipeline.weights["params"]
    return {"params": {**params["stem"], **params["head"]}}

  monkeypatch.setattr(train, "load_imagenet", load)
