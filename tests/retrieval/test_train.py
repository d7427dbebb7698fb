"""Training: it learns, and it is the same run however often it is cut short."""

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from support.run import CONFIG, STEPS, call, make_models

from dr3d.camera.view import make_views, ring_views
from dr3d.error import TrainingError
from dr3d.nn.whitening import fit_whitening
from dr3d.render.raster import Budget, Usage
from dr3d.retrieval.batch import BatchConfig, Sampler, number_classes
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.step import LossConfig

module = importlib.import_module(
  "dr3d.retrieval.train"
)  # dr3d.train is the function


def with_batch(**how):
  return dataclasses.replace(CONFIG, batch=BatchConfig(**how))


def read_log(workdir):
  """The rows of the log without what a clock says."""
  lines = (workdir / "log.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  for row in rows:
    assert row.pop("seconds") > 0
  return rows


def assert_same_pipeline(got, expected):
  assert got.fingerprint == expected.fingerprint


def interrupt_at(monkeypatch, step):
  """Cuts the run short while it makes a step."""
  check = module._check_finite

  def stop(row, number):
    if number == step:
      raise KeyboardInterrupt
    check(row, number)

  monkeypatch.setattr(module, "_check_finite", stop)


@dataclasses.dataclass(frozen=True)
class Run:
  """A run that nothing interrupted; what it compiled is in `cache`."""

  workdir: pathlib.Path
  pipeline: Pipeline
  budget: Budget
  cache: pathlib.Path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("x")
  budgets = []
  step = module.train_step

  def train_step(*args, budget, **how):
    budgets.append(budget)
    return step(*args, budget=budget, **how)

  with pytest.MonkeyPatch.context() as patch, compiled_into(cache):
    patch.setattr(module, "train_step", train_step)
    pipeline = call(workdir)
  return Run(workdir, pipeline, budgets[-1], cache)


@contextlib.contextmanager
def compiled_into(cache):
  """Keeps what is compiled for processes that are started later."""
  options = {
    "jax_compilation_cache_dir": str(cache),
    "jax_persistent_cache_min_compile_time_secs": 0.5,
  }
  before = {name: getattr(jax.config, name) for name in options}
  for name, value in options.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


# ----- learning --------------------------------------------------------------


def test_a_short_run_lowers_the_loss_and_does_not_collapse(run):
  rows = read_log(run.workdir)
  assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
  loss = [row["task_loss"] for row in rows]
  assert np.mean(loss[-10:]) < 0.8 * np.mean(loss[:5])
  assert rows[-1]["spread"] > 0.1
  assert rows[-1]["smallest_view_angle"] > 0.2
  for row in rows:
    assert np.isfinite([v for k, v in row.items() if k != "quaternion"]).all()
    assert row["embed_gradient"] > 0
    assert row["render_gradient"] > 0


def test_the_log_tells_where_the_viewpoints_went(run):
  rows = {row["step"]: row for row in read_log(run.workdir)}
  places = {
    s: row["quaternion"] for s, row in rows.items() if "quaternion" in row
  }
  assert list(places) == [1, 10, 20, 30, 40]
  assert np.shape(places[40]) == (2, 4)
  assert not np.allclose(places[1], places[40], atol=1e-3)


def test_models_of_one_class_end_nearer_to_each_other(run):
  meshes, labels = make_models()
  vectors = run.pipeline.embed(meshes)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-5)
  mean = vectors.mean(1)
  similarity = mean @ mean.T
  same = np.array([[a == b for a in labels] for b in labels])
  other = ~np.eye(len(labels), dtype=bool)
  assert similarity[same & other].mean() > similarity[~same].mean() + 0.1


def test_the_vectors_are_whitened_by_those_of_the_models(run):
  meshes, _ = make_models()
  plain = dataclasses.replace(run.pipeline, whitening=None)
  expected = fit_whitening(plain.embed(meshes), power=0.5)
  np.testing.assert_allclose(
    run.pipeline.whitening.matrix, expected.matrix, rtol=1e-3, atol=1e-3
  )


def test_the_pipeline_that_is_saved_is_the_one_returned(run):
  workdir, pipeline = run.workdir, run.pipeline
  assert_same_pipeline(Pipeline.load(workdir / "pipeline"), pipeline)


def test_pairs_of_two_models_train_as_well(tmp_path):
  config = dataclasses.replace(
    CONFIG,
    batch=BatchConfig(sampling="pair", view_count=None),
    loss=LossConfig(task="triplet", mining="all"),
    optimizer=dataclasses.replace(CONFIG.optimizer, steps=6),
    augmentation=None,
  )
  pipeline = call(tmp_path, config)
  rows = read_log(tmp_path)
  assert len(rows) == 6
  assert np.isfinite([row["task_loss"] for row in rows]).all()
  start = Pipeline.create(config.pipeline)
  assert not np.array_equal(pipeline.views.quaternion, start.views.quaternion)


