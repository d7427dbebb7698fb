"""Training of G and T: it learns, explores, and gets from the loop its due."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from support.run import CONFIG, STEPS, call, make_models
from support.system import (
  CompleteRun,
  System,
  SystemContract,
  interrupt_at,
  read_log,
  start_process,
)

from dr3d.camera.view import make_views, ring_views
from dr3d.error import TrainingError
from dr3d.nn.whitening import fit_whitening
from dr3d.render.raster import Budget, Usage
from dr3d.retrieval import exploration, hook, schedule
from dr3d.retrieval import train as train_module
from dr3d.retrieval.batch import BatchConfig, Sampler, number_classes
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.step import LossConfig


def with_batch(**options):
  return dataclasses.replace(CONFIG, batch=BatchConfig(**options))


def with_optimizer(config=CONFIG, **options):
  optimizer = dataclasses.replace(config.optimizer, **options)
  return dataclasses.replace(config, optimizer=optimizer)


def fix_budget(patch, budget):
  """Starts runs from a budget, so that no program is compiled twice."""
  patch.setattr(train_module, "first_budget", lambda *_, **__: budget)


@dataclasses.dataclass(frozen=True)
class Run(CompleteRun):
  """A run of `CONFIG`, and the budget that it ended with."""

  budget: Budget


@pytest.fixture(scope="module")
def system():
  def train(workdir, seed=0):
    return call(workdir, dataclasses.replace(CONFIG, seed=seed))

  return System(
    train=train,
    fingerprint=lambda pipeline: pipeline.fingerprint,
    steps=STEPS,
    step=(schedule, "train_step"),
    save=(Pipeline, "save"),
    script="import sys; from support import run; run.call(sys.argv[1])",
  )


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
  workdir, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("x")
  budgets = []
  step = schedule.train_step

  def train_step(*args, budget, **options):
    budgets.append(budget)
    return step(*args, budget=budget, **options)

  with pytest.MonkeyPatch.context() as patch, compiled_into(cache):
    patch.setattr(schedule, "train_step", train_step)
    pipeline = call(workdir)
  return Run(workdir, pipeline, cache, budgets[-1])


@contextlib.contextmanager
def compiled_into(cache):
  """Keeps compiled programs for processes that are started later."""
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


class TestRetrieval(SystemContract):
  """Retrieval gets from the loop what every system does."""


# ----- learning --------------------------------------------------------------


def test_short_run_lowers_loss_without_collapse(complete):
  rows = read_log(complete.workdir)
  loss = [row["task_loss"] for row in rows]
  assert np.mean(loss[-10:]) < 0.8 * np.mean(loss[:5])
  assert rows[-1]["spread"] > 0.1
  assert rows[-1]["smallest_view_angle"] > 0.2
  for row in rows:
    assert np.isfinite([v for k, v in row.items() if k != "quaternion"]).all()
    assert row["embed_gradient"] > 0
    assert row["render_gradient"] > 0


def test_every_tenth_row_of_log_holds_viewpoints(complete):
  rows = {row["step"]: row for row in read_log(complete.workdir)}
  viewpoints = {
    s: row["quaternion"] for s, row in rows.items() if "quaternion" in row
  }
  assert list(viewpoints) == [1, 10, 20, 30, 40]
  assert np.shape(viewpoints[40]) == (2, 4)
  assert not np.allclose(viewpoints[1], viewpoints[40], atol=1e-3)


def test_models_of_one_class_are_more_similar_after_training(complete):
  meshes, labels = make_models()
  vectors = complete.product.embed(meshes)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-5)
  mean = vectors.mean(1)
  similarity = mean @ mean.T
  same = np.array([[a == b for a in labels] for b in labels])
  other = ~np.eye(len(labels), dtype=bool)
  assert similarity[same & other].mean() > similarity[~same].mean() + 0.1


def test_whitening_is_fitted_to_vectors_of_models(complete):
  meshes, _ = make_models()
  plain = dataclasses.replace(complete.product, whitening=None)
  expected = fit_whitening(plain.embed(meshes), power=0.5)
  np.testing.assert_allclose(
    complete.product.whitening.matrix, expected.matrix, rtol=1e-3, atol=1e-3
  )


def test_saved_pipeline_is_the_returned_one(complete):
  saved = Pipeline.load(complete.workdir / "pipeline")
  assert saved.fingerprint == complete.product.fingerprint


def test_pairs_of_two_models_train(tmp_path):
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
def test_views_move_every_third_step_if_anything_is_trainable(
  trainable, moves, tmp_path, monkeypatch
):
  seen = []

  def train_step(state, *_, moves_views, **__):
    seen.append(moves_views)
    row = dict.fromkeys(["task_loss", "separation_loss", "active"], 1.0)
    row |= {"smallest_view_angle": 1.0, "spread": 1.0}
    state = dataclasses.replace(state, step=state.step + 1)
    return state, row, Usage(jnp.array(1), jnp.array(1))

  monkeypatch.setattr(schedule, "train_step", train_step)
  optimizer = OptimizerConfig(steps=6, render_every=3, trainable=trainable)
  call(tmp_path, dataclasses.replace(CONFIG, optimizer=optimizer))
  assert seen == moves


# ----- exploration -----------------------------------------------------------

EXPLORING = with_optimizer(
  dataclasses.replace(CONFIG, checkpoint_every=2),
  steps=6,
  explore=4,
  render_rate=1e-9,  # G stays where it starts
)


@dataclasses.dataclass(frozen=True)
class ExploringRun(Run):
  """A run that explores.

  Attributes:
    steps: viewpoints `[N, 4]` of each step, and whether it moves them.
    chosen: viewpoints of each call of `find_viewpoints`.
  """

  steps: list
  chosen: list


@pytest.fixture(scope="module")
def explored(complete, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("explored")
  step, find = schedule.train_step, exploration.find_viewpoints
  steps, chosen = [], []
  budget = complete.budget.multiplied(4)  # random viewpoints need more

  def train_step(state, *args, moves_views, **options):
    steps.append((np.asarray(state.views.quaternion), moves_views))
    return step(state, *args, moves_views=moves_views, **options)

  def find_viewpoints(*args, **options):
    chosen.append(find(*args, **options))
    return chosen[-1]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(schedule, "train_step", train_step)
    patch.setattr(exploration, "find_viewpoints", find_viewpoints)
    fix_budget(patch, budget)
    pipeline = call(workdir, EXPLORING)
  return ExploringRun(workdir, pipeline, complete.cache, budget, steps, chosen)


def test_exploring_run_looks_from_random_viewpoints_then_chooses(explored):
  (chosen,) = explored.chosen
  random = [viewpoints for viewpoints, moves in explored.steps if not moves]
  learned = [viewpoints for viewpoints, moves in explored.steps if moves]
  assert [moves for _, moves in explored.steps] == [False] * 4 + [True] * 2
  assert len({viewpoints.tobytes() for viewpoints in random}) == 4
  for viewpoints in learned:
    np.testing.assert_allclose(viewpoints, chosen, atol=1e-6)
  np.testing.assert_allclose(
    explored.product.views.quaternion, chosen, atol=1e-4
  )


@pytest.mark.parametrize("step", [4, 5])
def test_run_interrupted_around_its_choice_resumes_to_same_result(
  explored, step, tmp_path, monkeypatch
):
  fix_budget(monkeypatch, explored.budget)
  with monkeypatch.context() as patch:
    interrupt_at(patch, step)
    with pytest.raises(KeyboardInterrupt):
      call(tmp_path, EXPLORING)
  pipeline = call(tmp_path, EXPLORING)
  assert pipeline.fingerprint == explored.product.fingerprint
  assert read_log(tmp_path) == read_log(explored.workdir)


# ----- starting --------------------------------------------------------------

FOUR_DEVICES_EIGHT_MODELS_THREE_VIEWS = """
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


