"""Verification: candidates are registered to the query by surface points.

In two passes. Sampled points of many candidates are compared with those of the
query, in a millisecond each. Those that are best by that and by their vectors
are registered.
"""

from collections.abc import Mapping, Sequence

from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.coarse import (
  compare_samples,
  sample_mesh,
  sample_packed,
)
from dr3d.registration.robust import measure_trimmed
from dr3d.registration.surface import Fit, compare, fit_plain, make_cloud


def compare_meshes(mesh: Mesh, packed: Mapping[str, bytes]) -> dict[str, float]:
  """Compares points of models with those of a mesh, in a few poses.

  Args:
    mesh: of the query.
    packed: meshes of models, by name; see `packing.pack_mesh`.

  Returns:
    The distance of each of them, by name; see `coarse.compare_samples`.
  """
  samples = [sample_packed(data) for data in packed.values()]
  distances = compare_samples(sample_mesh(mesh), samples)
  return dict(zip(packed, distances.tolist(), strict=True))


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
    name: compare(cloud, make_cloud(unpack_mesh(data)), measure=measure_trimmed)
    for name, data in packed.items()
  }


def measure_fits(mesh: Mesh, packed: Sequence[bytes]) -> list[Fit]:
  """Registers models to a mesh, as they are only.

  Args:
    mesh: of the query.
    packed: meshes of models; see `packing.pack_mesh`.

  Returns:
    How well each of them fits. `Fit.plain` and `Fit.trimmed` are those of
    `register_meshes`, without the cost of the mirrored fit.
  """
  cloud = make_cloud(mesh)
  return [
    fit_plain(cloud, make_cloud(unpack_mesh(data)), measure=measure_trimmed)
    for data in packed
  ]