@pytest.mark.parametrize(
  ("trainable", "moves"),
  [(("light",), [True, False, False] * 2), ((), [False] * 6)],
)
def test_views_move_in_one_of_so_many_steps(
  trainable, moves, tmp_path, monkeypatch
):
  seen = []

  def train_step(state, *_, moves_views, **how):
    seen.append(moves_views)
    row = dict.fromkeys(["task_loss", "separation_loss", "active"], 1.0)
    row |= {"smallest_view_angle": 1.0, "spread": 1.0}
    state = dataclasses.replace(state, step=state.step + 1)
    return state, row, Usage(jnp.array(1), jnp.array(1))

  monkeypatch.setattr(module, "train_step", train_step)
  optimizer = OptimizerConfig(steps=6, render_every=3, trainable=trainable)
  call(tmp_path, dataclasses.replace(CONFIG, optimizer=optimizer))
  assert seen == moves


@pytest.fixture(scope="module")
def explored(run, tmp_path_factory):
  """A run that explores, the viewpoints of its steps, and those chosen."""
  workdir = tmp_path_factory.mktemp("explored")
  step, find = module.train_step, module.find_viewpoints
  seen, found = [], []

  def train_step(state, *args, moves_views, **how):
    seen.append((np.asarray(state.views.quaternion), moves_views))
    return step(state, *args, moves_views=moves_views, **how)

  def find_viewpoints(*args, **how):
    found.append(find(*args, **how))
    return found[-1]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(module, "train_step", train_step)
    patch.setattr(module, "find_viewpoints", find_viewpoints)
    patch.setattr(module, "_first_budget", lambda *_: roomy(run))
    pipeline = call(workdir, EXPLORING)
  return workdir, pipeline, seen, found


def roomy(run):
  """A budget for any viewpoints, so that nothing is compiled twice."""
  return run.budget.multiplied(4)


EXPLORING = dataclasses.replace(
  CONFIG,
  checkpoint_every=2,
  # G all but stays where it begins.
  optimizer=dataclasses.replace(
    CONFIG.optimizer, steps=6, explore=4, render_rate=1e-9
  ),
)


def test_a_run_that_explores_looks_from_everywhere_and_then_chooses(explored):
  _, pipeline, seen, (chosen,) = explored
  around = [places for places, moves in seen if not moves]
  settled = [places for places, moves in seen if moves]
  assert len({places.tobytes() for places in around}) == 4
  assert [moves for _, moves in seen] == sorted(moves for _, moves in seen)
  assert len(seen) == 6
  for places in settled:
    np.testing.assert_allclose(places, chosen, atol=1e-6)
  np.testing.assert_allclose(pipeline.views.quaternion, chosen, atol=1e-4)


@pytest.mark.parametrize("step", [4, 5])
def test_a_run_cut_short_about_its_choice_makes_the_same(
  run, explored, step, tmp_path, monkeypatch
):
  workdir, pipeline, *_ = explored
  monkeypatch.setattr(module, "_first_budget", lambda *_: roomy(run))
  with monkeypatch.context() as patch:
    interrupt_at(patch, step)
    with pytest.raises(KeyboardInterrupt):
      call(tmp_path, EXPLORING)
  assert_same_pipeline(call(tmp_path, EXPLORING), pipeline)
  assert read_log(tmp_path) == read_log(workdir)


# ----- resuming --------------------------------------------------------------


def test_a_finished_run_is_read_and_not_made_again(run, monkeypatch):
  workdir, pipeline = run.workdir, run.pipeline
  log = (workdir / "log.jsonl").read_bytes()
  monkeypatch.setattr(module, "train_step", None)
  monkeypatch.setattr(module, "make_state", None)
  assert_same_pipeline(call(workdir), pipeline)
  assert (workdir / "log.jsonl").read_bytes() == log


@pytest.mark.parametrize("step", [3, 5, 24])
def test_an_interrupted_run_goes_on_to_the_same_numbers(
  run, step, tmp_path, monkeypatch
):
  with monkeypatch.context() as patch:
    interrupt_at(patch, step)
    with pytest.raises(KeyboardInterrupt):
      call(tmp_path)
  assert len(read_log(tmp_path)) == step - 1
  assert not (tmp_path / "pipeline").exists()
  assert_same_pipeline(call(tmp_path), run.pipeline)
  assert read_log(tmp_path) == read_log(run.workdir)


