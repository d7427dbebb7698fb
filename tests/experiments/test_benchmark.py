"""Benchmark: its controls draw the same images, and its figures agree."""

import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from dr3d.render.triangle import RenderConfig
from experiments.benchmark import cost, form, row
from experiments.benchmark.scene import make_sphere

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = RenderConfig(gamma=1e-2)


@pytest.fixture(scope="module")
def scene():
  return make_sphere(faces=80, size=28, views=2)


def test_sphere_fills_its_images(scene):
  position = np.asarray(scene.corners)[..., :2]
  assert scene.corners.shape == (2, 80, 3, 3)
  assert 0 < position.min() < 2
  assert 26 < position.max() < 28


def test_impossible_face_count_raises():
  with pytest.raises(ValueError, match="got 100"):
    make_sphere(faces=100, size=16, views=1)


def test_controls_match_images_and_gradients_of_the_rasterizer(scene):
  rng = np.random.default_rng(0)
  weights = rng.normal(size=(2, 28, 28, 4)).astype(np.float32)

  def draw(make):
    made = make(scene, config=CONFIG)

    def loss(parameters):
      images = made.draw(*parameters)
      return (images * weights).sum(), images

    slope, images = jax.jit(jax.grad(loss, has_aux=True))(made.parameters)
    return images, *slope

  fast = draw(form.rasterizer)
  for make in (form.dense, form.tiled):
    for got, true in zip(draw(make), fast, strict=True):
      np.testing.assert_allclose(got, true, atol=2e-4 * np.abs(true).max())


def test_pair_count_covers_the_area_of_the_faces(scene):
  area = 0
  for image in np.asarray(scene.corners):
    low, high = image[..., :2].min(1), image[..., :2].max(1)
    area += np.prod(high - low, axis=-1).sum() / 2  # areas of the faces
  pairs = {
    make.__name__: make(scene, config=CONFIG).pairs
    for make in (form.rasterizer, form.tiled, form.dense)
  }
  assert pairs["dense"] == 2 * 80 * 28**2
  assert area < pairs["rasterizer"] <= 2 * pairs["tiled"]


def test_program_beyond_memory_limit_is_compiled_but_not_run():
  def fail_when_run(x):
    return jax.pure_callback(_fail, x, x * x) @ x

  x = np.ones((64, 64), np.float32)
  got = cost.measure(fail_when_run, x, repeats=1, seconds=1, limit_mib=-1)
  assert got.cpu_ms is None
  assert got.compile_s > 0


def _fail(x):
  raise AssertionError("it was run")


def test_slow_call_runs_once_and_quick_call_runs_all_repeats():
  calls = []
  cost.time_calls(lambda: calls.append(0), repeats=5, seconds=10)
  assert len(calls) == 6  # and one to warm up
  cost.time_calls(lambda: calls.append(0), repeats=5, seconds=0)
  assert len(calls) <= 7


def run(*arguments):
  done = subprocess.run(
    [sys.executable, "-m", "experiments.benchmark_render", *arguments],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_json_figures_agree_with_each_other():
  out = json.loads(
    run("--json", "--scene=80x16x1", "--repeats=2", "--forms=rasterizer,dense")
  )
  machine = out["machine"]
  assert machine["cores"] >= 1
  assert machine["processor"]
  assert machine["peak_gflops"] > 0
  forms = {r["form"]: r for r in out["rows"]}
  assert {"rasterizer", "dense autodiff"} <= set(forms)
  works = {"forward": row.FORWARD_WORK}
  works["both"] = row.FORWARD_WORK + row.BACKWARD_WORK
  for name in ("rasterizer", "dense autodiff"):
    r = forms[name]
    assert (r["faces"], r["size"], r["views"]) == (80, 16, 1)
    assert r["pairs"] > 0
    for part, work in works.items():
      times = r[part]
      assert 0 < times["cpu_ms"] <= times["cpu_ms_median"]
      assert 0 < times["wall_ms"] <= times["wall_ms_median"]
      assert times["compile_s"] > 0
      assert times["memory_mib"] >= 0
      ns = r[f"{part}_ns"]
      assert math.isclose(ns * r["pairs"], 1e6 * times["cpu_ms"], rel_tol=1e-6)
      if name == "rasterizer":
        speed = work / ns  # operations a nanosecond
        share = speed / machine["peak_gflops"]
        assert math.isclose(r[f"{part}_share"], share, rel_tol=1e-6)


def test_row_has_a_cell_per_column_and_dashes_for_gaps():
  timed = cost.Cost(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
  cells = row.to_cells(row.Row(80, 16, 1, "x", forward=timed, both=cost.Cost()))
  assert len(cells) == len(row.HEADER)
  assert cells[4] == "1.0 / -"
  assert cells[-1] == "- / -"
