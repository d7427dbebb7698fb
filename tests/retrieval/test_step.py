"""One training step: gradients, frozen parts, renderers and devices."""

import dataclasses
import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from support.sphere import make_spheres
from support.step import (
  BUDGET,
  LOSS,
  OPTIMIZER,
  PIPELINE,
  first_moments,
  make_batch,
  make_inputs,
  make_start,
  step,
)

from dr3d.nn.encoder import make_encoder
from dr3d.render.budget import Unlimited
from dr3d.render.triangle import render
from dr3d.retrieval.augment import AugmentConfig
from dr3d.retrieval.guard import coverage_guard, variance_floor, view_repulsion
from dr3d.retrieval.loss import contrastive_loss, join_views, prototype_loss
from dr3d.retrieval.separation import batch_separation_loss
from dr3d.retrieval.state import (
  PARTS,
  make_state,
  select_parts,
)
from dr3d.retrieval.step import train_step
from dr3d.runtime.device import AXIS


@pytest.fixture(scope="module")
def stepped():
  """The state before and after two steps, and the measurements of both."""
  start = make_start()
  state, first = step(start)
  state, second = step(state)
  return start, state, first, second


# ----- the gradients ---------------------------------------------------------


def draw(views):
  return render(
    make_batch()[0],
    views,
    size=PIPELINE.render.size,
    sigma=PIPELINE.render.sigma,
    gamma=PIPELINE.render.gamma,
    framing=PIPELINE.render.framing,
    budget=BUDGET,
  )[0]


@jax.jit
def plain_gradients(state):
  """The two losses as the patent states them, differentiated as a whole."""
  labels = make_batch()[2]
  apply = make_encoder(PIPELINE.embed).apply

  def task(learned):  # the images are constants
    weights, prototypes = learned
    features = apply(weights, jax.lax.stop_gradient(draw(state.views)))
    terms = prototype_loss(features, prototypes, labels=labels)
    models = contrastive_loss(join_views(features), labels=labels)
    return (
      terms.loss
      + LOSS.models * models.loss
      + LOSS.spread * variance_floor(features)
    )

  def separation(views):  # the weights are constants
    images = draw(views)
    features = apply(state.weights, images)
    terms = batch_separation_loss(
      features, labels=labels, objective=LOSS.objective, scale=state.distance
    )
    guards = LOSS.repulsion * view_repulsion(views.quaternion)
    guards += LOSS.coverage * jnp.mean(coverage_guard(images[..., 3]))
    return terms.between + LOSS.within * terms.within + guards

  return (
    jax.grad(task)((state.weights, state.prototypes)),
    jax.grad(separation)(state.views),
    jnp.mean(coverage_guard(draw(state.views)[..., 3])),
  )


def clip(tree):
  norm = optax.tree.norm(tree)
  return jax.tree.map(lambda x: x / jnp.maximum(1, norm), tree), norm


def assert_close(got, expected, tolerance=2e-4, floor=0.0):
  """By the largest number of all, or by the floor where that is larger."""
  scale = max(floor, *(np.abs(x).max() for x in jax.tree.leaves(expected)))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance * scale),
    got,
    expected,
  )


def test_each_loss_moves_only_its_own_parameters(stepped):
  # After its first step, Adam's first moment is a tenth of the gradient.
  start, _, first, _ = stepped
  g_weights, g_views, guard = plain_gradients(start)
  after, _ = step(start)
  assert guard > 0
  assert view_repulsion(start.views.quaternion) > 0
  for g, moments, norm in [
    (g_weights, after.embed_moments, first["embed_gradient"]),
    (g_views, after.render_moments, first["render_gradient"]),
  ]:
    clipped, true_norm = clip(g)
    assert true_norm > 1e-3
    np.testing.assert_allclose(norm, true_norm, rtol=1e-4)
    mu = optax.tree_utils.tree_get(moments, "mu")
    assert_close(jax.tree.map(lambda x: 10 * x, mu), clipped)