def stop(*_):
  raise KeyboardInterrupt


def test_a_run_cut_short_before_its_pipeline_was_saved_saves_it(
  run, tmp_path, monkeypatch
):
  with monkeypatch.context() as patch:
    patch.setattr(Pipeline, "save", stop)
    with pytest.raises(KeyboardInterrupt):
      call(tmp_path)
  monkeypatch.setattr(module, "train_step", None)
  assert_same_pipeline(call(tmp_path), run.pipeline)
  assert read_log(tmp_path) == read_log(run.workdir)


CALL = """
import sys, jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
from support import run
run.call(sys.argv[2])
"""


def start(script, *arguments, devices):
  """A process of its own, to which the processor is so many devices."""
  tests = pathlib.Path(__file__).parents[1]
  return subprocess.Popen(
    [sys.executable, "-c", script, *arguments],
    env={
      **os.environ,
      "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}",
      "JAX_NUM_CPU_DEVICES": str(devices),
    },
    stderr=subprocess.PIPE,
    text=True,
  )


def test_a_run_that_is_killed_at_random_moments_ends_the_same(run, tmp_path):
  log = tmp_path / "run" / "log.jsonl"
  rng = np.random.default_rng(time.time_ns())
  # As many devices as here: they decide in what order floats are summed, and
  # a command that another test called may have asked for more.
  devices = jax.local_device_count("cpu")
  for kill_after in np.sort(rng.integers(1, STEPS - 5, 2)):
    process = start(CALL, run.cache, tmp_path / "run", devices=devices)
    while process.poll() is None:
      if log.exists() and len(log.read_text().splitlines()) >= kill_after:
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        break
      time.sleep(0.005)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"after {kill_after}"
  process = start(CALL, run.cache, tmp_path / "run", devices=devices)
  _, errors = process.communicate()
  assert process.returncode == 0, errors
  expected = read_log(run.workdir)
  rows = read_log(tmp_path / "run")
  assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
  for got, true in zip(rows, expected, strict=True):
    assert got.keys() == true.keys()
    for name in true:
      np.testing.assert_allclose(got[name], true[name], rtol=1e-4, atol=1e-5)


EIGHT_MODELS_THREE_VIEWS = """
import dataclasses, sys, jax
from support import run as t
assert len(jax.devices()) == 4
config = dataclasses.replace(
  t.CONFIG,
  optimizer=dataclasses.replace(t.CONFIG.optimizer, steps=1, trainable=()),
  pipeline=dataclasses.replace(t.CONFIG.pipeline, view_count=3),
  augmentation=None,
  whitening=0.0,
)
meshes, _ = t.make_models()
trained = t.call(sys.argv[1], config)
assert trained.embed(meshes[:1]).shape == (1, 3, 16)
"""


def test_what_is_trained_on_four_devices_embeds_on_three(tmp_path):
  process = start(EIGHT_MODELS_THREE_VIEWS, tmp_path, devices=4)
  _, errors = process.communicate()
  assert process.returncode == 0, errors


def test_another_run_does_not_get_the_directory(run, monkeypatch):
  workdir = run.workdir
  monkeypatch.setattr(module, "train_step", None)
  slower = dataclasses.replace(CONFIG.optimizer, embed_rate=1e-4)
  with pytest.raises(
    TrainingError, match=r"differs in optimizer.embed_rate, seed"
  ):
    call(workdir, dataclasses.replace(CONFIG, optimizer=slower, seed=1))
  meshes, labels = make_models()
  with pytest.raises(TrainingError, match="differs in the models"):
    call(workdir, models=(meshes[:-1], labels[:-1]))
  other = Pipeline.create(CONFIG.pipeline, seed=5)
  with pytest.raises(TrainingError, match="differs in the pipeline it starts"):
    call(workdir, init=other)


def test_a_run_starts_from_a_pipeline_of_its_configuration(tmp_path):
  start = Pipeline.create(CONFIG.pipeline, seed=5)
  quaternion = make_views(ring_views(start.views.count)).quaternion
  start = dataclasses.replace(
    start, views=dataclasses.replace(start.views, quaternion=quaternion)
  )
  # Rates so low that it stays where it starts.
  still = dataclasses.replace(
    CONFIG.optimizer, embed_rate=1e-9, render_rate=1e-9, steps=1
  )
  config = dataclasses.replace(CONFIG, optimizer=still)
  trained = call(tmp_path / "run", config, init=start)
  for a, b in zip(
    jax.tree.leaves((trained.views, trained.weights)),
    jax.tree.leaves((start.views, start.weights)),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=1e-5)
  wider = dataclasses.replace(CONFIG.pipeline, view_count=7)
  other = dataclasses.replace(config, pipeline=wider)
  with pytest.raises(ValueError, match=r"must be init\.config"):
    call(tmp_path / "other", other, init=start)


