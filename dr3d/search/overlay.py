"""Matches are laid upon the query: how far apart, and whether mirrored."""

import dataclasses
from collections.abc import Mapping, Sequence

from dr3d.mesh import Mesh
from dr3d.mesh.comparison import Fit, compare, make_cloud
from dr3d.mesh.packing import unpack_mesh
from dr3d.search.query import Match


def fit_meshes(mesh: Mesh, packed: Mapping[str, bytes]) -> dict[str, Fit]:
  """Lays models upon a mesh.

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


def complete_matches(
  matches: Sequence[Match], fits: Mapping[str, Fit]
) -> tuple[Match, ...]:
  """Gives matches the distance that was found, where one was."""
  return tuple(
    dataclasses.replace(
      match,
      distance=round(fits[match.model].mean, 6),
      mirrored=fits[match.model].mirrored,
    )
    if match.model in fits
    else match
    for match in matches
  )