def test_pipeline_trained_on_four_devices_embeds_on_three(tmp_path):
  script = FOUR_DEVICES_EIGHT_MODELS_THREE_VIEWS
  process = start_process(script, tmp_path, devices=4)
  _, errors = process.communicate()
  assert process.returncode == 0, errors


def test_directory_of_run_with_other_inputs_raises(complete):
  workdir = complete.workdir
  with pytest.raises(TrainingError, match=r"differs in optimizer\.embed_rate"):
    call(workdir, with_optimizer(embed_rate=1e-4))
  meshes, labels = make_models()
  with pytest.raises(TrainingError, match="differs in the models"):
    call(workdir, models=(meshes[:-1], labels[:-1]))
  other = Pipeline.create(CONFIG.pipeline, seed=5)
  with pytest.raises(TrainingError, match="differs in the pipeline it starts"):
    call(workdir, init=other)


def test_run_starts_from_given_pipeline(tmp_path):
  start = Pipeline.create(CONFIG.pipeline, seed=5)
  quaternion = make_views(ring_views(start.views.count)).quaternion
  start = dataclasses.replace(
    start,
    views=dataclasses.replace(start.views, quaternion=quaternion),
    surface_weight=0.4,
  )
  # Rates so low that the run stays where it starts.
  config = with_optimizer(embed_rate=1e-9, render_rate=1e-9, steps=1)
  trained = call(tmp_path, config, init=start)
  for a, b in zip(
    jax.tree.leaves((trained.views, trained.weights)),
    jax.tree.leaves((start.views, start.weights)),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=1e-5)
  assert trained.surface_weight == 0.4


