"""Decimation reaches the budget and keeps the shape."""

import numpy as np
import pytest
import scipy.spatial
import trimesh

from dr3d.data.scan import refine
from dr3d.mesh.decimation import decimate

pytestmark = pytest.mark.fast


def fine(mesh: trimesh.Trimesh, edge: float) -> tuple[np.ndarray, np.ndarray]:
  vertices = (
    np.asarray(mesh.vertices) / np.linalg.norm(mesh.vertices, axis=1).max()
  )
  return refine(vertices, np.asarray(mesh.faces), edge=edge, face_limit=200_000)


def sample(vertices, faces, count) -> np.ndarray:
  mesh = trimesh.Trimesh(vertices, faces, process=False)
  return trimesh.sample.sample_surface(mesh, count, seed=0)[0]


def distance(one, two) -> float:
  """Largest distance of 4 000 points of one surface from another."""
  tree = scipy.spatial.cKDTree(sample(*two, 60_000))
  return tree.query(sample(*one, 4000))[0].max()


def is_closed(faces: np.ndarray) -> bool:
  mesh = trimesh.Trimesh(np.zeros((faces.max() + 1, 3)), faces, process=False)
  return mesh.is_watertight


def test_sphere_within_budget_stays_a_closed_sphere():
  sphere = trimesh.creation.icosphere(subdivisions=4)
  vertices, faces = decimate(sphere.vertices, sphere.faces, face_budget=500)
  assert 480 <= len(faces) <= 500
  assert is_closed(faces)
  radius = np.linalg.norm(vertices, axis=1)
  assert radius.max() <= 1 + 1e-12
  assert np.linalg.norm(sample(vertices, faces, 5000), axis=1).min() > 0.97


def test_refined_box_becomes_a_box_again():
  box = trimesh.creation.box([1, 1, 0.2])
  vertices, faces = fine(box, 0.05)
  assert len(faces) > 3000
  simple = decimate(vertices, faces, face_budget=60)
  assert len(simple[1]) <= 60
  assert is_closed(simple[1])
  result = trimesh.Trimesh(*simple, process=False)
  whole = trimesh.Trimesh(vertices, faces, process=False)
  assert result.volume == pytest.approx(whole.volume, rel=1e-6)
  assert result.area == pytest.approx(whole.area, rel=1e-6)


def test_open_sheet_keeps_its_boundary():
  # Without boundary planes a flat sheet costs nothing and vanishes.
  square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) / 2
  sheet = refine(
    square, np.array([[0, 1, 2], [0, 2, 3]]), edge=0.05, face_limit=10**6
  )
  for compiled in (False, True):
    with pytest.MonkeyPatch.context() as patch:
      if compiled:
        patch.setattr("dr3d.mesh.decimation._COMPILED_FACES", 400)
      vertices, faces = decimate(*sheet, face_budget=16)
    assert 2 <= len(faces) <= 16
    area = trimesh.Trimesh(vertices, faces, process=False).area
    assert area == pytest.approx(1, abs=1e-6)


def test_many_thin_bars_meet_the_budget():
  bars = []
  for k in range(40):
    bar = trimesh.creation.cylinder(radius=0.004, height=1.6, sections=12)
    bar.apply_translation([0.5 * np.cos(k), 0.5 * np.sin(k), 0])
    bars.append(bar)
  body = trimesh.util.concatenate(bars)
  geometry = np.asarray(body.vertices), np.asarray(body.faces)
  simple = decimate(*geometry, face_budget=600)
  assert 0 < len(simple[1]) <= 600
  assert distance(geometry, simple) < 0.02
  assert distance(simple, geometry) < 0.02


def test_compiled_collapse_of_large_mesh_keeps_the_shape(monkeypatch):
  torus = trimesh.creation.torus(
    0.7, 0.25, major_sections=60, minor_sections=40
  )
  geometry = np.asarray(torus.vertices), np.asarray(torus.faces)
  slow = decimate(*geometry, face_budget=300)
  monkeypatch.setattr("dr3d.mesh.decimation._COMPILED_FACES", 2000)
  fast = decimate(*geometry, face_budget=300)
  assert len(slow[1]) <= 300
  assert len(fast[1]) <= 300
  assert distance(geometry, slow) < 0.06
  assert distance(geometry, fast) < 0.06


def test_many_small_bodies_leave_at_least_one_face():
  specks = []
  for k in range(60):
    speck = trimesh.creation.icosahedron()
    speck.apply_scale(0.01)
    speck.apply_translation(np.array([np.cos(k), np.sin(k), k / 60 - 0.5]) / 2)
    specks.append(speck)
  body = trimesh.util.concatenate(specks)
  _, faces = decimate(body.vertices, body.faces, face_budget=4)
  assert len(faces) > 0


def test_mesh_within_budget_is_returned_unchanged():
  box = trimesh.creation.box()
  vertices, faces = decimate(box.vertices, box.faces, face_budget=12)
  assert vertices is box.vertices
  assert faces is box.faces
