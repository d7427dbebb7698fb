"""Models are laid upon a query: how far apart their surfaces are."""

from collections.abc import Mapping, Sequence

from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.surface import Fit, compare, find_pose, make_cloud


def register_meshes(mesh: Mesh, packed: Mapping[str, bytes]) -> dict[str, Fit]:
  """Lays models upon a mesh, as they are and mirrored.

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
  """How far models, as they are, lie apart from a mesh.

  Args:
    mesh: of the query.
    packed: meshes of models; see `packing.pack_mesh`.

  Returns:
    The mean distance of each, in radii of the smallest enclosing sphere; that
    is `Fit.plain` of `register_meshes`.
  """
  cloud = make_cloud(mesh)
  return [
    find_pose(cloud, make_cloud(unpack_mesh(data))).fit.plain for data in packed
  ]