@functools.cache
def view_gradient(**options):
  """G's gradient under a loss without guards, from Adam's first moment."""
  mesh = jax.make_mesh((1,), (AXIS,), (AxisType.Auto,))
  loss = dataclasses.replace(LOSS, repulsion=0.0, coverage=0.0, **options)
  state, metrics, _ = train_step(
    make_start(),
    *make_inputs(),
    jnp.arange(2),
    jax.random.key(0),
    pipeline=PIPELINE,
    loss=loss,
    optimizer=OPTIMIZER,
    augmentation=None,
    budget=BUDGET,
    devices=mesh,
  )
  norm = jnp.maximum(1, metrics["render_gradient"])  # it was clipped to 1
  mu = optax.tree_utils.tree_get(state.render_moments, "mu")
  return jax.tree.map(lambda x: 10 * norm * x, mu)


def test_shared_loss_adds_its_slope_to_that_of_the_renderer():
  apart, task = view_gradient(), view_gradient(objective="task")
  both = view_gradient(shared=0.3)
  assert optax.tree.norm(task) > 1e-4
  assert_close(both, jax.tree.map(lambda a, t: a + 0.3 * t, apart, task))


# ----- what moves ------------------------------------------------------------


def bits(tree):
  return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def test_all_parts_move_and_stay_within_bounds(stepped):
  start, state, first, second = stepped
  for before, after in zip(
    jax.tree.leaves((start.views, start.weights, start.prototypes)),
    jax.tree.leaves((state.views, state.weights, state.prototypes)),
    strict=True,
  ):
    assert (before != after).any()
  for unit in (
    state.views.quaternion,
    state.views.light.direction,
    state.mean_views.quaternion,
  ):
    np.testing.assert_allclose(jnp.linalg.norm(unit, axis=-1), 1, rtol=1e-6)
  assert int(state.step) == 2
  assert second["smallest_view_angle"] > first["smallest_view_angle"]


def test_means_and_distance_are_running_means(stepped):
  start, state, first, second = stepped
  np.testing.assert_allclose(
    state.distance,
    0.95 * (0.95 * 2 + 0.05 * first["distance"]) + 0.05 * second["distance"],
    rtol=1e-5,
  )
  one, _ = step(start)
  kernel = functools.partial(jax.tree.leaves, is_leaf=None)
  for w0, w1, w2, mean in zip(
    kernel(start.weights),
    kernel(one.weights),
    kernel(state.weights),
    kernel(state.mean_weights),
    strict=True,
  ):
    early = 2 / 11 * w0 + 9 / 11 * w1
    np.testing.assert_allclose(
      mean, 3 / 12 * early + 9 / 12 * w2, rtol=1e-5, atol=1e-6
    )


def test_frozen_parts_keep_every_bit():
  optimizer = dataclasses.replace(
    OPTIMIZER, trainable=("viewpoint", "material")
  )
  start = make_start(optimizer)
  # Out of bounds and not unit vectors: frozen parts must not be projected.
  light = dataclasses.replace(
    start.views.light, direction=1.1 * start.views.light.direction
  )
  views = dataclasses.replace(
    start.views, distance=jnp.array([12.0, 1 / 3]), light=light
  )
  start = make_state(views, start.weights, start.prototypes, config=optimizer)
  state = start
  for _ in range(2):
    state, _ = step(state, optimizer=optimizer)
  for after in (state.views, state.mean_views):
    for part in ("distance", "fov", "light"):
      assert bits(getattr(after, part)) == bits(getattr(views, part))
    assert bits(after.quaternion) != bits(views.quaternion)
    assert bits(after.material) != bits(views.material)


def test_step_without_view_move_changes_only_t(stepped):
  start, _, first, _ = stepped
  state, metrics = step(start, moves_views=False)
  assert bits(state.views) == bits(start.views)
  assert bits(state.render_moments) == bits(start.render_moments)
  assert "render_gradient" not in metrics
  np.testing.assert_allclose(
    metrics["embed_gradient"], first["embed_gradient"], rtol=1e-4
  )


