"""The geometry of a COLLADA file becomes triangles.

COLLADA 1.4.1, chapter 5: mesh, triangles, trifans, tristrips, polylist,
polygons with holes, convex_mesh.
"""

import dataclasses

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.polygon import (
  split_corners,
  split_fan,
  split_rings,
  split_strip,
  triangulate,
)
from dr3d.mesh.io.raw import Geometry
from dr3d.mesh.io.xml import Element, child, children, local_name, to_floats

_SURFACES = ("triangles", "trifans", "tristrips", "polylist", "polygons")
_LINES = ("lines", "linestrips")


@dataclasses.dataclass(eq=False)
class Primitives:
  """What a geometry holds.

  Attributes:
    bodies: one, or none if there is not a surface.
    points: vertices without a surface.
    lines: groups of lines, which are no surface.
  """

  bodies: list[Geometry]
  points: int = 0
  lines: int = 0


def read_mesh(geometry: Element, ids: dict[str, Element | None]) -> Primitives:
  """Reads a geometry.

  Args:
    geometry: the element.
    ids: elements of the file by their id.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  mesh = child(geometry, "mesh")
  if mesh is None:
    mesh = child(geometry, "convex_mesh")
  if mesh is None or mesh.get("convex_hull_of"):
    kinds = [
      local_name(e) for e in geometry if local_name(e) not in ("asset", "extra")
    ]
    kind = kinds[0] if kinds else "nothing"
    raise MeshError(
      f"has a geometry of the kind {kind[:40]}, which cannot be read; export "
      "it as polygons"
    )
  bodies = []
  lines = 0
  for element in mesh:
    kind = local_name(element)
    if kind in _SURFACES:
      bodies.append(_read_surface(element, ids))
    elif kind in _LINES:
      lines += 1
  points = 0
  if not bodies and not lines:
    points = sum(len(_read_source(e, ids)) for e in children(mesh, "vertices"))
  starts = np.cumsum([0, *(len(v) for v, _ in bodies)])
  if not bodies:
    return Primitives([], points, lines)
  faces = [f + start for (_, f), start in zip(bodies, starts, strict=False)]
  body = np.concatenate([v for v, _ in bodies]), np.concatenate(faces)
  return Primitives([body], points, lines)


def _read_surface(element: Element, ids: dict[str, Element | None]) -> Geometry:
  """Returns the vertices and triangles of one primitive element."""
  inputs = children(element, "input")
  try:
    width = 1 + max(int(entry.get("offset", "0")) for entry in inputs)
    (source,) = {
      (int(entry.get("offset", "0")), entry.get("source"))
      for entry in inputs
      if entry.get("semantic") == "VERTEX"
    }
  except ValueError as error:
    raise MeshError(
      "has a surface without an input for its vertices; export it again"
    ) from error
  offset, url = source
  vertices = _read_source(_find_source(url, ids), ids)
  kind = local_name(element)
  lists = [
    _corners(p, width, offset, len(vertices)) for p in children(element, "p")
  ]
  match kind:
    case "triangles":
      corners = np.concatenate([*lists, np.zeros(0, np.int64)])
      if len(corners) % 3:
        raise MeshError("has a list of triangles that is cut; export it again")
      faces = corners.reshape(-1, 3)
      count = element.get("count")
      # The schema allows one list; with two, the count says what is meant.
      exact = len(lists) > 1 and int(count or 0) != len(faces)
      if exact or int(count or 0) > len(faces):
        raise _miscounted(int(count or 0), len(faces))
    case "trifans":
      faces = _concatenate([split_fan(corners) for corners in lists])
    case "tristrips":
      faces = _concatenate([split_strip(corners) for corners in lists])
    case "polylist":
      sizes, corners = _read_sizes(element, lists)
      faces = split_corners(vertices, corners, sizes)
    case _:
      faces = _read_polygons(element, vertices, lists, width, offset)
  return vertices, faces


def _read_sizes(
  element: Element, lists: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the sizes of the polygons of a polylist, and their corners."""
  counts = child(element, "vcount")
  sizes = to_floats(None if counts is None else counts.text, "a vcount")
  corners = np.concatenate([*lists, np.zeros(0, np.int64)])
  if (sizes < 0).any() or sizes.sum() != len(corners):
    raise _miscounted(int(sizes.sum()), len(corners))
  return sizes.astype(np.int64), corners


