"""COLLADA files, .dae and .zae: COLLADA 1.4.1 and 1.5, The Khronos Group.

Only geometry and where it stands is looked at: cameras, lights, materials
and effects may be missing or broken. The axes stay as they are in the file.
"""

import pathlib
import urllib.parse

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.archive import Archive
from dr3d.mesh.io.assembly import Assembly
from dr3d.mesh.io.collada_mesh import find_element, read_mesh
from dr3d.mesh.io.raw import RawMesh, join_bodies, points_only
from dr3d.mesh.io.xml import (
  Element,
  child,
  children,
  local_name,
  parse_xml,
  to_floats,
)
from dr3d.mesh.unit import UNITS, parse_factor

_ZIP = b"PK\3\4"
_TRANSFORMS = ("matrix", "translate", "rotate", "scale", "lookat", "skew")


def read_collada(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads a COLLADA file, or a zip archive of one.

  A skinned mesh stands in its bind shape, a morphed one in its base shape.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  del path
  if data.startswith(_ZIP):
    data = _unpack(data)
  root = parse_xml(data, "the file")
  if local_name(root) != "COLLADA":
    raise MeshError("is not a COLLADA file: its root is not a COLLADA element")
  return _Scene(root).read()


def is_collada(head: bytes) -> bool:
  """Tells whether a file begins as a COLLADA file does."""
  return b"<COLLADA" in head[:4096]


def _unpack(data: bytes) -> bytes:
  """Returns the COLLADA file of a .zae archive (1.5, section 6.2)."""
  archive = Archive(data, "ZAE")
  files = [name for name in archive.names if name.lower().endswith(".dae")]
  if "/manifest.xml" in archive:
    manifest = parse_xml(archive.read("/manifest.xml"), "its manifest")
    name = child(manifest, "dae_root")
    text = manifest.text if name is None else name.text
    target = urllib.parse.unquote((text or "").strip()).removeprefix("./")
    if target and target in archive:
      return archive.read(target)
  if len(files) != 1:
    raise MeshError(
      f"is a zip archive with {len(files)} COLLADA files, of which none is "
      "named as its root; export it again"
    )
  return archive.read(files[0])


class _Scene:
  """The nodes of a file, on the way to triangles."""

  def __init__(self, root: Element):
    self._root = root
    self._ids = _find_ids(root)
    self._assembly = Assembly()
    self._counts = [0, 0]  # points without a surface, and lines

  def read(self) -> RawMesh:
    """Returns the triangles of the scene that the file names."""
    # Keys are the elements themselves: lxml makes another object for an
    # element that nothing holds.
    scene = self._find_scene()
    waiting, done = [scene], set()
    while waiting:
      element = waiting.pop()
      if element in done:
        continue
      done.add(element)
      transform = _read_transform(element)
      for node in self._inner_nodes(element):
        waiting.append(node)
        self._assembly.place(element, node, transform)
      self._add_instances(element, transform)
    bodies, count = self._assembly.expand(scene)
    points, lines = self._counts
    if not count and points:
      raise points_only(points)
    warnings = []
    if lines:
      warnings.append(f"has {lines} groups of lines, which were left out")
    return join_bodies(
      bodies,
      unit=self._unit(),
      body_count=count,
      warnings=warnings,
      runs=self._assembly.runs,
    )

  def _unit(self) -> float:
    """Returns the millimetres of the file's unit; a metre by default."""
    unit = child(child(self._root, "asset"), "unit")
    meter = "1" if unit is None else unit.get("meter", "1")
    return parse_factor(meter, f"meter={meter}") * UNITS["m"]

  def _find_scene(self) -> Element:
    """Returns the scene to show: the one named, or the only one there is."""
    instance = child(child(self._root, "scene"), "instance_visual_scene")
    if instance is not None:
      return self._refer(instance.get("url"), "visual_scene")
    library = child(self._root, "library_visual_scenes")
    scenes = children(library, "visual_scene")
    if scenes:
      return scenes[0]
    return self._lone_geometries()

  def _lone_geometries(self) -> Element:
    """Returns a scene that places every geometry once, of a file without."""
    from lxml import etree

    scene = etree.Element("visual_scene")
    for geometry in self._root.iter("{*}geometry"):
      url = "#" + (geometry.get("id") or "")
      etree.SubElement(scene, "instance_geometry", url=url)
    return scene

  def _refer(self, url: str | None, kind: str) -> Element:
    """Returns the element that a URL within the file names."""
    file, _, name = (url or "").strip().partition("#")
    if file:
      raise MeshError(
        f"refers to the other file {urllib.parse.unquote(file)[:200]}, which "
        "is not opened; export it as one file"
      )
    plain = urllib.parse.unquote(name)
    return find_element(plain if plain in self._ids else name, self._ids, kind)

  def _inner_nodes(self, element: Element) -> list[Element]:
    """Returns the nodes within a node, and those that it refers to."""
    nodes = children(element, "node")
    for instance in children(element, "instance_node"):
      nodes.append(self._refer(instance.get("url"), "node"))
    return nodes

  def _add_instances(self, node: Element, transform: np.ndarray) -> None:
    """Adds the geometries and controllers of a node."""
    for instance in children(node, "instance_geometry"):
      geometry = self._refer(instance.get("url"), "geometry")
      self._place(node, geometry, transform)
    for instance in children(node, "instance_controller"):
      controller = self._refer(instance.get("url"), "controller")
      geometry, shape = self._unwrap(controller)
      self._place(node, geometry, transform @ shape)

  def _unwrap(self, controller: Element) -> tuple[Element, np.ndarray]:
    """Returns the geometry under controllers, and its bind shape [4, 4]."""
    shape = np.eye(4)
    for _ in range(16):  # a skin of a morph of a geometry is two deep
      skin, morph = child(controller, "skin"), child(controller, "morph")
      inner = skin if skin is not None else morph
      if inner is None:
        raise MeshError("has a controller without a skin; export it again")
      matrix = child(inner, "bind_shape_matrix")
      if matrix is not None:
        shape = shape @ _to_matrix(to_floats(matrix.text, "a bind shape"))
      target = self._refer(inner.get("source"), "geometry")
      if local_name(target) == "geometry":
        return target, shape
      controller = target
    raise MeshError("has a controller that contains itself; export it again")

  def _place(self, node: Element, geometry: Element, place: np.ndarray) -> None:
    if geometry not in self._assembly.meshes:
      found = read_mesh(geometry, self._ids)
      self._counts[0] += found.points
      self._counts[1] += found.lines
      self._assembly.meshes[geometry] = found.bodies
    self._assembly.place(node, geometry, place)


def _find_ids(root: Element) -> dict[str, Element | None]:
  """Returns the elements by their id; None for an id that two have."""
  ids: dict[str, Element | None] = {}
  for element in root.iter():
    key = element.get("id") if local_name(element) else None
    if key:
      ids[key] = None if key in ids else element
  return ids


def _read_transform(node: Element) -> np.ndarray:
  """Returns the transform [4, 4] of a node: the product in order of writing."""
  result = np.eye(4)
  for element in children(node, *_TRANSFORMS):
    kind = local_name(element)
    numbers = to_floats(element.text, f"a {kind}")
    sizes = {"matrix": 16, "rotate": 4, "lookat": 9, "skew": 7}
    if len(numbers) != sizes.get(kind, 3):
      raise MeshError(
        f"has a {kind} of {len(numbers)} numbers, not {sizes.get(kind, 3)}; "
        "export it again"
      )
    result = result @ _to_transform(kind, numbers)
  return result


def _to_transform(kind: str, numbers: np.ndarray) -> np.ndarray:
  """Returns one transform [4, 4] (COLLADA 1.4.1, chapter 5)."""
  result = np.eye(4)
  match kind:
    case "matrix":
      return _to_matrix(numbers)
    case "translate":
      result[:3, 3] = numbers
    case "scale":
      result[:3, :3] = np.diag(numbers)
    case "rotate":
      import scipy.spatial.transform

      axis = numbers[:3] / (np.linalg.norm(numbers[:3]) or 1)
      turn = axis * np.radians(numbers[3])
      rotation = scipy.spatial.transform.Rotation.from_rotvec(turn)
      result[:3, :3] = rotation.as_matrix()
    case "lookat":
      eye, target, up = numbers.reshape(3, 3)
      z = eye - target
      x = np.cross(up, z)
      axes = np.stack([x, np.cross(z, x), z], axis=1)
      result[:3, :3] = axes / np.linalg.norm(axes, axis=0)
      result[:3, 3] = eye
    case "skew":
      raise MeshError("has a skew, which cannot be read; export it again")
  return result


def _to_matrix(numbers: np.ndarray) -> np.ndarray:
  if len(numbers) != 16:
    raise MeshError(f"has a matrix of {len(numbers)} numbers, not 16")
  return numbers.reshape(4, 4)  # rows come first
