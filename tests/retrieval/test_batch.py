"""Which models and views a step looks at."""

import collections

import numpy as np
import pytest

from dr3d.retrieval.batch import BatchConfig, Sampler, number_classes

pytestmark = pytest.mark.fast

CLASSES = np.repeat([0, 1, 2, 3, 4], [1, 2, 3, 5, 8])


def make_sampler(classes=CLASSES, seed=0, **how):
  return Sampler(classes, config=BatchConfig(**how), seed=seed)


def test_model_without_label_is_its_own_class():
  assert number_classes(["a", "", "b", "", "a"]).tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("model_count", [3, 5, 12, 40])
def test_classes_are_drawn_equally_often(model_count):
  sampler = make_sampler(model_count=model_count)
  for step in range(20):
    models = sampler(step)
    assert len(models) == sampler.size == model_count
    times = np.bincount(CLASSES[models], minlength=5)
    assert times.max() - times.min() <= 1


def test_model_is_repeated_only_after_all_of_its_class():
  sampler = make_sampler(model_count=20)
  for step in range(20):
    times = np.bincount(sampler(step), minlength=len(CLASSES))
    for label in range(5):
      own = times[label == CLASSES]
      assert own.max() - own.min() <= 1


def test_models_of_a_class_are_equally_frequent_over_many_steps():
  sampler = make_sampler(model_count=5)
  drawn = np.concatenate([sampler(step) for step in range(800)])
  share = np.bincount(drawn, minlength=len(CLASSES)) / 800
  np.testing.assert_allclose(share[CLASSES == 4], 1 / 8, atol=0.05)


def test_balance_draws_classes_by_power_of_size():
  sizes = np.array([1, 4, 16, 64])
  classes = np.repeat(np.arange(4), sizes)
  for balance in (0.0, 0.5, 1.0):
    config = BatchConfig(model_count=1, balance=balance)
    sampler = Sampler(classes, config=config, seed=3)
    drawn = np.concatenate([classes[sampler(step)] for step in range(4000)])
    share = np.bincount(drawn) / len(drawn)
    expected = sizes**balance / (sizes**balance).sum()
    np.testing.assert_allclose(share, expected, atol=0.03)


def test_models_per_class_are_drawn_together():
  sampler = make_sampler(model_count=8, models_per_class=2)
  times = np.bincount(CLASSES[sampler(0)], minlength=5)
  assert sorted(times) == [0, 2, 2, 2, 2]


def test_pair_has_two_classes():
  sampler = make_sampler(sampling="pair")
  assert sampler.size == 2
  assert all(len(set(CLASSES[sampler(step)])) == 2 for step in range(20))


def test_views_of_a_step_differ_and_all_are_drawn():
  sampler = make_sampler(view_count=3)
  times = collections.Counter()
  for step in range(200):
    views = sampler.draw_views(step, 5)
    assert len(views) == len(set(views)) == 3
    times.update(views.tolist())
  assert sorted(times) == [0, 1, 2, 3, 4]
  assert min(times.values()) > 80
  assert sampler.draw_views(0, 2).tolist() == [0, 1]
  assert make_sampler(view_count=None).draw_views(0, 4).tolist() == [0, 1, 2, 3]


def test_draws_depend_on_seed_and_step_only():
  one, same, other = (make_sampler(seed=seed) for seed in (0, 0, 1))
  assert one(7).tolist() == same(7).tolist() != other(7).tolist()
  assert one(7).tolist() != one(8).tolist()
