import math

import numpy as np
import pytest
import scipy.spatial

from dr3d.data.scan import random_rotation
from dr3d.descriptor import contour, distribution, lightfield, moment
from dr3d.descriptor.dodecahedron import find_axes, find_corners, find_turns
from dr3d.descriptor.silhouette import draw_silhouettes
from dr3d.mesh import make_mesh

pytestmark = pytest.mark.fast

AXES = np.eye(3)
CORNERS = np.array(
  [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
)
FACES = np.array(
  [
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
  ]
)  # fmt: skip


def box(*size):
  return make_mesh(CORNERS * np.array(size), FACES)


def turned(mesh, seed):
  turn = random_rotation(np.random.default_rng(seed))
  return make_mesh(mesh.vertices @ turn.T, mesh.faces)


def disc(size, *, row, column, radius):
  y, x = np.mgrid[:size, :size]
  return np.hypot(y - row, x - column) <= radius


# Silhouettes.


def test_silhouette_areas_of_box_equal_closed_form():
  size = np.array([0.75, 0.5, 0.25])  # edges between pixel centres
  images = draw_silhouettes(CORNERS * size, FACES, AXES, size=64)
  areas = images.sum(axis=(1, 2)) / 32**2
  np.testing.assert_array_equal(
    areas, [4 * 0.5 * 0.25, 4 * 0.75 * 0.25, 4 * 0.75 * 0.5]
  )


def test_silhouette_equals_union_of_projected_triangles():
  rng = np.random.default_rng(0)
  vertices = rng.uniform(-0.9, 0.9, (12, 3))
  faces = np.arange(12).reshape(4, 3)
  (image,) = draw_silhouettes(vertices, faces, AXES[2:], size=32)
  # The rotation of the image about its axis is arbitrary: accept all quarter
  # turns and mirror images.
  middle = (np.arange(32) + 0.5) / 16 - 1
  x, y = np.meshgrid(middle, middle)
  points = np.stack([x, y], axis=-1)

  def side(a, b):
    edge, offset = b - a, points - a
    return edge[0] * offset[..., 1] - edge[1] * offset[..., 0]

  expected = np.zeros((32, 32), bool)
  for face in faces:
    a, b, c = vertices[face][:, :2]
    sides = np.stack([side(a, b), side(b, c), side(c, a)])
    expected |= (sides >= 0).all(axis=0) | (sides <= 0).all(axis=0)
  variants = [
    np.rot90(mirrored, k)
    for k in range(4)
    for mirrored in (expected, expected.T)
  ]
  assert 100 < expected.sum() < 900
  assert any(np.array_equal(image, variant) for variant in variants)


def test_silhouette_is_clipped_to_the_image():
  images = draw_silhouettes(CORNERS * 3.0, FACES, AXES, size=8)
  assert images.all()


# Dodecahedra.


def test_corners_form_a_regular_dodecahedron():
  corners = find_corners()
  np.testing.assert_allclose(np.linalg.norm(corners, axis=1), 1)
  np.testing.assert_allclose(corners[:10], -corners[10:])
  cosine = np.sort(corners @ corners.T, axis=1)[:, ::-1]
  # Three neighbours, each an edge away: cosine √5 / 3.
  np.testing.assert_allclose(cosine[:, 1:4], math.sqrt(5) / 3, atol=1e-6)
  assert np.all(cosine[:, 4] < 0.5)


def test_turns_are_a_group_of_60_that_preserves_angles():
  turns = find_turns()
  assert len({tuple(turn) for turn in turns}) == len(turns) == 60
  axes = find_corners()[:10]
  angle = np.round(np.abs(axes @ axes.T), 5)
  for turn in turns:
    assert sorted(turn) == list(range(10))
    np.testing.assert_array_equal(angle[np.ix_(turn, turn)], angle)
  products = {tuple(one[two]) for one in turns for two in turns}
  assert products == {tuple(turn) for turn in turns}


def test_axes_of_dodecahedra_are_far_apart():
  axes = find_axes(10)
  assert axes.shape == (10, 10, 3)
  inner = axes @ axes.transpose(0, 2, 1)
  np.testing.assert_allclose(inner, inner[:1].repeat(10, 0), atol=1e-6)
  cosine = np.abs(axes.reshape(-1, 3) @ axes.reshape(-1, 3).T)
  assert np.degrees(np.arccos(cosine[~np.eye(100, dtype=bool)].max())) > 5


# Moments and outlines.


def test_zernike_moments_of_disc_equal_closed_form():
  size = 256
  middle = (size - 1) / 2
  image = disc(size, row=middle, column=middle, radius=64)
  (moments,) = moment.zernike_moments(image[None])
  names = [(n, m) for n in range(1, 11) for m in range(n, -1, -2)]
  assert len(names) == len(moments) == moment.COUNT
  # ∫ R_n0 over a disc of radius ρ = 1/2: for n = 2 of 2 r² - 1, for n = 4 of
  # 6 r⁴ - 6 r² + 1, times (n + 1) / π · 2 π ∫ r dr.
  rho = 0.5
  second = 3 * (rho**4 - rho**2)
  fourth = 5 * (2 * rho**6 - 3 * rho**4 + rho**2)
  assert moments[names.index((2, 0))] == pytest.approx(-second, rel=0.01)
  assert moments[names.index((4, 0))] == pytest.approx(abs(fourth), abs=0.005)
  for (_, m), value in zip(names, moments, strict=True):
    if m % 4:  # the pixel grid has a fourfold symmetry of its own
      assert value < 1e-5


def test_moments_and_outlines_are_invariant_to_rotation_and_mirror():
  image = disc(64, row=20, column=30, radius=12)
  image |= disc(64, row=36, column=40, radius=6)
  image[20:24, 10:30] = True
  variants = np.stack(
    [np.rot90(m, k) for k in range(4) for m in (image, image.T)]
  )
  for numbers in (moment.zernike_moments, contour.fourier_descriptors):
    values = numbers(variants)
    assert values[0].max() > 0.05
    np.testing.assert_allclose(values, values[:1].repeat(8, 0), atol=2e-3)


def test_outline_of_rectangle_is_traced_once():
  image = np.zeros((1, 20, 30), bool)[:, :, :20]
  image[0, 5:9, 3:13] = True
  (points,) = contour.trace_outlines(image)
  assert len(points) == 2 * (4 + 10)
  assert len({tuple(point) for point in points}) == len(points)
  assert points.min(axis=0).tolist() == [5, 3]
  assert points.max(axis=0).tolist() == [9, 13]


def test_outline_is_of_the_largest_shape_without_holes():
  image = disc(64, row=40, column=40, radius=15)
  alone = contour.trace_outlines(image[None])[0]
  image[38:42, 38:42] = False
  image |= disc(64, row=10, column=10, radius=6)
  both = contour.trace_outlines(np.stack([np.zeros_like(image), image]))
  assert not len(both[0])
  np.testing.assert_array_equal(both[1], alone)


def test_diagonal_pixels_are_one_shape():
  image = np.eye(8, dtype=bool)[None]
  (points,) = contour.trace_outlines(image)
  assert len(points) == 4 * 8


def test_fourier_descriptors_of_ellipse_equal_sampled_curve():
  y, x = np.mgrid[:256, :256] - 127.5
  image = (x / 100) ** 2 + (y / 60) ** 2 <= 1
  (values,) = contour.fourier_descriptors(image[None])
  # Independent: the ellipse sampled at equal steps of arc length.
  t = np.linspace(0, 2 * np.pi, 200_001)
  points = np.stack([100 * np.cos(t), 60 * np.sin(t)], -1)
  arc_length = np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))
  at = np.searchsorted(arc_length, np.arange(4096) / 4096 * arc_length[-1])
  spectrum = np.abs(np.fft.fft(np.linalg.norm(points[at], axis=1)))
  np.testing.assert_allclose(values, spectrum[1:11] / spectrum[0], atol=0.005)
  assert values[1] > 0.1


