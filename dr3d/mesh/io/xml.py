"""XML that anyone may have written becomes a tree, and numbers."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from dr3d.error import MeshError

Element = Any  # lxml.etree._Element, which lxml does not type


def parse_xml(data: bytes, name: str) -> Element:
  """Returns the root of an XML file.

  No entity is expanded and no other file is opened, since either could be of
  any size or anywhere.

  Args:
    data: content of the file.
    name: what messages call it.

  Raises:
    MeshError: it is damaged. The message is a predicate.
  """
  from lxml import etree

  parser = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    remove_comments=True,
    remove_pis=True,
    huge_tree=True,  # a text node may have more than 10 MB, a list of numbers
  )
  try:
    root = etree.fromstring(trim(data), parser)
  except (etree.XMLSyntaxError, ValueError) as error:
    raise MeshError(
      f"is damaged: {name} is not XML ({str(error)[:100]}); export it again"
    ) from error
  if root is None:
    raise MeshError(f"is damaged: {name} is empty; export it again")
  return root


def trim(data: bytes) -> bytes:
  """Returns XML without the zeros and blanks that pad it."""
  if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
    return data  # UTF-16, half of whose bytes are zeros
  return data.strip(b"\0 \t\r\n")


def local_name(element: Element) -> str:
  """Returns the name of an element without its namespace."""
  tag = element.tag
  return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def children(element: Element | None, *names: str) -> list[Element]:
  """Returns the children of some names, in the namespace of the element.

  An element of an extension may have the name of one of the format.
  """
  if element is None:
    return []
  space = element.tag.rpartition("}")[0]
  tags = [f"{space}}}{name}" if space else name for name in names]
  return [child for child in element if child.tag in tags]


def child(element: Element | None, name: str) -> Element | None:
  """Returns the first child of a name; None if there is none."""
  return next(iter(children(element, name)), None)


def to_floats(text: str | None, what: str) -> np.ndarray:
  """Returns the numbers of a text, float64 [n].

  Raises:
    MeshError: a word is not a number.
  """
  try:
    return np.array((text or "").split(), np.float64)
  except ValueError as error:
    raise _no_number(what, error) from error


def to_array(words: Iterable[str], kind: type, what: str) -> np.ndarray:
  """Returns numbers, each a word of its own.

  Raises:
    MeshError: a word is not a number.
  """
  try:
    return np.array(list(words), kind)
  except (ValueError, OverflowError) as error:
    raise _no_number(what, error) from error


def _no_number(what: str, error: Exception) -> MeshError:
  return MeshError(
    f"is damaged: {what} has a word that is not a number ({str(error)[:60]}); "
    "export it again"
  )
