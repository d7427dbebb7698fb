"""A model file becomes what a database keeps of it.

Runs in the processes that read files, so it imports no jax.
"""

import dataclasses
import hashlib
import importlib
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from dr3d.mesh import Mesh, build_mesh, thumbnail
from dr3d.mesh.box import Measure
from dr3d.mesh.io.format import READERS, prepare_reader
from dr3d.mesh.io.reader import RawMesh, read_raw
from dr3d.mesh.surface import cross
from dr3d.mesh.unit import ASSUMED, UNITS, Unit, name_unit
from dr3d.runtime.hashing import MIX

if TYPE_CHECKING:
  from dr3d.mesh.io.color import Paint

# Two odd constants give two independent sums, together 128 bits. The second is
# the second prime of xxHash64 (Y. Collet).
_MIX = (MIX, np.uint64(0xC2B2AE3D27D4EB4F))
# What readers and thumbnails import when they need it; see `worker`. Without
# them each fork imports them again: 9 ms for the plugins that Pillow loads when
# it writes its first file. Open CASCADE is not among them: its 290 MB make each
# fork 12 ms slower, so `prepare` imports it for the first file that needs it.
PRELOAD = (
  *READERS,
  *(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Png", "Ppm")),
)

COLOR_MODULES = (
  "dr3d.mesh.io.color",
  "trimesh.exchange.obj",
  "trimesh.exchange.gltf",
  "trimesh.exchange.ply",
  "trimesh.visual.material",
)
"""What the colours of a file need, likewise; 0.3 s, so only if they count."""


def prepare(
  *, path: pathlib.Path, appearance: bool = False, **options: object
) -> None:
  """Imports what `read_processed_model` needs for a file; see `worker`."""
  del options
  prepare_reader(path)
  if appearance:
    for name in COLOR_MODULES:
      importlib.import_module(name)


@dataclasses.dataclass(frozen=True, eq=False)
class ProcessedModel:
  """A model file, read.

  Attributes:
    mesh: simplified; radius and extent in millimetres.
    geometry: hash of the triangles at their true size, in any order; empty if
      it is not known.
    unit: of the file; "mm, assumed" if it does not state one.
    body_count: number of bodies in the file.
    area: of the whole surface, before it was simplified, square millimetres.
    volume: inside it, cubic millimetres; see `model.Model`.
    thumbnail: a small PNG; empty if none was drawn.
    preview: a GLB for a viewer; empty unless a service asked for one.
    warnings: what the mesh lacks, or what was assumed; see `RawMesh`.
  """

  mesh: Mesh
  geometry: str = ""
  unit: str = ""
  body_count: int = 1
  area: float | None = None
  volume: float | None = None
  thumbnail: bytes = b""
  preview: bytes = b""
  warnings: tuple[str, ...] = ()


def read_processed_model(
  path: str | pathlib.Path,
  *,
  face_budget: int | None,
  unit: Unit = "mm",
  appearance: bool = False,
) -> ProcessedModel:
  """Reads a model file.

  Args:
    path: a file with an extension of `reader.FORMATS`.
    face_budget: simplify to at most this many faces; None keeps all.
    unit: assumed if the file does not state one.
    appearance: whether to read the colours of the surface.

  Raises:
    MeshError: the file cannot become a mesh; the message says which and why.
  """
  return process_mesh(
    read_raw(path),
    path,
    face_budget=face_budget,
    unit=unit,
    appearance=appearance,
  )


def process_mesh(
  raw: RawMesh,
  path: str | pathlib.Path,
  *,
  face_budget: int | None,
  unit: str = "mm",
  appearance: bool = False,
) -> ProcessedModel:
  """Makes what a database keeps of the triangles of a file.

  Args:
    raw: the content of the file.
    path: names the file in messages.
    face_budget: see `read_processed_model`.
    unit: see `read_processed_model`.
    appearance: see `read_processed_model`.

  Raises:
    MeshError: the triangles cannot become a mesh.
  """
  length = raw.unit or UNITS[unit]
  vertices = raw.vertices * length
  paint = _make_paint(pathlib.Path(path), length) if appearance else None
  mesh = build_mesh(
    vertices,
    raw.faces,
    face_budget,
    str(path),
    measure=_scale(raw.measure, length),
    paint=paint,
  )
  notes = [f"has {describe_debris(mesh.debris)}"] if mesh.debris else []
  if paint is not None and mesh.colors is None:
    notes.append(
      "has colours that do not lie on its surface; it counts as white"
    )
  return ProcessedModel(
    mesh,
    hash_geometry(vertices, raw.faces),
    name_unit(raw.unit) if raw.unit else f"{unit}{ASSUMED}",
    raw.body_count,
    *_measure(vertices, raw.faces),
    thumbnail.draw(mesh),
    warnings=(*raw.warnings, *notes),
  )


def describe_debris(count: int) -> str:
  """Says how many pieces of a scan were left out, without a verb."""
  pieces = "a small piece" if count == 1 else f"{count} small pieces"
  return f"{pieces} apart from the main body, left out as debris"


def _scale(measure: Measure | None, length: float) -> Measure | None:
  """Makes a measure in the unit of a file one in millimetres."""
  if measure is None:
    return None
  return lambda frame: measure(frame) * length


def _make_paint(path: pathlib.Path, length: float) -> "Paint | None":
  """What paints a mesh in millimetres; see `color.make_paint`."""
  from dr3d.mesh.io.color import make_paint  # imports trimesh

  paint = make_paint(path)
  return None if paint is None else lambda corners: paint(corners / length)


def _measure(vertices: np.ndarray, faces: np.ndarray) -> tuple[float, float]:
  """Returns area and volume, the latter from the centre of the box."""
  corners = vertices[faces]
  low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
  corners = corners - (low + high) / 2
  normal = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  volume = (corners[:, 0] * normal).sum() / 6
  return float(np.linalg.norm(normal, axis=1).sum() / 2), float(abs(volume))


def hash_geometry(vertices: np.ndarray, faces: np.ndarray) -> str:
  """Hash of a set of oriented triangles, in float32.

  The hash does not depend on the order of vertices, of triangles, or on the
  corner that a triangle begins with, so the same triangles in another file
  format have the same hash. It is a sum of 128-bit hashes of the triangles.

  Args:
    vertices: float [V, 3].
    faces: int [F, 3].
  """
  with np.errstate(over="ignore"):
    rows = np.asarray(vertices, np.float32) + np.float32(0)  # no negative zero
    bits = rows.view(np.uint32).astype(np.uint64)
    sums = []
    for mix in _MIX:
      corner = _scramble(bits[:, 0], mix)
      for axis in (1, 2):
        corner = _scramble(corner ^ bits[:, axis], mix)
      corner = corner[faces]
      edges = [
        _scramble(corner[:, k] + mix * corner[:, (k + 1) % 3], mix)
        for k in range(3)
      ]
      sums.append(int(_scramble(edges[0] + edges[1] + edges[2], mix).sum()))
  return hashlib.sha256(repr((len(faces), sums)).encode()).hexdigest()[:32]


def _scramble(numbers: np.ndarray, mix: np.uint64) -> np.ndarray:
  """Spreads every bit of 64-bit numbers over all bits.

  Multiply and shift, as finalizers of hash functions do. The shifts are part of
  stored hashes.
  """
  for shift in (np.uint64(32), np.uint64(29)):
    numbers = (numbers ^ (numbers >> shift)) * mix  # wraps, as a hash should
  return numbers ^ (numbers >> np.uint64(32))
