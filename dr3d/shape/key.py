"""Codes as a second, cheap key of a database's models.

`B` models, `Q` poses of a query, `Z` size of a code.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from dr3d.database.model import INDEXED
from dr3d.error import EmptyError
from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.runtime.atomic import atomic_file
from dr3d.shape.model import ShapeModel
from dr3d.shape.refine import RefineConfig
from dr3d.shape.voxel import fill_voxels, place_mesh

if TYPE_CHECKING:
  from dr3d.database.writer import Database

FILE = "shape-codes.npz"  # in the database's folder; derived, may be deleted
_CHUNK = 64  # models read at a time

# The principal axes have no certain signs. These are the four rotations that
# map axes to axes with other signs.
_SIGNS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


@dataclasses.dataclass(frozen=True)
class CodeMatch:
  """A model by its code.

  Attributes:
    rank: from 1.
    model: its name.
    label: its class.
    distance: of the codes, at the best of the query's poses.
  """

  rank: int
  model: str
  label: str
  distance: float


def encode_poses(model: ShapeModel, mesh: Mesh) -> np.ndarray:
  """Returns the codes of a mesh in its four principal poses, [4, Z]."""
  return model.encode_voxels(_fill_poses(mesh))


def _fill_poses(mesh: Mesh) -> np.ndarray:
  vertices = place_mesh(mesh)
  return np.stack(
    [fill_voxels(vertices * signs, mesh.faces) for signs in _SIGNS]
  )


def encode_pair(
  model: ShapeModel,
  first: Mesh,
  second: Mesh,
  *,
  refinement: RefineConfig | None = None,
) -> np.ndarray:
  """Returns the codes of two meshes between which shapes are sought, [2, Z].

  The second one is taken in that of its four principal poses whose code is
  nearest to the first, so that a path between them does not turn it over.

  Args:
    model: of the codes.
    first: a mesh.
    second: another one.
    refinement: see `ShapeModel.encode`.
  """
  alone = fill_voxels(place_mesh(first), first.faces)
  voxels = np.concatenate([alone[None], _fill_poses(second)])
  codes = model.encode_voxels(voxels)
  nearest = 1 + np.linalg.norm(codes[1:] - codes[0], axis=-1).argmin()
  rows = [0, nearest]
  if refinement is None:
    return codes[rows]
  return model.refine_voxels(codes[rows], voxels[rows], config=refinement)


def find_by_code(
  database: "Database", model: ShapeModel, poses: np.ndarray, *, k: int
) -> list[CodeMatch]:
  """Returns the k models whose codes are nearest to that of a query.

  The first call makes the codes of all models, about a tenth of a second each,
  and keeps them in the database's folder. Later calls add what is new.

  Args:
    database: to search.
    model: that made the codes of the query.
    poses: float [Q, Z], codes of the query in Q poses; see `encode_poses`.
    k: number of models.

  Raises:
    EmptyError: the database has no indexed model.
  """
  names, codes = load_codes(database, model)
  labels = {each.name: each.label for each in database.models()}
  far = np.linalg.norm(codes[None] - poses[:, None], axis=-1).min(axis=0)
  order = np.argsort(far, kind="stable")[:k]
  return [
    CodeMatch(rank, names[i], labels[names[i]], float(far[i]))
    for rank, i in enumerate(order, start=1)
  ]


def load_codes(
  database: "Database", model: ShapeModel
) -> tuple[list[str], np.ndarray]:
  """Returns the names of all indexed models and their codes [B, Z].

  Raises:
    EmptyError: there are none.
  """
  names = [each.name for each in database.models() if each.state == INDEXED]
  if not names:
    raise EmptyError(f"{database.directory} has no model to search.")
  path = pathlib.Path(database.directory) / FILE
  version = _fingerprint(model)
  known = _read(path, version)
  found, changed = {}, False
  for start in range(0, len(names), _CHUNK):
    shapes = database.load_shapes(names[start : start + _CHUNK])
    keys = {
      name: hashlib.sha256(shape.mesh).hexdigest()
      for name, shape in shapes.items()
    }
    missing = [name for name in keys if keys[name] not in known]
    if missing:
      meshes = [unpack_mesh(shapes[name].mesh) for name in missing]
      codes = model.encode(meshes)
      known.update({keys[n]: c for n, c in zip(missing, codes, strict=True)})
      changed = True
    found.update({name: (keys[name], known[keys[name]]) for name in keys})
  if changed:
    # A folder that cannot be written is searched all the same.
    with contextlib.suppress(OSError):
      _write(path, version, dict(found.values()))
  names = [name for name in names if name in found]
  return names, np.stack([found[name][1] for name in names])


def _fingerprint(model: ShapeModel) -> str:
  weights = model.params["encoder"]["params"]
  digest = hashlib.sha256()
  for name in sorted(weights):
    if name.startswith("kernel"):
      digest.update(np.asarray(weights[name], np.float16).tobytes())
  return digest.hexdigest()


def _read(path: pathlib.Path, version: str) -> dict[str, np.ndarray]:
  """Codes by the digest of the mesh; empty if there are none to use."""
  try:
    with np.load(path, allow_pickle=False) as file:
      if str(file["version"]) != version:
        return {}
      return dict(zip(map(str, file["keys"]), file["codes"], strict=True))
  except (OSError, ValueError, KeyError, zipfile.BadZipFile):
    return {}


def _write(
  path: pathlib.Path, version: str, codes: dict[str, np.ndarray]
) -> None:
  with atomic_file(path) as partial, partial.open("wb") as file:
    np.savez(
      file,
      version=version,
      keys=np.array(list(codes)),
      codes=np.stack(list(codes.values())),
    )
