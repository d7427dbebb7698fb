"""Pose, light and shape are recovered from images that G rendered."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dr3d.render.raster import Budget, Usage
from experiments.inverse import descent, figure, model, pose, shape

ROOT = pathlib.Path(__file__).parents[2]


# ----- the pieces ------------------------------------------------------------


def test_angle_between_rotations_follows_the_quaternion():
  degrees = np.array([0.0, 0.01, 2, 90, 179])
  half = np.radians(degrees) / 2
  axis = np.array([0.6, 0, 0.8])
  turns = np.concatenate(
    [np.cos(half)[:, None], np.sin(half)[:, None] * axis], axis=-1
  )
  none = np.array([-1.0, 0, 0, 0])  # the same turn as 1, 0, 0, 0
  got = pose.angle_between(jnp.float32(turns), jnp.float32(none))
  np.testing.assert_allclose(got, degrees, atol=2e-3)


def test_product_of_quaternions_equals_product_of_matrices():
  p, q = jax.random.normal(jax.random.key(0), (2, 5, 4))
  np.testing.assert_allclose(
    pose.rotation_matrix(pose.multiply(p, q)),
    pose.rotation_matrix(p) @ pose.rotation_matrix(q),
    atol=1e-5,
  )


def test_image_distance_averages_all_levels():
  one = np.zeros((4, 4, 1))
  one[0, 0] = one[0, 1] = 1
  levels = [2 / 16, 0.5**2 / 4, (2 / 16) ** 2]
  for n in (1, 2, 3):
    got = descent.image_distance(jnp.array(one), jnp.zeros((4, 4, 1)), levels=n)
    np.testing.assert_allclose(got, np.mean(levels[:n]), rtol=1e-6)


def test_descent_reaches_the_minimum_and_grows_its_budget():
  needed = descent.FIRST_BUDGET.pairs

  def loss(x, sigma, budget):
    # More room is needed after the first steps than at the start.
    pairs = jnp.where(jnp.max(x) > 0.5, 3 * needed, needed // 2)
    whole = pairs <= budget.pairs
    return jnp.where(whole, (x - 1) ** 2, jnp.nan), Usage(
      pairs=pairs, blocks=jnp.array(8)
    )

  got = descent.descend(
    loss, jnp.zeros(2), sigmas=(2.0, 1.0), steps=200, rate=0.1, keep_every=50
  )
  np.testing.assert_allclose(got.parameters, 1, atol=1e-3)
  assert got.losses.shape == (2,)
  assert got.budget.pairs >= 3 * needed
  assert len(got.kept) == 6  # start, 0, 50, 100, 150, end


def test_loss_that_is_not_finite_stops_the_descent():
  def loss(x, sigma, budget):
    usage = Usage(pairs=jnp.array(1), blocks=jnp.array(1))
    return x * jnp.nan, usage

  with pytest.raises(FloatingPointError, match="at step 0"):
    descent.descend(loss, jnp.ones(1), sigmas=(1.0, 1.0), steps=2, rate=0.1)


def test_image_is_complete_although_first_budget_is_too_small():
  def draw(x, sigma, budget: Budget):
    pairs = jnp.array(10 * descent.FIRST_BUDGET.pairs)
    usage = Usage(pairs=pairs, blocks=jnp.array(1))
    return jnp.where(pairs <= budget.pairs, x, 0), usage

  assert descent.draw_whole(draw, jnp.ones(()), 1.0) == 1


def test_roughness_is_the_laplacian_and_unevenness_ignores_size():
  square = jnp.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
  edges = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
  # Each corner's neighbours have their mean at the centre, √½ away.
  np.testing.assert_allclose(shape.roughness(square, edges), 0.5, rtol=1e-6)
  np.testing.assert_allclose(shape.unevenness(7 * square, edges), 0, atol=1e-6)
  assert shape.unevenness(square * jnp.array([2.0, 1, 1]), edges) > 0.1


def test_overlap_is_intersection_over_union():
  one = np.zeros((2, 4, 4))
  one[:, :2] = 1
  other = np.zeros((2, 4, 4))
  other[0, 1:3] = other[1, :2] = 1
  np.testing.assert_allclose(shape.overlap(one, other), (1 / 3 + 1) / 2)


def test_sample_is_loaded_by_class_and_unknown_class_raises():
  assert model.load_sample("parallel_key", face_budget=100).face_count <= 100
  with pytest.raises(ValueError, match="'nonsense'"):
    model.load_sample("nonsense", face_budget=100)


def test_image_with_alpha_is_blended_with_white():
  image = np.zeros((1, 2, 4))
  image[0, 0] = [0.2, 0, 0, 0.5]
  np.testing.assert_allclose(
    figure.to_paper(image), [[[0.7, 0.5, 0.5], [1, 1, 1]]]
  )


# ----- the scripts -----------------------------------------------------------


def run(script, folder, *arguments):
  """The table that a script prints, as lists of cells, and its last line."""
  out, animation = folder / "out.png", folder / "out.gif"
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      f"experiments.{script}",
      *arguments,
      f"--out={out}",
      f"--animation={animation}",
    ],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT), "DR3D_CACHE": str(folder)},
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == 0, done.stderr
  with Image.open(out) as image:
    assert min(image.size) > 200
    assert len(np.unique(np.asarray(image.convert("L")))) > 10
  with Image.open(animation) as frames:
    assert frames.n_frames > 10
  _, *rows, last = done.stdout.splitlines()
  assert last.startswith("success")
  return [row.split() for row in rows], last


def test_pose_is_recovered_from_near_starts(tmp_path):
  rows, last = run(
    "recover_pose", tmp_path,
    "--targets=1", "--starts=3", "--size=32", "--steps=60", "--spread=25",
  )  # fmt: skip
  (row,) = rows
  assert row[-1] == "yes"
  assert float(row[-3]) < 2  # degrees
  assert float(row[-2]) < 2  # per cent of the distance
  assert "100 % of images by their best of 3 starts" in last


def test_light_is_recovered(tmp_path):
  rows, last = run(
    "recover_light", tmp_path,
    "--targets=1", "--starts=3", "--size=24", "--steps=120", "--faces=60",
  )  # fmt: skip
  (row,) = rows
  assert row[-1] == "yes"
  assert float(row[-3]) < 2  # degrees
  assert float(row[-2]) < 0.05  # intensity
  assert "100 % of images by their best of 3 starts" in last


def test_deformed_sphere_matches_silhouettes_of_a_part(tmp_path):
  rows, _ = run(
    "deform_sphere", tmp_path,
    "--part=cap_nut", "--starts=1", "--views=4", "--size=24", "--steps=40",
    "--cuts=1", "--faces=100",
  )  # fmt: skip
  (row,) = rows
  assert float(row[2]) > 0.85
  assert float(row[2]) > float(row[1]) + 0.1
