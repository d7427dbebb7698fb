"""The primitives of a glTF mesh become triangles.

Sections of the glTF 2.0 specification: 3.7.2.1 topology, 3.7.2.2 morph
targets; and the extension KHR_draco_mesh_compression.
"""

import dataclasses
from typing import Any

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.gltf_accessor import Document
from dr3d.mesh.io.polygon import split_fan, split_strip
from dr3d.mesh.io.raw import check_indices

_POINTS, _LINES, _TRIANGLES, _STRIP, _FAN = 0, (1, 2, 3), 4, 5, 6
_DRACO = "KHR_draco_mesh_compression"


@dataclasses.dataclass(eq=False)
class Primitive:
  """A part of a mesh.

  Attributes:
    vertices: float64 [V, 3].
    faces: int64 [F, 3].
    joints: [V, J], numbers of the joints that move a vertex; None without.
    weights: float64 [V, J], how much each of them does.
    points: number of points, which have no faces.
    lines: number of lines, likewise.
  """

  vertices: np.ndarray
  faces: np.ndarray
  joints: np.ndarray | None = None
  weights: np.ndarray | None = None
  points: int = 0
  lines: int = 0


def read_mesh(
  document: Document, number: int, weights: list
) -> list[Primitive]:
  """Returns the primitives of a mesh.

  Args:
    document: the file.
    number: of the mesh.
    weights: of its morph targets.

  Raises:
    MeshError: it cannot be read. The message is a predicate.
  """
  mesh = document.item("meshes", number)
  return [
    _read_primitive(document, primitive, weights)
    for primitive in mesh["primitives"]
  ]


def _read_primitive(
  document: Document, primitive: dict[str, Any], weights: list
) -> Primitive:
  attributes = primitive["attributes"]
  mode = primitive.get("mode", _TRIANGLES)
  nothing = np.zeros((0, 3)), np.zeros((0, 3), np.int64)
  if "POSITION" not in attributes:
    return Primitive(*nothing)  # 3.7.2.1: not to be drawn
  extensions = primitive.get("extensions", {})
  if _DRACO in extensions and not _has_fallback(document, primitive):
    numbers, corners = _read_draco(document, primitive, extensions[_DRACO])
    mode = _TRIANGLES if corners is not None else _POINTS
  else:
    numbers, corners = _read_plain(document, primitive)
  vertices = numbers["POSITION"]
  if vertices.shape[1] != 3:
    raise MeshError("has vertices without three coordinates; export it again")
  if corners is None:
    corners = np.arange(len(vertices))
  if mode == _POINTS:
    return Primitive(*nothing, points=len(corners))
  if mode in _LINES:
    return Primitive(*nothing, lines=len(corners))
  faces = _split(corners, mode)
  check_indices(faces, len(vertices))
  vertices = _morph(document, primitive, vertices, weights)
  return Primitive(
    vertices, faces, _stack(numbers, "JOINTS_"), _stack(numbers, "WEIGHTS_")
  )


def _split(corners: np.ndarray, mode: Any) -> np.ndarray:
  """Returns the triangles of a topology, int64 [F, 3]."""
  if mode == _TRIANGLES:
    if len(corners) % 3:
      raise MeshError(
        f"has {len(corners)} corners in a list of triangles, which is no "
        "multiple of three; export it again"
      )
    return corners.reshape(-1, 3)
  if mode == _STRIP:
    return split_strip(corners)
  if mode == _FAN:
    return split_fan(corners)
  raise MeshError(f"has a primitive of the unknown mode {str(mode)[:20]}")


def _morph(
  document: Document,
  primitive: dict[str, Any],
  vertices: np.ndarray,
  weights: list,
) -> np.ndarray:
  """Adds the morph targets that have a weight."""
  for weight, target in zip(
    weights, primitive.get("targets", []), strict=False
  ):
    if weight and "POSITION" in target:
      shift = document.read(target["POSITION"])
      if shift.shape != vertices.shape:
        raise MeshError("has a morph target of another size; export it again")
      vertices = vertices + weight * shift
  return vertices


def _stack(numbers: dict[str, np.ndarray], prefix: str) -> np.ndarray | None:
  """Joins the columns of JOINTS_0, JOINTS_1 and so on."""
  names = sorted(name for name in numbers if name.startswith(prefix))
  if not names:
    return None
  return np.concatenate([numbers[name] for name in names], axis=1)


def _has_fallback(document: Document, primitive: dict[str, Any]) -> bool:
  """Tells whether the numbers stand beside those that Draco packed."""
  numbers = [primitive["attributes"]["POSITION"]]
  numbers += [primitive["indices"]] if "indices" in primitive else []
  return all(document.has_data(number) for number in numbers)


def _read_draco(
  document: Document, primitive: dict[str, Any], extension: dict[str, Any]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
  """Returns the tables and the corners that Draco packed."""
  try:
    import DracoPy
  except ImportError as error:
    raise MeshError(
      "is compressed by Draco, which needs an extra of dr3d: pip install "
      "'dr3d[gltf]', or export it without compression"
    ) from error
  try:
    mesh = DracoPy.decode(document.view_bytes(extension["bufferView"]))
    tables = {
      name: np.asarray(mesh.get_attribute_by_unique_id(number)["data"])
      for name, number in extension["attributes"].items()
      if name.startswith(("POSITION", "JOINTS_", "WEIGHTS_"))
    }
    faces = np.asarray(mesh.faces, np.int64).reshape(-1)
  except MeshError:
    raise
  except Exception as error:
    raise MeshError(
      "is compressed by Draco and damaged; export it again"
    ) from error
  return _scale(document, primitive, tables), faces


def _read_plain(
  document: Document, primitive: dict[str, Any]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
  """Returns the tables of a primitive, and its corners if it lists them."""
  numbers = {
    name: document.read(number, exact=name.startswith("JOINTS"))
    for name, number in primitive["attributes"].items()
    if name.startswith(("POSITION", "JOINTS_", "WEIGHTS_"))
  }
  if "indices" not in primitive:
    return numbers, None
  return numbers, document.read(primitive["indices"], exact=True)[:, 0]


def _scale(
  document: Document,
  primitive: dict[str, Any],
  tables: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Returns float64 tables; integers are normalised if their accessor says."""
  result = {}
  for name, table in tables.items():
    accessor = document.item("accessors", primitive["attributes"][name])
    scale = 1.0
    if accessor.get("normalized") and table.dtype.kind in "iu":
      scale = float(np.iinfo(table.dtype).max)
    result[name] = np.maximum(table / scale, -1 if scale > 1 else -np.inf)
  if "POSITION" not in result:
    raise MeshError("is compressed by Draco without positions; export it again")
  return result
