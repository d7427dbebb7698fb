"""3MF files: 3MF Core Specification 1.3 and Production Extension 1.1.

A 3MF file is a package (ISO/IEC 29500-2) of one root model and further model
files. A model has objects, each a mesh or a list of components, and the root
model has a build, whose items place objects. Numbers of objects count for
each model file separately.
"""

import pathlib
import posixpath
import urllib.parse
from collections.abc import Iterator

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.archive import Archive
from dr3d.mesh.io.assembly import Assembly
from dr3d.mesh.io.raw import Geometry, RawMesh, join_bodies
from dr3d.mesh.io.threemf_model import Model, parse_model
from dr3d.mesh.io.threemf_slicer import (
  SlicerMarks,
  is_left_out,
  read_marks,
)
from dr3d.mesh.io.xml import (
  Element,
  child,
  children,
  local_name,
  parse_xml,
  to_floats,
)
from dr3d.mesh.unit import UNITS, parse_unit

_START = "/_rels/.rels"
_ROOT = "/3dmodel"  # how the type of the relationship to the root model ends
_DEFAULT = "/3D/3dmodel.model"
_PRODUCTION = "/3dmanufacturing/production/2015/06"
_READ = (  # extensions that are read, or leave the geometry as it is
  _PRODUCTION,
  "/3dmanufacturing/material/2015/02",
  "/3dmanufacturing/trianglesets/2021/07",
  # Its beams are refused where they stand, see `threemf_model`.
  "/3dmanufacturing/beamlattice/2017/02",
)
_NAMES = (
  ("beamlattice", "beam lattice"),
  ("boolean", "boolean operations"),
  ("displacement", "displacement"),
  ("implicit", "implicit"),
  ("securecontent", "secure content"),
  ("slice", "slice"),
  ("volumetric", "volumetric"),
)
_SUPPORTS = ("support", "solidsupport")  # 4.1: printed, then taken off

_Key = tuple[str, str]  # model file in lower case, number of the object


