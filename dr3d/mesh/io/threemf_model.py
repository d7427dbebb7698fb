"""One model file of a 3MF package: a small tree, and its meshes as arrays.

3MF Core Specification 1.3, chapters 3 and 4. A tree of all vertices and
triangles would take ten times the memory of their numbers, so these never
become elements.
"""

import dataclasses
import xml.etree.ElementTree
import xml.parsers.expat
from typing import Any

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.raw import Geometry
from dr3d.mesh.io.xml import Element, local_name, to_array, trim

_CHUNK = 1 << 18  # words that wait as text, to be converted at once


@dataclasses.dataclass(eq=False)
class Model:
  """A model file.

  Attributes:
    root: its tree, without what is in meshes.
    namespaces: by their prefixes.
    meshes: of the objects that have one, by the element of the object.
  """

  root: Element
  namespaces: dict[str, str]
  meshes: dict[Element, Geometry]


def parse_model(data: bytes, name: str) -> Model:
  """Parses a model file.

  Args:
    data: content of the file.
    name: what messages call it.

  Raises:
    MeshError: it is damaged, or has a beam lattice. The message is a
      predicate.
  """
  builder = _Builder()
  parser = xml.parsers.expat.ParserCreate(namespace_separator="}")
  parser.buffer_text = True
  parser.StartElementHandler = builder.start
  parser.EndElementHandler = builder.end
  parser.CharacterDataHandler = builder.tree.data
  parser.StartNamespaceDeclHandler = builder.name_space
  parser.EntityDeclHandler = _refuse_entity
  try:
    parser.Parse(trim(data), True)
    root = builder.tree.close()
  except (xml.parsers.expat.ExpatError, AssertionError) as error:
    raise MeshError(
      f"is damaged: its part {name[:100]} is not XML ({str(error)[:100]}); "
      "export it again"
    ) from error
  if local_name(root) != "model":
    raise MeshError(f"is damaged: its part {name[:100]} is no 3MF model")
  return Model(root, builder.namespaces, builder.meshes)


def _refuse_entity(*arguments: Any) -> None:
  """Refuses definitions by which a small file expands to any size."""
  del arguments
  raise MeshError("defines entities of XML, which 3MF forbids; export it again")


class _Numbers:
  """Words that become numbers, many at a time."""

  def __init__(self, kind: type, what: str):
    self.words: list[str] = []
    self._parts: list[np.ndarray] = []
    self._kind = kind
    self._what = what

  def convert(self) -> None:
    """Converts the words that wait."""
    self._parts.append(to_array(self.words, self._kind, self._what))
    self.words.clear()

  def to_rows(self) -> np.ndarray:
    """Returns all numbers, [n, 3]."""
    self.convert()
    return np.concatenate(self._parts).reshape(-1, 3)


class _Builder:
  """What the parser calls: builds the tree, and collects the meshes."""

  def __init__(self):
    self.tree = xml.etree.ElementTree.TreeBuilder()
    self.namespaces: dict[str, str] = {}
    self.meshes: dict[Element, Geometry] = {}
    self._path: list[Element] = []
    self._space = ""  # namespace of the root
    self._table: Element | None = None  # that is being read
    self._row = ""  # name of its rows
    self._names: tuple[str, str, str] = ("", "", "")  # attributes of a row
    self._is_open = False  # whether a row has begun; rows are not nested
    self._clear()
    self._numbers, self._words = self._vertices, self._vertices.words

  def name_space(self, prefix: str | None, uri: str) -> None:
    """Keeps the prefix of a namespace."""
    self.namespaces[prefix or ""] = uri

  def start(self, tag: str, attributes: dict[str, str]) -> None:
    """Begins an element."""
    if tag != self._row:
      self._start_element(tag, attributes)
      return
    if self._is_open:
      raise MeshError(
        "is damaged: a vertex or triangle contains another one; export it again"
      )
    self._is_open = True
    try:
      self._words += [attributes[name] for name in self._names]
    except KeyError as error:
      raise MeshError(
        f"is damaged: a vertex or triangle lacks its {error}; export it again"
      ) from error
    if len(self._words) > _CHUNK:
      self._numbers.convert()

  def end(self, tag: str) -> None:
    """Ends an element."""
    if tag == self._row:
      self._is_open = False
      return
    self.tree.end(_to_tag(tag))
    path = self._path
    element = path.pop()
    if element is self._table:
      self._table, self._row = None, ""
    if (
      tag == self._core("mesh")
      and path
      and path[-1].tag == _to_tag(self._core("object"))
    ):
      self.meshes[path[-1]] = self._vertices.to_rows(), self._faces.to_rows()
      self._clear()

  def _core(self, name: str) -> str:
    """Returns a name in the namespace of the root, as the parser has it."""
    return f"{self._space}}}{name}" if self._space else name

  def _clear(self) -> None:
    self._vertices = _Numbers(np.float64, "a vertex")
    self._faces = _Numbers(np.int64, "a triangle")

  def _start_element(self, tag: str, attributes: dict[str, str]) -> None:
    if not self._path:
      self._space = tag.rpartition("}")[0]
    element = self.tree.start(
      _to_tag(tag), {_to_tag(key): value for key, value in attributes.items()}
    )
    parents = [parent.tag for parent in self._path[-2:]]
    self._path.append(element)
    lattice = "".join(parents[-1:]).endswith("}beamlattice")
    if lattice and local_name(element) == "beams":
      raise MeshError(
        "has a beam lattice (extension of 3MF), which cannot be read; export "
        "it as triangles"
      )
    if parents != [_to_tag(self._core(name)) for name in ("object", "mesh")]:
      return
    if tag == self._core("vertices"):
      self._open(element, "vertex", ("x", "y", "z"), self._vertices)
    elif tag == self._core("triangles"):
      self._open(element, "triangle", ("v1", "v2", "v3"), self._faces)

  def _open(
    self,
    table: Element,
    row: str,
    names: tuple[str, str, str],
    numbers: _Numbers,
  ) -> None:
    """Begins a table, whose rows become numbers from now on."""
    self._table, self._row, self._names = table, self._core(row), names
    self._numbers, self._words = numbers, numbers.words


def _to_tag(name: str) -> str:
  """Returns a name as ElementTree has it: "{namespace}name"."""
  return "{" + name if "}" in name else name
