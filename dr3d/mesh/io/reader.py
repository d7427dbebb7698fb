"""A mesh file becomes raw vertices and faces, or one clear MeshError.

The formats but STL are read by trimesh, which answers a damaged file with
whatever exception its parser happened to meet, or with a part of the
geometry. Here every such case ends as a MeshError that names the file. STEP
files are cut into triangles by OpenCASCADE first, where cascadio is installed.
"""

import dataclasses
import io
import os
import pathlib
from typing import Any

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io import inspection, ply, stl
from dr3d.mesh.unit import UNITS, parse_unit
from dr3d.runtime.output import suppress_output

FORMATS = (
  "stl",
  "obj",
  "ply",
  "off",
  "glb",
  "gltf",
  "3mf",
  "dae",
  "step",
  "stp",
)
"""File name extensions that can be read."""

_CAD = ("iges", "igs", "brep", "fcstd", "sldprt", "ipt", "x_t")
_WITH_MATERIALS = ("obj", "ply", "glb", "gltf")
_FACE_LIMIT = 50_000_000  # a small file can hold one body a million times

_DEFLECTION = 0.01  # of an edge's length: how far STEP's triangles may stray
_BEND = 0.3  # radians between two of them

_Geometry = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class RawMesh:
  """What a file holds.

  Attributes:
    vertices: float64 [V, 3], in the unit of the file.
    faces: int64 [F, 3], F > 0; indices and coordinates are not yet checked.
    unit: millimetres of the file's unit; None where it does not say.
    body_count: bodies with faces that the file lists.
  """

  vertices: np.ndarray
  faces: np.ndarray
  unit: float | None
  body_count: int


def read_geometry(path: str | pathlib.Path) -> _Geometry:
  """Returns vertices and faces as `read_raw` does, and no more."""
  raw = read_raw(path)
  return raw.vertices, raw.faces


def read_raw(path: str | pathlib.Path) -> RawMesh:
  """Returns all triangles of a file, bodies joined with their transforms.

  Polygons are split into triangles. Nothing is welded, dropped or scaled.
  A file that was cut off is refused wherever its format shows it; OBJ does
  not between two lines.

  Args:
    path: a file whose name ends as one of FORMATS.

  Raises:
    MeshError: the file is missing, unreadable, damaged, of another format or
      without faces.
  """
  path = pathlib.Path(path)
  extension = path.suffix.lower().lstrip(".")
  data = _read_bytes(path, extension)
  try:
    with np.errstate(all="ignore"):
      bodies, unit = _read_bodies(path, extension, data)
  except MeshError as error:
    raise MeshError(f"{path} {error}.") from error
  except MemoryError as error:
    raise MeshError(
      f"{path} needs more memory than it may have; allow more, or simplify it."
    ) from error
  except Exception as error:
    raise MeshError(
      f"{path} cannot be read as {extension.upper()}: it is damaged or of "
      f"another format ({_describe(error)}); export it again."
    ) from error
  bodies = [(vertices, faces) for vertices, faces in bodies if len(faces)]
  if not bodies:
    raise MeshError(f"{path} has no faces.")
  return RawMesh(*_join(bodies), unit, len(bodies))


def _read_bytes(path: pathlib.Path, extension: str) -> bytes:
  """Returns the content of a file of a known kind."""
  if os.path.isdir(path):
    raise MeshError(f"{path} is a directory, not a mesh file.")
  if extension not in FORMATS:
    known = ", ".join(f".{name}" for name in FORMATS)
    ending = f'ends in ".{extension}"' if extension else "has no extension"
    advice = (
      "export it as STL or 3MF"
      if extension in _CAD
      else "convert it to one of these"
    )
    raise MeshError(f"{path} {ending}, but only {known} can be read; {advice}.")
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    raise MeshError(f"{path} does not exist.") from None
  except (OSError, ValueError, MemoryError) as error:
    reason = getattr(error, "strerror", None) or error or "out of memory"
    raise MeshError(f"{path} cannot be read: {reason}.") from error
  if not data.strip(b"\0 \t\r\n"):
    raise MeshError(f"{path} is empty.")
  if data.startswith(b"version https://git-lfs"):
    raise MeshError(
      f"{path} is only a pointer to a file in Git LFS; run git lfs pull."
    )
  return data