# ----- budgets ---------------------------------------------------------------


def test_a_budget_that_overflows_is_grown_and_changes_no_number(
  run, tmp_path, monkeypatch
):
  # A step under a budget that overflows is void: here its results are NaN.
  # That the rasterizer counts what it needs is shown in test_raster.py.
  budgets = []
  step = module.train_step

  def train_step(*args, budget, **how):
    budgets.append(budget)
    state, metrics, usage = step(*args, budget=run.budget, **how)
    if not budget.holds(usage):
      state = jax.tree.map(lambda x: x * jnp.nan, state)
      metrics = dict.fromkeys(metrics, jnp.nan)
    return state, metrics, usage

  monkeypatch.setattr(module, "train_step", train_step)
  monkeypatch.setattr(module, "_first_budget", lambda *_: Budget(64, 64))
  assert_same_pipeline(call(tmp_path), run.pipeline)
  assert read_log(tmp_path) == read_log(run.workdir)
  assert budgets[0] == Budget(64, 64)
  assert 1 < len(set(budgets)) < 5
  assert len(budgets) < STEPS + 5


# ----- what stops a run ------------------------------------------------------


def test_a_number_that_is_not_finite_stops_the_run(run, tmp_path, monkeypatch):
  monkeypatch.setattr(module, "_first_budget", lambda *_: run.budget)
  meshes, labels = make_models()
  vertices = meshes[4].vertices.copy()
  vertices[0] = np.nan
  meshes[4] = dataclasses.replace(meshes[4], vertices=vertices)
  sampler = Sampler(
    number_classes(labels), config=CONFIG.batch, seed=CONFIG.seed
  )
  first = next(step for step in range(STEPS) if 4 in sampler(step)) + 1
  with pytest.raises(TrainingError, match=rf"step {first}: .*extent.* finite"):
    call(tmp_path / "mesh", models=(meshes, labels))

  step = module.train_step

  def spoil(state, *args, **how):
    if int(state.step) == 2:
      weights = jax.tree.map(lambda x: x * jnp.nan, state.weights)
      state = dataclasses.replace(state, weights=weights)
    return step(state, *args, **how)

  monkeypatch.setattr(module, "train_step", spoil)
  with pytest.raises(TrainingError, match=r"at step 3: .*task_loss.* finite"):
    call(tmp_path / "state")
  assert len(read_log(tmp_path / "state")) == 2


def test_a_collapse_stops_the_run_also_after_a_resume(
  run, tmp_path, monkeypatch
):
  create = Pipeline.create

  def blind(*args, **how):
    pipeline = create(*args, **how)
    weights = jax.tree.map(jnp.zeros_like, pipeline.weights)
    return dataclasses.replace(pipeline, weights=weights)

  monkeypatch.setattr(Pipeline, "create", blind)
  monkeypatch.setattr(module, "PATIENCE", 8)
  with monkeypatch.context() as patch:
    interrupt_at(patch, 7)
    with pytest.raises(KeyboardInterrupt):
      call(tmp_path)
  with pytest.raises(TrainingError, match="8 steps up to step 8 all images"):
    call(tmp_path)


def test_a_run_that_cannot_start_says_why(tmp_path):
  meshes, _ = make_models()
  with pytest.raises(TrainingError, match=r"at least two classes.* got 1:"):
    call(tmp_path, models=(meshes, ["part"] * len(meshes)))
  with pytest.raises(ValueError, match="got 'triple'"):
    call(tmp_path, with_batch(sampling="triple"))
  with pytest.raises(ValueError, match="model_count = 2, got 3"):
    call(tmp_path, with_batch(model_count=2, models_per_class=3))
  with pytest.raises(ValueError, match="whitening must be between 0 and 1"):
    call(tmp_path, dataclasses.replace(CONFIG, whitening=2.0))
  task = dataclasses.replace(EXPLORING, loss=LossConfig(objective="task"))
  with pytest.raises(ValueError, match=r"explore .* by L_G"):
    call(tmp_path, task)
  longer = dataclasses.replace(EXPLORING.optimizer, explore=7)
  with pytest.raises(ValueError, match=r"at most optimizer.steps = 6, got 7"):
    call(tmp_path, dataclasses.replace(EXPLORING, optimizer=longer))
  odd = dataclasses.replace(CONFIG.optimizer, trainable=("weather",))
  with pytest.raises(ValueError, match="weather"):
    call(tmp_path / "odd", dataclasses.replace(CONFIG, optimizer=odd))
