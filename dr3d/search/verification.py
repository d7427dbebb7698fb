"""Verification: candidates are registered to the query by surface points."""

from collections.abc import Mapping, Sequence

from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.surface import Fit, compare, find_pose, make_cloud


def register_meshes(mesh: Mesh, packed: Mapping[str, bytes]) -> dict[str, Fit]:
  """Registers models to a mesh, as they are and mirrored.

  Args:
    mesh: of the query.
    packed: meshes of models, by name; see `packing.pack_mesh`.

  Returns:
    How well each of them fits, by name.
  """
  cloud = make_cloud(mesh)
  return {
    name: compare(cloud, make_cloud(unpack_mesh(data)))
    for name, data in packed.items()
  }


def measure_distances(mesh: Mesh, packed: Sequence[bytes]) -> list[float]:
  """Distances of models, as they are, from a mesh.

  Args:
    mesh: of the query.
    packed: meshes of models; see `packing.pack_mesh`.

  Returns:
    The mean distance of each, in radii of the smallest enclosing sphere. It is
    `Fit.plain` of `register_meshes`, without the cost of the mirrored fit.
  """
  cloud = make_cloud(mesh)
  return [
    find_pose(cloud, make_cloud(unpack_mesh(data))).fit.plain for data in packed
  ]