def test_descriptors_of_empty_silhouette_are_zero():
  empty = np.zeros((2, 16, 16), bool)
  assert not moment.zernike_moments(empty).any()
  assert not contour.fourier_descriptors(empty).any()


# Descriptors.


def test_light_fields_are_compared_at_the_best_rotation():
  rng = np.random.default_rng(2)
  queries = rng.random((2, 3, 10, 4), np.float32)
  gallery = rng.random((35, 3, 10, 4), np.float32)
  turns = find_turns()
  gallery[7, 1] = queries[0, 2, turns[13]]
  distance = lightfield.compare(queries, gallery)
  assert distance.shape == (2, 3, 35)
  for q, a, b in ((0, 0, 0), (0, 2, 7), (1, 1, 34), (1, 2, 20)):
    expected = min(
      np.abs(queries[q, a] - other[turn]).sum()
      for other in gallery[b]
      for turn in turns
    )
    assert distance[q, a, b] == pytest.approx(expected, abs=1e-4)
  assert distance[0, 2, 7] < 1e-5


@pytest.mark.parametrize(
  ("describe", "distance"),
  [
    (lightfield.describe, lambda a, b: lightfield.compare(a, b).min(axis=1)),
    (distribution.describe, distribution.compare),
  ],
)
def test_rotated_model_is_nearer_than_other_models(describe, distance):
  models = [box(3, 2, 1), box(3, 1, 1), box(1, 1, 1)]
  gallery = np.stack([describe(model) for model in models])
  queries = np.stack([describe(turned(m, i)) for i, m in enumerate(models)])
  found = distance(queries, gallery)
  np.testing.assert_array_equal(found.argmin(axis=1), [0, 1, 2])
  own = np.diag(found)
  assert own.max() < 0.5 * found[~np.eye(3, dtype=bool)].min()


def test_light_field_is_deterministic():
  first, second = (lightfield.describe(box(3, 2, 1)) for _ in range(2))
  assert first.shape == (10, 10, 45)
  np.testing.assert_array_equal(first, second)


def test_distance_distribution_of_sphere_equals_closed_form():
  # Points of a unit sphere: P(distance < t) = t² / 4.
  rng = np.random.default_rng(3)
  points = rng.normal(size=(3000, 3))
  points /= np.linalg.norm(points, axis=1, keepdims=True)
  hull = scipy.spatial.ConvexHull(points)
  share = distribution.describe(make_mesh(points, hull.simplices))
  assert share.sum() == pytest.approx(1, abs=1e-6)
  mean = 4 / 3
  ends = np.arange(1, 65) * distribution.RANGE / 64 * mean
  np.testing.assert_allclose(
    np.cumsum(share), np.minimum(ends / 2, 1) ** 2, atol=0.01
  )
