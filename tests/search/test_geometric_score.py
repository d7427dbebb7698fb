"""What registering models to a query says about its match and its label."""

import numpy as np
import pytest
import trimesh

from dr3d.mesh import make_mesh
from dr3d.mesh.packing import pack_mesh
from dr3d.registration import surface
from dr3d.registration.relation import FAR, NEAR
from dr3d.registration.surface import Fit
from dr3d.search import reciprocal, verification
from dr3d.search.gallery import make_gallery
from dr3d.search.geometric_score import (
  add_geometric_score,
  compare_labels,
  find_distance,
  is_same,
  rank_samples,
  rank_surfaces,
  score_distance,
)
from dr3d.search.matching import find_matches
from dr3d.search.query import Query

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def _neighbours_do_not_count(monkeypatch):
  """So that scores alone rank; test_reciprocal checks common neighbours."""
  monkeypatch.setattr(reciprocal, "WEIGHT", 0.0)


def make_box(*sides, seed=None):
  """A box; with a seed finely meshed, turned, and of another size."""
  box = trimesh.creation.box(sides)
  if seed is not None:
    rng = np.random.default_rng(seed)
    box = box.subdivide_to_size(max(sides) / 8)
    box.apply_transform(
      trimesh.transformations.random_rotation_matrix(rng.random(3))
    )
    box.apply_scale(3)
  return make_mesh(box.vertices, box.faces)


def fit(one, two):
  return surface.compare(*map(surface.make_cloud, (one, two)))


def test_one_shape_is_same_in_every_mesh_pose_and_size():
  for sides in ((1, 2, 3), (100, 3, 3), (10, 7, 0.05)):
    for seed in range(3):
      assert is_same(fit(make_box(*sides), make_box(*sides, seed=seed)))


def test_thin_shape_is_not_same_as_thinner_one():
  for one, two in (
    ((100, 1.5, 1.5), (100, 1.5, 0.8)),
    ((10, 7, 0.2), (10, 7, 0.3)),
    ((10, 7, 3), (10, 7.3, 3)),
  ):
    found = fit(make_box(*one), make_box(*two, seed=0))
    assert found.mean < 0.012
    assert found.sides > 0.02
    assert not is_same(found)
  # Distances alone do not tell the first two.
  found = fit(make_box(100, 1.5, 1.5), make_box(100, 1.5, 0.8))
  assert found.mean < NEAR
  assert found.far < FAR


def test_score_falls_with_distance():
  rated = score_distance([0, 0.005, 0.02, 0.1, 1])
  assert (np.diff(rated) < 0).all()
  np.testing.assert_allclose(rated[1], 0.3 * np.log1p((5 / 6) ** 2))
  assert rated[0] == pytest.approx(0.98, abs=0.005)
  assert rated[3] < 0.001
  assert score_distance(0.0).shape == ()
  np.testing.assert_allclose(find_distance(rated), [0, 0.005, 0.02, 0.1, 1])
  assert find_distance(0.0) == np.inf


def test_mirrored_model_scores_as_it_is_unmirrored():
  rng = np.random.default_rng(3)
  points = rng.normal(size=(40, 3)) * (3, 2, 1)
  hull = trimesh.convex.convex_hull(points)
  mesh = make_mesh(hull.vertices, hull.faces)
  other = hull.vertices * (-1, 1, 1)
  mirrored = make_mesh(other, hull.faces[:, ::-1])
  names = {"own": pack_mesh(mesh), "mirrored": pack_mesh(mirrored)}
  fits = verification.register_meshes(mesh, names)
  assert not fits["own"].mirrored
  assert fits["own"].plain == fits["own"].mean
  assert fits["mirrored"].mirrored
  assert fits["mirrored"].plain > 2 * fits["mirrored"].mean
  measured = verification.measure_fits(mesh, list(names.values()))
  assert [fit.plain for fit in measured] == [fits[n].plain for n in names]
  assert [fit.trimmed for fit in measured] == [fits[n].trimmed for n in names]


def test_nearer_surfaces_rank_higher_and_unknown_ones_add_nothing():
  for rank in (rank_samples, rank_surfaces):
    added = rank([0.02, 0.1, np.nan, 0.05])
    assert np.argsort(-added[[0, 1, 3]]).tolist() == [0, 2, 1]
    assert added[1] == added[2] == 0
    assert not rank([np.nan, np.nan]).any()
  halved = rank_samples([0.05, 0.1]) - rank_samples([0.1, 0.1])
  assert halved[0] == pytest.approx(0.8 * np.log(2))


