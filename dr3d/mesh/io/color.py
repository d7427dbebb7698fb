"""Colours of a file's surface, and their transfer to a mesh made of it.

Search looks at shape alone unless a pipeline is trained with appearance. Then
the colours of vertices, materials and pictures are read here, with trimesh, and
put on the corners of the mesh after it was cleaned and simplified: each corner
has the mean colour of the surface around it. A picture within one large face is
therefore blurred.

Colours are kept as they are stored, without gamma, in steps of 1/255.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.spatial
import trimesh
from PIL import Image

from dr3d.mesh.surface import cross_products, normalize

Paint = Callable[[np.ndarray], np.ndarray | None]
"""Corners [F, 3, 3] of a mesh in the unit of the file → their colours, float32
[F, 3, 3] red, green and blue in [0, 1]; None if they are not on the surface."""

SUFFIXES = (".dae", ".glb", ".gltf", ".obj", ".off", ".ply")
"""Files that can have colours; trimesh reads none of the others."""

_SAMPLES_PER_FACE, _SAMPLES_MIN, _SAMPLES_MAX = 24, 4000, 60_000
_NEIGHBOURS = 8  # samples that the colour of a corner is the mean of
# Share by which a corner is moved to the middle of its face, so that it does
# not take the colour of the face beside it.
_INSET = 0.3
_SLACK = 0.02  # of the size, by which a mesh may reach beyond the surface
_STEPS = 255


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """A body with one material.

  Attributes:
    vertices: [V, 3].
    faces: int [F, 3].
    colors: [F, 3, 3] red, green and blue of corners, in [0, 1].
    uv: [F, 3, 2] where the corners are in the picture; v upwards.
    picture: None if it has none.
  """

  vertices: np.ndarray
  faces: np.ndarray
  colors: np.ndarray
  uv: np.ndarray
  picture: Image.Image | None

  @property
  def is_white(self) -> bool:
    """Whether it has no colour of its own."""
    return self.picture is None and bool((self.colors == 1).all())


def read_parts(path: pathlib.Path) -> list[Part]:
  """Reads the bodies of a file with their colours.

  Raises:
    Exception: of many kinds; trimesh cannot read the file.
  """
  scene = trimesh.load_scene(path, process=False)
  found = [_read_part(each) for each in scene.dump()]
  return [part for part in found if part is not None and len(part.faces)]


def make_paint(path: pathlib.Path) -> Paint | None:
  """Returns what paints a mesh of a file; None if the file has no colours.

  A file that trimesh cannot read has no colours either: its shape is read by
  the readers of dr3d, which say what is wrong with it.
  """
  if path.suffix.lower() not in SUFFIXES:
    return None
  try:
    parts = read_parts(path)
  except Exception:  # trimesh raises many kinds
    return None
  if all(part.is_white for part in parts):
    return None
  return _make_paint(parts)


def paint_from(
  vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray
) -> Paint:
  """Returns what paints a mesh like another one.

  Args:
    vertices: [V, 3] of the other one.
    faces: int [F, 3].
    colors: [F, 3, 3].
  """
  uv = np.zeros((len(faces), 3, 2))
  return _make_paint([Part(vertices, faces, colors, uv, None)])


def _make_paint(parts: Sequence[Part]) -> Paint:
  def paint(corners: np.ndarray) -> np.ndarray | None:
    count = _SAMPLES_PER_FACE * len(corners)
    points, normals, colors = sample_surface(
      parts, int(np.clip(count, _SAMPLES_MIN, _SAMPLES_MAX))
    )
    return transfer_colors(points, normals, colors, corners)

  return paint


def sample_surface(
  parts: Sequence[Part], count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws points of a surface, the same ones in each call.

  Args:
    parts: bodies of a file.
    count: P.

  Returns:
    Points, unit normals and colours, [P, 3] each.
  """
  rng = np.random.default_rng(0)
  corners = np.concatenate([part.vertices[part.faces] for part in parts])
  owner = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
  flat = corners.reshape(-1, 3)
  product = cross_products(flat, np.arange(len(flat)).reshape(-1, 3))
  area = np.linalg.norm(product, axis=1)
  face = rng.choice(len(area), count, p=area / area.sum())
  weight = rng.dirichlet(np.ones(3), count)[:, :, None]
  colors = np.concatenate([part.colors for part in parts])[face]
  uv = np.concatenate([part.uv for part in parts])[face]
  mixed = (weight * colors).sum(axis=1)
  place = (weight * uv).sum(axis=1)
  for i, part in enumerate(parts):
    if part.picture is not None:
      chosen = owner[face] == i
      mixed[chosen] *= _look_up(part.picture, place[chosen])
  points = (weight * corners[face]).sum(axis=1)
  return points, normalize(product)[face], mixed


