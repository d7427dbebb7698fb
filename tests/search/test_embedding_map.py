"""The map of models by their vectors."""

import numpy as np
import pytest
from support.vectors import unit

from dr3d.evaluation.report.embedding_map import choose_colors, draw_map
from dr3d.search.embedding_map import make_map, project
from dr3d.search.gallery import make_gallery

pytestmark = pytest.mark.fast


def make_classes(count=40, views=3, size=12):
  """Two classes about two directions, and a model without a label."""
  rng = np.random.default_rng(0)
  middle = np.where(np.arange(count)[:, None, None] % 2, 1.0, -1.0)
  noise = 0.2 * rng.normal(size=(count, views, size))
  features = unit(middle * np.eye(size)[0] + noise)
  labels = ["nut" if i % 2 else "bolt" for i in range(count)]
  return features, [f"{i:03}" for i in range(count)], [*labels[:-1], ""]


@pytest.mark.parametrize("count", [5, 90])
def test_projection_shows_the_largest_variances(count):
  rng = np.random.default_rng(1)
  scales = np.array([9.0, 4.0, *[0.1] * 70])
  vectors = rng.normal(size=(count, 72)) * scales
  points, share = project(vectors)
  assert points.shape == (count, 2)
  assert np.abs(points).max() == pytest.approx(1)
  centred = vectors - vectors.mean(axis=0)
  values = np.linalg.svd(centred, compute_uv=False) ** 2
  assert share == pytest.approx(values[:2].sum() / values.sum())
  scale = values[0] ** 0.5 / np.linalg.norm(points[:, 0])
  apart = np.linalg.norm(scale * (points[:, None] - points[None]), axis=-1)
  true = np.linalg.norm(centred[:, None] - centred[None], axis=-1)
  assert (apart <= true + 1e-6).all()  # a projection moves points together
  np.testing.assert_array_equal(project(vectors)[0], points)


@pytest.mark.parametrize("count", [1, 2])
def test_few_or_equal_vectors_have_a_map(count):
  points, share = project(np.ones((count, 6)))
  assert (points == 0).all()
  assert share == 1
  assert np.isfinite(project(np.eye(6)[:count])[0]).all()


def test_map_separates_classes_that_the_vectors_separate():
  features, names, labels = make_classes()
  found = make_map(make_gallery(features, names, labels))
  x = found.points[:, 0]
  nut = np.array([label == "nut" for label in found.labels])
  bolt = np.array([label == "bolt" for label in found.labels])
  assert (x[nut].max() < x[bolt].min()) or (x[bolt].max() < x[nut].min())
  assert found.total == 40


def test_map_of_many_models_shows_evenly_many():
  features, names, labels = make_classes()
  found = make_map(make_gallery(features, names, labels), largest=10)
  assert found.names == tuple(names[::4])
  assert (len(found.points), found.total) == (10, 40)


def test_picture_names_models_and_classes():
  features, names, labels = make_classes(count=20)
  names[3] = "a<b>.stl"
  text = draw_map(make_map(make_gallery(features, names, labels)))
  assert text.count("<circle") == 20 + 3  # points, and rows of the legend
  assert "<title>a&lt;b&gt;.stl (nut)</title>" in text
  assert "bolt (10)" in text
  assert "no class (1)" in text
  assert "20 models; the two axes show" in text


def test_classes_beyond_the_colours_are_grey():
  labels = [f"class {i}" for i in range(30)]
  colors = choose_colors([*labels, "class 29"])
  assert len(set(colors.values())) == len(colors) == 16
  assert "class 29" in colors  # the largest one