def _read_polygons(
  element: Element,
  vertices: np.ndarray,
  lists: list[np.ndarray],
  width: int,
  offset: int,
) -> np.ndarray:
  """Returns the triangles of polygons, some of which have holes."""
  faces = [triangulate(vertices, lists)]
  for holed in children(element, "ph"):
    rings = [
      _corners(ring, width, offset, len(vertices))
      for ring in [*children(holed, "p"), *children(holed, "h")]
    ]
    rings = [ring for ring in rings if len(ring) >= 3]
    if rings:
      faces.append(split_rings(vertices, rings))
  return _concatenate(faces)


def _corners(
  element: Element, width: int, offset: int, count: int
) -> np.ndarray:
  """Returns the vertex numbers of a list of corners, int64 [N]."""
  numbers = to_floats(element.text, "a list of corners").astype(np.int64)
  if len(numbers) % width:
    raise MeshError("has a list of corners that is cut; export it again")
  corners = numbers.reshape(-1, width)[:, offset]
  wrong = corners[(corners < 0) | (corners >= count)]
  if len(wrong):
    raise MeshError(
      f"has a face with vertex number {wrong[0]}, but its vertices have the "
      f"numbers 0 to {count - 1}; export it again"
    )
  return corners


def _read_source(
  element: Element, ids: dict[str, Element | None]
) -> np.ndarray:
  """Returns the positions [V, 3] of a vertices or source element."""
  if local_name(element) == "vertices":
    for entry in children(element, "input"):
      if entry.get("semantic") == "POSITION":
        return _read_source(_find_source(entry.get("source"), ids), ids)
    raise MeshError("has vertices without positions; export it again")
  if local_name(element) != "source":
    raise MeshError("has vertices without a source; export it again")
  accessor = child(child(element, "technique_common"), "accessor")
  array = child(element, "float_array")
  url = None if accessor is None else accessor.get("source")
  # Its own array first: some writers give two arrays one id.
  if url and (array is None or url != f"#{array.get('id')}"):
    array = _find_source(url, ids)
  numbers = to_floats(None if array is None else array.text, "a source")
  if accessor is None:
    count, stride, start = len(numbers) // 3, 3, 0
  else:
    count = int(accessor.get("count", "0"))
    stride = int(accessor.get("stride", "1"))
    start = int(accessor.get("offset", "0"))
  if stride < 3 or start < 0 or count < 0:
    raise MeshError("has vertices without three coordinates; export it again")
  need = start + stride * (count - 1) + 3 if count else 0
  if need > len(numbers):
    raise _miscounted(need, len(numbers))
  rows = np.arange(count)[:, None] * stride + start + np.arange(3)
  return numbers[rows]


def find_element(
  name: str, ids: dict[str, Element | None], kind: str
) -> Element:
  """Returns the element that a reference within the file names.

  Args:
    name: its id.
    ids: elements by their id, None for an id that two have.
    kind: what messages call it.

  Raises:
    MeshError: there is none, or there are two. The message is a predicate.
  """
  element = ids.get(name)
  if element is None:
    reason = "which it has twice" if name in ids else "which it lacks"
    raise MeshError(
      f"refers to the {kind} {name[:100]!r}, {reason}; export it again"
    )
  return element


def _find_source(url: str | None, ids: dict[str, Element | None]) -> Element:
  return find_element((url or "").strip().removeprefix("#"), ids, "source")


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
  return np.concatenate([*parts, np.zeros((0, 3), np.int64)])


def _miscounted(announced: int, found: int) -> MeshError:
  return MeshError(
    f"is damaged: it announces {announced} numbers or triangles in a list of "
    f"{found}; export it again"
  )