def transfer_colors(
  points: np.ndarray,
  normals: np.ndarray,
  colors: np.ndarray,
  corners: np.ndarray,
) -> np.ndarray | None:
  """Gives each corner of a mesh the colour of the surface around it.

  Args:
    points: [P, 3] of the surface.
    normals: [P, 3] there; points that face away do not count, so that the two
      sides of a sheet keep their colours.
    colors: [P, 3] there.
    corners: [F, 3, 3] of the mesh.

  Returns:
    float32 [F, 3, 3], in steps of 1/255; None if the mesh is elsewhere.
  """
  low, high = points.min(axis=0), points.max(axis=0)
  slack = _SLACK * (high - low).max()
  if ((corners < low - slack) | (corners > high + slack)).any():
    return None
  middle = corners.mean(axis=1, keepdims=True)
  asked = (corners + _INSET * (middle - corners)).reshape(-1, 3)
  flat = corners.reshape(-1, 3)
  face = normalize(cross_products(flat, np.arange(len(flat)).reshape(-1, 3)))
  tree = scipy.spatial.cKDTree(points)
  _, near = tree.query(asked, k=min(_NEIGHBOURS, len(points)))
  near = near.reshape(len(asked), -1)
  along = (normals[near] * np.repeat(face, 3, axis=0)[:, None]).sum(axis=2) > 0
  along |= ~along.any(axis=1, keepdims=True)
  weight = along / along.sum(axis=1, keepdims=True)
  mixed = (weight[:, :, None] * colors[near]).sum(axis=1)
  return round_colors(mixed.reshape(corners.shape))


def round_colors(colors: np.ndarray) -> np.ndarray:
  """Colours in the steps in which they are stored, float32."""
  steps = np.rint(np.clip(colors, 0, 1) * _STEPS)
  return (steps / _STEPS).astype(np.float32)


def _read_part(body: Any) -> Part | None:
  """Reads a body of trimesh; None if it is not a surface."""
  if not isinstance(body, trimesh.Trimesh):
    return None
  F = len(body.faces)
  colors, uv, picture = np.ones((F, 3, 3)), np.zeros((F, 3, 2)), None
  visual: Any = body.visual
  if visual.kind == "texture":
    material = visual.material
    picture = getattr(material, "baseColorTexture", None) or getattr(
      material, "image", None
    )
    factor = getattr(material, "baseColorFactor", None)
    if factor is None and picture is None:
      factor = getattr(material, "diffuse", None)
    if factor is not None:
      colors = colors * _to_unit(factor)
    if picture is not None and visual.uv is not None:
      uv = np.asarray(visual.uv)[body.faces]
  elif visual.kind == "face":
    colors = np.repeat(_to_unit(visual.face_colors)[:, None], 3, axis=1)
  elif visual.kind == "vertex":
    colors = _to_unit(visual.vertex_colors)[body.faces]
  return Part(np.asarray(body.vertices), body.faces, colors, uv, picture)


def _look_up(picture: Image.Image, uv: np.ndarray) -> np.ndarray:
  """The nearest texels of a picture that repeats: [P, 3] in [0, 1]."""
  texels = np.asarray(picture.convert("RGB"), np.float64) / _STEPS
  height, width = texels.shape[:2]
  column = np.floor(uv[:, 0] * width).astype(int) % width
  row = np.floor((1 - uv[:, 1]) * height).astype(int) % height
  return texels[row, column]


def _to_unit(colors: Any) -> np.ndarray:
  """Red, green and blue in [0, 1], of bytes or of numbers up to 1."""
  colors = np.asarray(colors)
  scale = _STEPS if np.issubdtype(colors.dtype, np.integer) else 1
  return np.asarray(colors[..., :3], np.float64) / scale