def test_view_that_is_not_drawn_has_only_the_repulsion_gradient():
  start = make_start()
  after, metrics = step(start, chosen=(1,))
  mu = optax.tree_utils.tree_get(after.render_moments, "mu")
  repel = jax.grad(view_repulsion)(start.views.quaternion)
  repel *= 0.1 * LOSS.repulsion / jnp.maximum(1, metrics["render_gradient"])
  np.testing.assert_allclose(mu.quaternion[0], repel[0], rtol=1e-4)
  assert np.abs(mu.quaternion[1] - repel[1]).max() > 1e-4
  for moment in (mu.distance, mu.fov, *jax.tree.leaves(mu.light)):
    assert not np.any(moment[0])
    assert np.any(moment[1])


def test_parts_are_selected_by_name_and_unknown_ones_raise():
  views = make_start().views
  mask = select_parts(views, ("camera", "light"))
  assert (mask.quaternion, mask.distance, mask.fov) == (0, 1, 1)
  assert jax.tree.leaves(mask.light) == [1, 1, 1]
  assert jax.tree.leaves(mask.material) == [0, 0, 0]
  assert all(jax.tree.leaves(select_parts(views, PARTS)))
  with pytest.raises(ValueError, match=r"not \['weather'\]"):
    make_state(
      views,
      {},
      jnp.eye(2),
      config=dataclasses.replace(OPTIMIZER, trainable=("weather",)),
    )


# ----- renderers -------------------------------------------------------------


def step_spheres(augmentation=None):
  """A step on four models that are not triangles."""
  devices = jax.make_mesh((1,), (AXIS,), (AxisType.Auto,))
  return train_step(
    make_start(),
    make_spheres(size=16, count=4),
    *make_batch()[1:],
    jnp.arange(2),
    jax.random.key(0),
    pipeline=PIPELINE,
    loss=LOSS,
    optimizer=OPTIMIZER,
    augmentation=augmentation,
    budget=Unlimited(),
    devices=devices,
  )


def test_models_of_another_renderer_train_both_networks():
  start = make_start()
  state, metrics, usage = step_spheres()
  assert Unlimited().holds(usage)
  assert all(np.isfinite(value) for value in metrics.values())
  assert metrics["render_gradient"] > 0
  assert bits(state.views.quaternion) != bits(start.views.quaternion)
  assert bits(state.weights) != bits(start.weights)


def test_augmentation_of_another_renderer_raises():
  with pytest.raises(TypeError, match="got SphereRenderer; set augmentation"):
    step_spheres(AugmentConfig())


# ----- devices ---------------------------------------------------------------

SCRIPT = """
import sys, jax, numpy as np
sys.path.insert(0, sys.argv[1])
from support import step
assert jax.device_count() == 4
first, metrics = step.step(step.make_start(), devices=4)
second, _ = step.step(first, devices=4)
for path, tree in zip(
  sys.argv[2:], (step.first_moments(first), metrics, second)
):
  np.savez(path, *jax.tree.leaves(tree))
"""


def test_four_devices_give_the_numbers_of_one(stepped, tmp_path):
  tests = pathlib.Path(__file__).parents[1]
  env = {
    **os.environ,
    "PYTHONPATH": str(tests.parent),
    "JAX_NUM_CPU_DEVICES": "4",
    "JAX_PLATFORMS": "cpu",
  }
  names = ("moments", "metrics", "second")
  files = [tmp_path / f"{name}.npz" for name in names]
  subprocess.run(
    [sys.executable, "-c", SCRIPT, tests, *files],
    env=env,
    check=True,
  )

  def load(file, like):
    with np.load(file) as saved:
      return jax.tree.unflatten(
        jax.tree.structure(like), [saved[name] for name in saved.files]
      )

  start, second, metrics, _ = stepped
  first, _ = step(start)
  # A small part of a gradient is what is left of large terms that cancel, so
  # rounding changes it by a share of the whole gradient, 3e-6 here.
  moments = first_moments(first)
  for got, expected in zip(load(files[0], moments), moments, strict=True):
    assert_close(got, expected, 2e-5)
  for file, like, tolerance in (
    (files[1], metrics, 5e-5),
    (files[2], second, 1e-3),
  ):
    compare = functools.partial(assert_close, tolerance=tolerance, floor=1e-3)
    jax.tree.map(compare, load(file, like), like)
