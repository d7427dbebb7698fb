"""Views on several devices have the images and gradients of one device."""

import os
import subprocess
import sys

SCRIPT = """
import dataclasses
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dr3d.camera.view import make_views, sphere_views
from dr3d.mesh import make_mesh
from dr3d.nn.encoder import make_encoder
from dr3d.render.triangle import RenderConfig, fit_budget, render, stack_meshes
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.runtime.device import share_devices

corners = np.array([[0, 0, 0], [1, 0, 0], [0, 0.7, 0], [0, 0, 0.4]], float)
mesh = make_mesh(corners, [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
triangles = stack_meshes([mesh, mesh], face_count=8)
views = make_views(sphere_views(6))
config = RenderConfig(size=32)

assert share_devices(6).size == 3
assert share_devices(7).size == 1
assert share_devices(9).size == 3

def draw(devices):
  budget = fit_budget(triangles, views, config=config, devices=devices)

  def loss(triangles, views):
    images, usage = render(
      triangles, views, budget=budget, devices=devices,
      **dataclasses.asdict(config),
    )
    return jnp.mean(images**3), (images, usage)

  slope = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
  slopes, (images, usage) = slope(triangles, views)
  assert budget.holds(usage)
  return slopes, images, budget

slopes, images, budget = draw(None)
shared = draw(share_devices(6))
np.testing.assert_allclose(shared[1], images, atol=1e-6)
assert float(jnp.mean(images[..., 3])) > 0.1
for a, b in zip(*map(jax.tree.leaves, (shared[0], slopes)), strict=True):
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * np.abs(b).max())
assert shared[2].pairs < budget.pairs  # room for the views of one device

with pytest.raises(ValueError, match="5 views .* over 3 devices"):
  render(
    triangles, make_views(sphere_views(5)), budget=budget,
    devices=share_devices(6), **dataclasses.asdict(config),
  )

pipeline = Pipeline.create(PipelineConfig(view_count=6, render=config))
assert pipeline._devices.size == 3
vectors = pipeline.embed([mesh])
alone = make_encoder(pipeline.config.embed).apply(
  pipeline.weights, pipeline.render(mesh)[None]
)
np.testing.assert_allclose(vectors, alone, atol=1e-4)
print("same")
"""


def test_views_on_three_devices_give_the_images_of_one():
  environment = dict(os.environ, JAX_NUM_CPU_DEVICES="3", JAX_PLATFORMS="cpu")
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == ["same"]
