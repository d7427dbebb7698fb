"""The search network, with features that are random numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dr3d.error import PipelineError
from dr3d.locate.network import (
  PAIRS,
  NetworkConfig,
  QueryFeatures,
  SearchNetwork,
  apply_network,
  pool_kernel,
)
from dr3d.locate.sample import Batch
from dr3d.locate.training import LocateConfig, make_state, make_step
from dr3d.locate.weight_file import (
  LocatorWeights,
  load_weights,
  save_weights,
)
from dr3d.nn.lite0 import MAP_CHANNELS, Lite0, Lite0Maps

SMALL = NetworkConfig(channels=8, groups=2, width=8)


def make_batch(B=2, H=64, seed=0):
  rng = np.random.default_rng(seed)

  def draw(*shape):
    return rng.normal(size=shape).astype(np.float32)

  query = QueryFeatures(
    {
      size: {s: draw(B, size // s, size // s, MAP_CHANNELS[s]) for s in (8, 16)}
      for size in (128, 64)
    },
    {
      size: {s: np.ones((B, size // s, size // s), np.float32) for s in (8, 16)}
      for size in (128, 64)
    },
  )
  medium = {s: draw(B, H // s, H // s, C) for s, C in MAP_CHANNELS.items()}
  mask = np.zeros((B, H // 4, H // 4), np.float32)
  mask[:, 4:8, 4:10] = 1
  inside = mask[:, ::2, ::2]
  box = np.ones((B, H // 8, H // 8, 4), np.float32)
  return Batch(query, medium, mask, box, inside, np.ones(B, np.float32))


@pytest.fixture(scope="module")
def weights():
  batch = make_batch()
  return SearchNetwork(SMALL).init(jax.random.key(0), batch.query, batch.medium)


def test_output_has_one_map_and_those_of_the_search_layers(weights):
  batch = make_batch()
  output = apply_network(SMALL, weights, batch.query, batch.medium)
  assert output.heat.shape == (2, 16, 16)
  assert output.coarse.shape == (2, 4, 4)
  assert output.box.shape == (2, 8, 8, 4)
  assert output.responses.shape[:3] == (2, 8, 8)


def test_default_pairs_have_several_representations_of_both_sides():
  queries = {(pair.size, pair.stride) for pair in PAIRS}
  media = {(pair.stride, pair.shrink) for pair in PAIRS}
  assert len(queries) >= 2
  assert len(media) >= 2


def test_pair_does_not_depend_on_others_of_the_batch(weights):
  batch = make_batch()
  both = apply_network(SMALL, weights, batch.query, batch.medium)
  query, medium = jax.tree.map(lambda x: x[1:], (batch.query, batch.medium))
  alone = apply_network(SMALL, weights, query, medium)
  np.testing.assert_allclose(both.heat[1:], alone.heat, atol=1e-4)


def test_query_decides_the_map(weights):
  batch = make_batch()
  rolled = jax.tree.map(lambda x: np.roll(x, 1, axis=0), batch.query)
  one = apply_network(SMALL, weights, batch.query, batch.medium)
  other = apply_network(SMALL, weights, rolled, batch.medium)
  assert float(jnp.abs(one.heat - other.heat).max()) > 1e-3


def test_scale_of_features_does_not_change_normalized_responses(weights):
  batch = make_batch()
  larger = jax.tree.map(lambda x: 3 * x, batch.query.maps)
  one = apply_network(SMALL, weights, batch.query, batch.medium)
  other = apply_network(
    SMALL, weights, QueryFeatures(larger, batch.query.masks), batch.medium
  )
  np.testing.assert_allclose(one.responses, other.responses, atol=2e-3)


def test_pooled_kernel_is_the_mean_over_the_object():
  rng = np.random.default_rng(0)
  maps = jnp.asarray(rng.normal(size=(1, 8, 8, 3)), jnp.float32)
  mask = jnp.zeros((1, 8, 8)).at[:, 2:6, 2:6].set(1)
  kernel, window = pool_kernel(maps, mask, 8)
  np.testing.assert_allclose(window, mask)
  np.testing.assert_allclose(kernel[:, 2:6, 2:6], maps[:, 2:6, 2:6], rtol=2e-3)
  flat = jnp.ones((1, 8, 8, 3))
  kernel, window = pool_kernel(flat, mask, 1)
  np.testing.assert_allclose(kernel, 1, rtol=0.02)


def test_training_lowers_the_loss_and_a_rolled_pair_may_weigh_nothing():
  config = LocateConfig(network=SMALL, steps=30, rate=5e-3)
  batch = make_batch()
  state, step = make_state(batch, config, None), make_step(config)
  losses = []
  for i in range(30):
    state, metrics = step(state, batch, jax.random.key(i))
    losses.append(float(metrics["loss"]))
  assert losses[-1] < 0.7 * losses[0]
  batch.weight[1] = 0
  _, one = step(state, batch, jax.random.key(0))
  batch.mask[1] = 1 - batch.mask[1]
  _, other = step(state, batch, jax.random.key(0))
  assert float(one["loss"]) == pytest.approx(float(other["loss"]))


def test_weights_round_trip_and_damage_is_noticed(weights, tmp_path):
  saved = LocatorWeights(SMALL, {"params": {}}, weights)
  save_weights(saved, tmp_path / "a")
  loaded = load_weights(tmp_path / "a")
  assert loaded.network == SMALL
  assert loaded.calibration is None
  for one, other in zip(
    jax.tree.leaves(weights), jax.tree.leaves(loaded.search), strict=True
  ):
    np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-3)
  file = tmp_path / "a" / "weights.msgpack"
  file.write_bytes(file.read_bytes()[:-1] + b"x")
  with pytest.raises(PipelineError, match="damaged"):
    load_weights(tmp_path / "a")
  with pytest.raises(PipelineError, match="holds no locator"):
    load_weights(tmp_path / "b")


def test_maps_are_those_inside_of_the_whole_network():
  images = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
  whole = Lite0()
  variables = jax.jit(whole.init)(jax.random.key(0), images)

  def run(variables, images):
    names = {"block_2": 4, "block_4": 8, "block_10": 16}
    _, state = whole.apply(
      variables,
      images,
      capture_intermediates=lambda module, _: module.name in names,
    )
    inner = state["intermediates"]
    return {names[n]: inner[n]["__call__"][0] for n in names}

  own = jax.eval_shape(Lite0Maps().init, jax.random.key(0), images)["params"]
  trunk = {"params": {name: variables["params"][name] for name in own}}
  expected = jax.jit(run)(variables, images)
  maps = jax.jit(Lite0Maps().apply)(trunk, images)
  assert {s: maps[s].shape[-1] for s in maps} == MAP_CHANNELS
  for stride, features in expected.items():
    np.testing.assert_allclose(maps[stride], features, atol=1e-5)
