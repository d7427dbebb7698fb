"""Penalties against trimesh's values and closed forms."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from dr3d.geometry import regularizer
from dr3d.geometry.regularizer import (
  edge_penalty,
  laplacian_penalty,
  normal_penalty,
)

pytestmark = pytest.mark.usefixtures("x64_module")


@pytest.fixture(scope="module")
def blob():
  """A closed surface, and the same with two faces missing."""
  mesh = trimesh.creation.icosphere(subdivisions=1)
  mesh.vertices += 0.1 * np.random.default_rng(0).normal(
    size=mesh.vertices.shape
  )
  cut = trimesh.Trimesh(mesh.vertices, mesh.faces[2:], process=False)
  return mesh, cut


def test_laplacian_equals_the_mean_over_the_neighbours_of_trimesh(blob):
  for mesh in blob:
    expected = [
      np.linalg.norm(mesh.vertices[neighbours].mean(axis=0) - vertex)
      for vertex, neighbours in zip(
        mesh.vertices, mesh.vertex_neighbors, strict=True
      )
    ]
    found = laplacian_penalty(jnp.asarray(mesh.vertices), mesh.faces)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_edge_lengths_equal_those_of_trimesh(blob):
  for mesh in blob:
    expected = np.sort((mesh.edges_unique_length - 0.5) ** 2)
    found = edge_penalty(jnp.asarray(mesh.vertices), mesh.faces, target=0.5)
    np.testing.assert_allclose(np.sort(found), expected, atol=1e-12)


def test_normals_agree_with_the_dihedral_angles_of_trimesh(blob):
  for mesh in blob:
    expected = np.sort(1 - np.cos(mesh.face_adjacency_angles))
    found = normal_penalty(jnp.asarray(mesh.vertices), mesh.faces)
    np.testing.assert_allclose(np.sort(found), expected, atol=1e-9)


def test_winding_does_not_change_the_normal_penalty(blob):
  mesh, _ = blob
  vertices, flipped = jnp.asarray(mesh.vertices), mesh.faces.copy()
  flipped[::2] = flipped[::2, ::-1]
  np.testing.assert_allclose(
    np.sort(normal_penalty(vertices, flipped)),
    np.sort(normal_penalty(vertices, mesh.faces)),
    atol=1e-12,
  )


@pytest.mark.parametrize(
  "penalty", [laplacian_penalty, edge_penalty, normal_penalty]
)
def test_gradient_is_finite_where_vertices_coincide(penalty):
  faces = np.array([[0, 1, 2], [0, 2, 3]])
  vertices = jnp.zeros((5, 3)).at[1, 0].set(1)  # the last one has no face

  def loss(vertices):
    return penalty(vertices, faces).sum()

  assert np.isfinite(jax.jit(jax.grad(loss))(vertices)).all()


def test_examples_print_what_they_say():
  assert doctest.testmod(regularizer).failed == 0
