"""GLB files: the same surface, normals, colour and size in metres."""

import io

import numpy as np
import pytest
import trimesh

from dr3d.mesh import make_mesh
from dr3d.mesh.io.glb import write_glb


def read(body):
  """What another reader finds in the GLB of a body."""
  mesh = make_mesh(np.array(body.vertices), np.array(body.faces))
  data = io.BytesIO(write_glb(mesh))
  (found,) = trimesh.load(data, file_type="glb").geometry.values()
  return found


def test_glb_keeps_volume_in_metres_and_outward_normals():
  ball = trimesh.creation.icosphere(1, 12)
  found = read(ball)
  assert found.volume * 1e9 == pytest.approx(ball.volume, rel=1e-4)
  outward = (found.vertices * found.vertex_normals).sum(axis=1)
  assert np.all(outward > 0.9 * np.linalg.norm(found.vertices, axis=1))


def test_glb_splits_vertices_at_creases_only():
  assert len(read(trimesh.creation.box((3, 2, 1))).vertices) == 24
  ball = trimesh.creation.icosphere(3)
  assert len(read(ball).vertices) == len(ball.vertices)


def test_glb_holds_one_two_sided_material():
  material = read(trimesh.creation.box()).visual.material
  assert material.doubleSided
  np.testing.assert_array_equal(
    material.baseColorFactor, [158, 173, 194, 255]  # 0.62, 0.68, 0.76, 1
  )  # fmt: skip
