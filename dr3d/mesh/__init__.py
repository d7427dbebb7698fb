"""Triangle meshes: reading, repair, simplification, normals, measures.

    mesh        Mesh, load_mesh, make_mesh
    io/         file formats, one module each
    repair      welding, faces without area
    frame       principal axes
    decimation  fewer faces
    normal      corner normals
    packing     Mesh to bytes and back
    thumbnail   small picture of a Mesh
    surface     edges, areas, angles that the others share
    unit        units of length

The names below come from `dr3d.mesh.mesh` when they are first used (PEP 562).
An eager import would load SciPy with `dr3d.mesh.unit`, and so with
`dr3d --help`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from dr3d.mesh.mesh import (
    BUCKETS,
    Mesh,
    bucket_size,
    build_mesh,
    load_mesh,
    make_mesh,
  )

__all__ = [
  "BUCKETS",
  "Mesh",
  "bucket_size",
  "build_mesh",
  "load_mesh",
  "make_mesh",
]

if not TYPE_CHECKING:  # else a type checker would accept every name

  def __getattr__(name: str) -> object:
    """Imports a name of `__all__` when it is first used."""
    if name not in __all__:
      raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("dr3d.mesh.mesh"), name)
    globals()[name] = value
    return value