# ----- budgets ---------------------------------------------------------------


def test_budget_that_overflows_grows_and_changes_no_number(
  complete, tmp_path, monkeypatch
):
  # A step under a budget that overflows is void: here its results are NaN.
  # That the rasterizer counts what it needs is shown in test_raster.py.
  budgets = []
  step = schedule.train_step

  def train_step(*args, budget, **options):
    budgets.append(budget)
    state, metrics, usage = step(*args, budget=complete.budget, **options)
    if not budget.holds(usage):
      state = jax.tree.map(lambda x: x * jnp.nan, state)
      metrics = dict.fromkeys(metrics, jnp.nan)
    return state, metrics, usage

  monkeypatch.setattr(schedule, "train_step", train_step)
  fix_budget(monkeypatch, Budget(64, 64))
  assert call(tmp_path).fingerprint == complete.product.fingerprint
  assert read_log(tmp_path) == read_log(complete.workdir)
  assert budgets[0] == Budget(64, 64)
  assert 1 < len(set(budgets)) < 5
  assert len(budgets) < STEPS + 5


# ----- what stops a run ------------------------------------------------------


def test_mesh_with_nan_vertex_stops_run_when_it_is_drawn(
  complete, tmp_path, monkeypatch
):
  fix_budget(monkeypatch, complete.budget)
  meshes, labels = make_models()
  vertices = meshes[4].vertices.copy()
  vertices[0] = np.nan
  meshes[4] = dataclasses.replace(meshes[4], vertices=vertices)
  sampler = Sampler(
    number_classes(labels), config=CONFIG.batch, seed=CONFIG.seed
  )
  first = next(step for step in range(STEPS) if 4 in sampler(step)) + 1
  with pytest.raises(TrainingError, match=rf"step {first}: .*extent.* finite"):
    call(tmp_path, models=(meshes, labels))


def test_nan_weights_stop_run(complete, tmp_path, monkeypatch):
  fix_budget(monkeypatch, complete.budget)
  step = schedule.train_step

  def spoil(state, *args, **options):
    if int(state.step) == 2:
      weights = jax.tree.map(lambda x: x * jnp.nan, state.weights)
      state = dataclasses.replace(state, weights=weights)
    return step(state, *args, **options)

  monkeypatch.setattr(schedule, "train_step", spoil)
  with pytest.raises(TrainingError, match=r"at step 3: .*task_loss.* finite"):
    call(tmp_path)
  assert len(read_log(tmp_path)) == 2


def test_collapse_stops_run_and_counts_steps_before_resume(
  complete, tmp_path, monkeypatch
):
  create = Pipeline.create

  def create_blind(*args, **options):
    pipeline = create(*args, **options)
    weights = jax.tree.map(jnp.zeros_like, pipeline.weights)
    return dataclasses.replace(pipeline, weights=weights)

  monkeypatch.setattr(Pipeline, "create", create_blind)
  monkeypatch.setattr(hook, "COLLAPSED_STEPS_MAX", 8)
  with monkeypatch.context() as patch:
    interrupt_at(patch, 7)
    with pytest.raises(KeyboardInterrupt):
      call(tmp_path)
  with pytest.raises(TrainingError, match="8 steps up to step 8 all images"):
    call(tmp_path)


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (with_batch(sampling="triple"), "got 'triple'"),
    (
      with_batch(model_count=2, models_per_class=3),
      "model_count = 2, got 3",
    ),
    (
      dataclasses.replace(CONFIG, whitening=2.0),
      "whitening must be between 0 and 1",
    ),
    (
      dataclasses.replace(EXPLORING, loss=LossConfig(objective="task")),
      r"explore .* by L_G",
    ),
    (
      with_optimizer(EXPLORING, explore=7),
      r"at most optimizer\.steps = 6, got 7",
    ),
    (with_optimizer(trainable=("weather",)), "weather"),
  ],
)
def test_contradictory_config_raises(config, message, tmp_path):
  with pytest.raises(ValueError, match=message):
    call(tmp_path, config)


def test_models_of_one_class_raise(tmp_path):
  meshes, _ = make_models()
  with pytest.raises(TrainingError, match=r"at least two classes.* got 1:"):
    call(tmp_path, models=(meshes, ["part"] * len(meshes)))


def test_start_from_pipeline_of_other_config_raises(tmp_path):
  start = Pipeline.create(CONFIG.pipeline)
  wider = dataclasses.replace(CONFIG.pipeline, view_count=7)
  config = dataclasses.replace(CONFIG, pipeline=wider)
  with pytest.raises(ValueError, match=r"must be init\.config"):
    call(tmp_path, config, init=start)