def test_nearest_models_decide_about_a_label():
  labels = np.array(["a", "b", "a", ""])
  close = np.array([1.0, 2.0, 4.0, 0.0])
  support = compare_labels(close, labels, "a")
  assert support == pytest.approx(2)
  assert compare_labels(close, labels, "b") == -support
  assert compare_labels(close[:1], labels[:1], "a") == pytest.approx(1)
  assert compare_labels(np.zeros(4), labels, "a") == 0


def test_unregistered_models_keep_their_order():
  score = np.array([0.9, 0.8, 0.7, 0.6])
  raised = add_geometric_score(score, np.array([0.0, 0.15, 0.0, 0.0]))
  assert np.argsort(-raised).tolist() == [1, 0, 2, 3]
  np.testing.assert_array_equal(raised[[0, 2, 3]], score[[0, 2, 3]])


# Answers.


def unit(values):
  return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def gallery():
  """Ten models of each of three labels, those of two hardly apart."""
  rng = np.random.default_rng(1)
  centre = unit(rng.normal(size=(3, 2, 16)))
  centre[1] = centre[0] + 0.05 * rng.normal(size=(2, 16))
  features = np.repeat(centre, 10, axis=0)
  features = unit(features + 0.05 * rng.normal(size=features.shape))
  return make_gallery(
    features.astype(np.float32),
    [f"{i:02}" for i in range(30)],
    [label for label in "abc" for _ in range(10)],
  )


def register(distances, *, mirrored=False):
  """Registers models at known distances; and the names asked for."""
  asked = []

  def register_models(names):
    asked.append(list(names))
    return {
      name: Fit(
        distance / 4 if mirrored else distance, 0, mirrored, 0, distance
      )
      for name, distance in distances.items()
      if name in names
    }

  return register_models, asked


def test_highest_scores_are_registered_for_any_k(gallery):
  query = gallery.features[3]
  plain = find_matches(Query(query), gallery, k=30).matches
  for k in (1, 5, 30):
    function, asked = register({})
    answer = find_matches(
      Query(query), gallery, k=k, register=function, verify=5
    )
    assert asked == [[match.model for match in plain[:5]]]
    assert answer.matches == plain[:k]


def test_near_model_moves_to_the_front(gallery):
  query = gallery.features[3]
  plain = find_matches(Query(query), gallery, k=30)
  fourth = plain.matches[3]
  function, _ = register({fourth.model: 0.001, plain.matches[0].model: 0.9})
  answer = find_matches(Query(query), gallery, k=2, register=function)
  first, second = answer.matches
  assert (first.model, first.rank, first.distance) == (fourth.model, 1, 0.001)
  assert first.score == fourth.score  # the similarity alone
  assert first.same
  assert not first.mirrored
  assert second.model == plain.matches[0].model
  assert not second.same
  # As it is, not as it would be in a mirror.
  function, _ = register({fourth.model: 0.9}, mirrored=True)
  mirrored = find_matches(
    Query(query), gallery, k=4, register=function
  ).matches[3]
  assert (mirrored.model, mirrored.mirrored) == (fourth.model, True)
  assert mirrored.distance == 0.225


def test_surface_counts_by_its_weight(gallery):
  query = gallery.features[3]
  plain = find_matches(Query(query), gallery, k=4)
  fourth = plain.matches[3]
  function, _ = register({fourth.model: 0.001})

  def find(weight):
    answer = find_matches(
      Query(query), gallery, k=4, register=function, surface_weight=weight
    )
    return [match.model for match in answer.matches], answer.prediction

  assert find(1.0)[0][0] == fourth.model
  order, prediction = find(1e-6)
  assert order == [match.model for match in plain.matches]
  assert prediction == find(1.0)[1]  # calibrated apart


def test_near_model_supports_its_label(gallery):
  rng = np.random.default_rng(9)
  query = gallery.features[3] + 0.05 * rng.normal(size=(2, 16))
  query = unit(query).astype(np.float32)
  plain = find_matches(Query(query), gallery, k=30)
  label = plain.prediction.label
  own = [m.model for m in plain.matches[:10] if m.label == label]
  others = [m.model for m in plain.matches[:10] if m.label != label]
  assert own
  assert others
  told = []
  for distances in (
    {others[0]: 0.001},
    {},
    {own[0]: 0.02},
    {own[0]: 0.001},
    {own[0]: 0.001, others[0]: 0.001},
  ):
    function, _ = register(distances)
    prediction = find_matches(
      Query(query), gallery, register=function
    ).prediction
    assert (prediction.label, prediction.confidence) == (
      label,
      plain.prediction.confidence,
    )
    told.append(prediction.probability)
  assert told[:4] == sorted(set(told[:4]))
  assert told[1] == told[4] == plain.prediction.probability
