"""Changes to the structure of XML and JSON that leave the file well formed.

Random bytes break a 3MF or glTF file before its reader gets to the relations
in it. Here references, indices, extensions and transforms are changed, parts
doubled, moved and taken out, and the file is packed again.
"""

import copy
import io
import json
import struct
import zipfile
from typing import Any

import numpy as np
from lxml import etree

_VALUES = (
  "0", "1", "2", "3", "99", "-1", "4294967296", "nan", "1e39", "", "x",
  "0 0 0 0 0 0 0 0 0 0 0 0", "-1 0 0 0 1 0 0 0 1 0 0 0",
  "2 0 0 0 2 0 0 0 2 9 9 9", "/3D/3dmodel.model", "/3D/sub.model", "p", "b q",
  "inch", "micron", "support", "other",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 3, 5, -1, 99, 5120, 5123, 5125, 5126, 2**31, 1e39, 0.5)
_EXTENSIONS = (
  "EXT_meshopt_compression",
  "KHR_draco_mesh_compression",
  "EXT_mesh_gpu_instancing",
  "KHR_mesh_quantization",
  "KHR_materials_unlit",
  "ACME_unknown",
)


def mutate_xml(data: bytes, rng: np.random.Generator) -> bytes:
  """Returns XML with one to three things changed in its structure."""
  root = etree.fromstring(data)
  for _ in range(rng.integers(1, 4)):
    elements = list(root.iter("*"))
    # Rare names as often as vertices, of which there are many.
    names = sorted({element.tag for element in elements})
    name = names[rng.integers(len(names))]
    alike = [element for element in elements if element.tag == name]
    _mutate_element(alike[rng.integers(len(alike))], elements, alike, rng)
  return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _mutate_element(
  element: Any, elements: list, alike: list, rng: np.random.Generator
) -> None:
  parent = element.getparent()
  keys = sorted(element.attrib)
  key = keys[rng.integers(len(keys))] if keys else "id"
  match rng.integers(7):
    case 0 | 1:
      element.set(key, str(rng.choice(_VALUES)))
    case 2:
      value = alike[rng.integers(len(alike))].get(key)
      if value is not None:
        element.set(key, value)
    case 3:
      element.attrib.pop(key, None)
    case 4 if parent is not None:
      parent.remove(element)
    case 5 if parent is not None:
      parent.insert(int(rng.integers(len(parent))), copy.deepcopy(element))
    case 6 if parent is not None:
      target = elements[rng.integers(len(elements))]
      if target not in list(element.iter()):
        target.append(element)


def mutate_package(data: bytes, rng: np.random.Generator) -> bytes:
  """Returns a 3MF package with one of its parts changed or renamed."""
  result = io.BytesIO()
  with (
    zipfile.ZipFile(io.BytesIO(data)) as archive,
    zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as changed,
  ):
    names = archive.namelist()
    wrong = names[rng.integers(len(names))]
    drop = rng.random() < 0.05
    for name in names:
      content = archive.read(name)
      if name != wrong:
        changed.writestr(name, content)
      elif not drop:
        changed.writestr(name, mutate_xml(content, rng))
  return result.getvalue()


def mutate_gltf(data: bytes, rng: np.random.Generator) -> bytes:
  """Returns a GLB or glTF file with one to three changes in its JSON."""
  if data[:4] != b"glTF":
    return json.dumps(_mutate_tree(json.loads(data), rng)).encode()
  length = int.from_bytes(data[12:16], "little")
  tree = _mutate_tree(json.loads(data[20 : 20 + length]), rng)
  text = json.dumps(tree).encode()
  text += b" " * (-len(text) % 4)
  rest = data[20 + length :]
  return (
    struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
    + struct.pack("<I4s", len(text), b"JSON")
    + text
    + rest
  )


def _mutate_tree(tree: Any, rng: np.random.Generator) -> Any:
  for _ in range(rng.integers(1, 4)):
    places = list(_walk(tree))
    holder, key = places[rng.integers(len(places))]
    match rng.integers(6):
      case 0 | 1:
        holder[key] = _change(holder[key], rng)
      case 2:
        other, name = places[rng.integers(len(places))]
        holder[key] = copy.deepcopy(other[name])
      case 3:
        del holder[key]
      case 4 if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
      case 5:
        names = tree.setdefault("extensionsRequired", [])
        if isinstance(names, list):
          names.append(str(rng.choice(_EXTENSIONS)))
  return tree


def _walk(value: Any) -> Any:
  """Yields every place of a tree: what holds it, and its key."""
  keys = value.keys() if isinstance(value, dict) else range(len(value))
  for key in list(keys):
    yield value, key
    if isinstance(value[key], dict | list):
      yield from _walk(value[key])


def _change(value: Any, rng: np.random.Generator) -> Any:
  if isinstance(value, bool) or value is None:
    return not value
  if isinstance(value, int | float):
    return rng.choice(np.array(_NUMBERS, object))
  if isinstance(value, list):
    return value[::-1] if rng.random() < 0.5 else value[:-1]
  if isinstance(value, str):
    return str(rng.choice(["VEC2", "VEC3", "SCALAR", "MAT4", "gone.bin", ""]))
  return {}