def read_threemf(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads a 3MF file.

  What a slicer does not print as part of the model is left out: modifiers,
  negative volumes, support enforcers and blockers, support objects.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  del path
  return _Package(Archive(data, "3MF")).read()


class _Package:
  """The model files of a package, on the way to triangles."""

  def __init__(self, archive: Archive):
    self._archive = archive
    self._root = _find_root(archive)
    self._marks: SlicerMarks = read_marks(archive)
    self._models: dict[str, Element] = {}
    self._objects: dict[_Key, Element] = {}
    self._bodies: dict[_Key, Geometry] = {}
    self._assembly = Assembly()
    self._left_out = 0

  def read(self) -> RawMesh:
    """Returns the triangles of all items of the build."""
    root = self._open(self._root)
    unit = parse_unit(root.get("unit", "millimeter")) or UNITS["mm"]
    items = children(child(root, "build"), "item")
    warnings = []
    placed = [self._to_item(item) for item in items]
    if not items:
      placed = [(key, np.eye(4)) for key in self._top_objects()]
      if placed:
        warnings.append("has an empty build; all its objects were read")
    kept = [item for item in placed if not self._is_support(item[0])]
    # A file of nothing but supports is a model of them.
    for key, transform in kept or placed:
      self._assembly.place("build", key, transform)
    self._left_out += len(placed) - len(kept or placed)
    self._add_objects([key for key, _ in kept or placed])
    bodies, count = self._assembly.expand("build")
    if not count and any(n.endswith(".gcode") for n in self._archive.names):
      raise MeshError(
        "holds only G-code for a printer and no model; export the project "
        "itself as 3MF"
      )
    if self._left_out:
      warnings.append(
        f"has {self._left_out} modifiers, negative volumes or supports, which "
        "were left out"
      )
    return join_bodies(
      bodies,
      unit=unit,
      body_count=count,
      warnings=warnings,
      runs=self._assembly.runs,
    )

  def _open(self, name: str) -> Element:
    """Parses a model file once, and finds its objects."""
    key = name.lower()
    if key not in self._models:
      model = parse_model(self._archive.read(name), name)
      _check_extensions(model)
      root = self._models[key] = model.root
      for element in children(child(root, "resources"), "object"):
        number = _number(element.get("id"))
        self._objects[key, number] = element
        if element in model.meshes:
          self._bodies[key, number] = model.meshes[element]
    return self._models[key]

  def _to_item(self, item: Element) -> tuple[_Key, np.ndarray]:
    return self._refer(item, self._root), _parse_transform(item)

  def _refer(self, element: Element, model: str) -> _Key:
    """Returns the key of the object that an item or component names."""
    model = _attribute(element, "path") or model
    self._open(model)
    key = model.lower(), _number(element.get("objectid"))
    if key not in self._objects:
      raise MeshError(
        f"refers to the object {key[1]}, which is not in {model[:100]}; "
        "export it again"
      )
    return key

  def _top_objects(self) -> Iterator[_Key]:
    """Yields the objects of the root model that no other one contains."""
    inner = {
      _number(component.get("objectid"))
      for key, element in self._objects.items()
      for component in children(child(element, "components"), "component")
    }
    for key in list(self._objects):
      if key[1] not in inner:
        yield key

  def _is_support(self, key: _Key) -> bool:
    return self._objects[key].get("type") in _SUPPORTS

  def _add_objects(self, keys: list[_Key]) -> None:
    """Adds objects to the assembly, and all that they contain."""
    done, waiting = set(), list(keys)
    while waiting:
      key = waiting.pop()
      if key in done:
        continue
      done.add(key)
      waiting += self._add_object(key)

  def _add_object(self, key: _Key) -> list[_Key]:
    """Adds an object to the assembly; returns what it contains."""
    element = self._objects[key]
    if is_left_out(element):
      self._left_out += 1
      return []
    if key in self._bodies:
      body = self._bodies[key]
      if key[0] == self._root.lower():
        body, count = self._marks.cut(key[1], body)
        self._left_out += count
      self._assembly.meshes[key] = [body]
      return []
    components = child(element, "components")
    if components is None:
      _refuse_unknown(element)
    inside = []
    for component in children(components, "component"):
      number = _number(component.get("objectid"))
      if key[0] == self._root.lower() and self._marks.hides(key[1], number):
        self._left_out += 1
        continue
      part = self._refer(component, key[0])
      self._assembly.place(key, part, _parse_transform(component))
      inside.append(part)
    return inside


def _find_root(archive: Archive) -> str:
  """Returns the name of the root model, which the package states (2.1)."""
  if _START in archive:
    root = parse_xml(archive.read(_START), "the list of relationships")
    for relation in children(root, "Relationship"):
      target = urllib.parse.unquote(relation.get("Target", ""))
      if relation.get("Type", "").lower().endswith(_ROOT) and target:
        return posixpath.normpath("/" + target.lstrip("/"))
  models = [name for name in archive.names if name.lower().endswith(".model")]
  if _DEFAULT in archive:
    return _DEFAULT
  if len(models) == 1:
    return models[0]
  raise MeshError(
    "does not say which of its parts is the model; export it again"
    if models
    else "is a zip archive without a 3MF model; export it again"
  )


def _check_extensions(model: Model) -> None:
  """Refuses extensions without which the model would be read wrongly (2.3)."""
  root = model.root
  for prefix in root.get("requiredextensions", "").split():
    space = model.namespaces.get(prefix, prefix)
    if space.endswith(_READ):
      continue
    if "/slice/" in space and not _has_low_resolution(root):
      continue
    name = next((n for key, n in _NAMES if key in space.lower()), "unknown")
    raise MeshError(
      f"requires the {name} extension of 3MF ({space[:100]}), which cannot be "
      "read; export it as triangles alone"
    )


def _has_low_resolution(root: Element) -> bool:
  """Tells whether meshes only stand for slices (Slice Extension, 3.1)."""
  return any(
    _attribute(element, "meshresolution") == "lowres"
    for element in children(child(root, "resources"), "object")
  )


def _refuse_unknown(element: Element) -> None:
  """Refuses an object whose shape is of an extension."""
  kinds = [
    local_name(part)
    for part in element
    if local_name(part) not in ("metadatagroup", "mesh", "components", "")
  ]
  if kinds:
    raise MeshError(
      f"has an object of the kind {kinds[0][:60]} (extension of 3MF), which "
      "cannot be read; export it as triangles"
    )


def _attribute(element: Element, name: str) -> str | None:
  """Returns an attribute in the namespace of any extension."""
  for key, value in element.attrib.items():
    if key.startswith("{") and key.rpartition("}")[2] == name:
      return value
  return None


def _number(text: str | None) -> str:
  """Returns the number of an object, so that "01" and "1" are one."""
  if text is None or not text.strip().isdigit():
    raise MeshError(
      f"is damaged: an object has the number {str(text)[:40]!r}; export it "
      "again"
    )
  return str(int(text))


def _parse_transform(element: Element) -> np.ndarray:
  """Returns the transform [4, 4] of an item or component.

  A 3MF file has rows m00 m01 m02, m10 ..., m30 m31 m32 for p' = p @ M (3.3).
  """
  text = element.get("transform")
  result = np.eye(4)
  if text is None:
    return result
  numbers = to_floats(text, "a transform")
  if len(numbers) != 12:
    raise MeshError(
      f"has a transform of {len(numbers)} numbers, not 12; export it again"
    )
  result[:3] = numbers.reshape(4, 3).T
  return result