def _read_bodies(
  path: pathlib.Path, extension: str, data: bytes
) -> tuple[list[_Geometry], float | None]:
  """Returns every body, moved to its place, and the unit in millimetres.

  Raises:
    MeshError: a reason found here, as the predicate of a sentence.
    Exception: whatever a parser stumbled over.
  """
  match extension:
    case "stl":
      return [stl.read_stl(data)], None
    case "obj":
      data = inspection.tidy_obj(data)
    case "off":
      data = inspection.tidy_off(data)
    case "ply":
      data = ply.tidy_ply(data)
    case "3mf":
      data = inspection.check_archive(data)
    case "glb" | "gltf":
      data = inspection.check_gltf(data, path.parent)
    case "step" | "stp":
      extension, data = "glb", _tessellate(data)
  try:
    return _read_scene(path, extension, data)
  except Exception:
    if extension != "ply" or not ply.is_binary(data):
      raise
    return [ply.read_polygons(data)], None


def _tessellate(data: bytes) -> bytes:
  """Returns a STEP file's surfaces as triangles in GLB."""
  if not data.lstrip()[:12].upper().startswith(b"ISO-10303-21"):
    raise MeshError('is no STEP file: it does not begin with "ISO-10303-21"')
  try:
    import cascadio
  except ImportError as error:
    raise MeshError(
      "is a STEP file, which needs an extra of dr3d: pip install 'dr3d[step]', "
      "or export it as STL or 3MF"
    ) from error
  with suppress_output(1), suppress_output(2):
    triangles = cascadio.load(
      data,
      file_type="step",
      tol_linear=_DEFLECTION,
      tol_angular=_BEND,
      tol_relative=True,
      use_parallel=False,
    )
  if not triangles:
    raise MeshError("is damaged or holds no solid; export it again")
  return triangles


def _read_scene(
  path: pathlib.Path, extension: str, data: bytes
) -> tuple[list[_Geometry], float | None]:
  """Lets trimesh read a file."""
  import trimesh  # takes half a second, and STL does without

  # without materials no picture is opened, which would be time and a risk
  options: dict[str, Any] = {}
  if extension in _WITH_MATERIALS:
    options["skip_materials"] = True
  if extension == "dae":
    options["ignore_broken"] = False  # or bodies would be left out unsaid
  scene = trimesh.load_scene(
    io.BytesIO(data),
    file_type=extension,
    # trimesh calls the bodies after the file, whose name may be no UTF-8
    resolver=trimesh.resolvers.FilePathResolver(str(path.with_name("model"))),
    process=False,
    **options,
  )
  bodies, total = [], 0
  for node in scene.graph.nodes_geometry:
    transform, name = scene.graph[node]
    body = scene.geometry[name]
    if not isinstance(body, trimesh.Trimesh):
      continue
    total += len(body.faces)
    if total > _FACE_LIMIT:
      raise MeshError(f"has more than {_FACE_LIMIT} faces; simplify it first")
    bodies.append(_place(body.vertices, body.faces, transform))
  if extension in ("glb", "gltf"):
    return bodies, UNITS["m"]
  return bodies, parse_unit(scene.units)


def _place(
  vertices: np.ndarray, faces: np.ndarray, transform: np.ndarray
) -> _Geometry:
  """Applies a 4×4 transform; a mirror turns the faces round as well."""
  vertices, faces = np.array(vertices, np.float64), np.array(faces, np.int64)
  if vertices.shape[1:] != (3,):
    raise MeshError("has vertices without three coordinates; export it again")
  if not np.array_equal(transform, np.eye(4)):
    vertices = vertices @ transform[:3, :3].T + transform[:3, 3]
    if np.linalg.det(transform[:3, :3]) < 0:
      faces = faces[:, ::-1]
  return vertices, faces


def _join(bodies: list[_Geometry]) -> _Geometry:
  """Stacks bodies into one pair of arrays."""
  starts = np.cumsum([0] + [len(vertices) for vertices, _ in bodies])
  moved = [
    faces + start for (_, faces), start in zip(bodies, starts, strict=False)
  ]
  return np.concatenate([v for v, _ in bodies]), np.concatenate(moved)


def _describe(error: Exception) -> str:
  """Returns kind and first line of an exception, for use in a sentence."""
  lines = str(error).strip().splitlines()
  line = lines[0].strip().rstrip(".")[:120] if lines else ""
  return f"{type(error).__name__}: {line}" if line else type(error).__name__
