"""What slicers mark in a 3MF file as no part of the model.

A project of a slicer holds volumes that only change settings (modifiers),
that are cut out (negative volumes), or that ask for supports or forbid them.
PrusaSlicer and programs derived from it list ranges of triangles, Bambu Studio
and OrcaSlicer list components, Cura puts metadata into the object.
"""

import dataclasses

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.archive import Archive
from dr3d.mesh.io.raw import Geometry
from dr3d.mesh.io.xml import Element, children, local_name, parse_xml

_CONFIGS = ("model.config", "model_settings.config")  # how their names end
_PARTS = ("", "modelpart", "normal_part")  # kinds that are the model
_CURA = (  # settings of Cura that make a mesh something else than a model
  "infill_mesh",
  "cutting_mesh",
  "support_mesh",
  "anti_overhang_mesh",
)
_YES = ("true", "1")


@dataclasses.dataclass(eq=False)
class SlicerMarks:
  """Volumes that are no part of the model.

  Attributes:
    ranges: by the number of an object, the first and last of the triangles.
    components: by the number of an object, the numbers of its components.
  """

  ranges: dict[str, list[tuple[int, int]]] = dataclasses.field(
    default_factory=dict
  )
  components: dict[str, set[str]] = dataclasses.field(default_factory=dict)

  def cut(self, number: str, body: Geometry) -> tuple[Geometry, int]:
    """Returns the mesh of an object without them, and how many there were."""
    vertices, faces = body
    ranges = self.ranges.get(number, [])
    keep = np.ones(len(faces), bool)
    for first, last in ranges:
      keep[first : last + 1] = False
    return (vertices, faces[keep]), len(ranges)

  def hides(self, number: str, component: str) -> bool:
    """Tells whether a component of an object is one of them."""
    return component in self.components.get(number, ())


def read_marks(archive: Archive) -> SlicerMarks:
  """Reads what the slicer that wrote a package has marked."""
  marks = SlicerMarks()
  for name in archive.names:
    if not name.lower().startswith("/metadata/"):
      continue
    if name.lower().endswith(_CONFIGS):
      root = parse_xml(archive.read(name), f"its part {name[:100]}")
      for element in children(root, "object"):
        _read_object(element, marks)
  return marks


def is_left_out(element: Element) -> bool:
  """Tells whether Cura marked an object as something else than a model."""
  for part in element.iter():
    name = part.get("name") or part.get("key") or ""
    if local_name(part) not in ("metadata", "setting"):
      continue
    if name.rpartition(":")[2] not in _CURA:
      continue
    if (part.get("value") or part.text or "").strip().lower() in _YES:
      return True
  return False


def _read_object(element: Element, marks: SlicerMarks) -> None:
  """Adds the volumes and parts of an object that are no model."""
  number = element.get("id", "")
  for volume in children(element, "volume"):
    if _is_model(volume):
      continue
    try:
      first, last = int(volume.get("firstid")), int(volume.get("lastid"))
    except (TypeError, ValueError):
      raise MeshError(
        "is damaged: a volume of the slicer does not say which triangles it "
        "has; export it again"
      ) from None
    if first < 0:
      raise MeshError("is damaged: a volume of the slicer begins before 0")
    marks.ranges.setdefault(number, []).append((first, last))
  for part in children(element, "part"):
    if part.get("subtype", "").lower() not in _PARTS:
      marks.components.setdefault(number, set()).add(part.get("id", ""))


def _is_model(volume: Element) -> bool:
  """Tells whether a volume of PrusaSlicer or Slic3r is part of the model."""
  for metadata in children(volume, "metadata"):
    value = metadata.get("value", "").lower()
    if metadata.get("key") == "volume_type" and value not in _PARTS:
      return False
    if metadata.get("key") == "modifier" and value in _YES:  # before 1.42
      return False
  return True
