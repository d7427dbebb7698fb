"""STEP, IGES and BREP files: exact surfaces, cut into triangles.

ISO 10303-21 (STEP), ANSI US PRO/IPO-100-1996 (IGES 5.3) and Open CASCADE's
own format. Open CASCADE Technology reads them, where the extra `step` is
installed, and converts lengths to millimetres.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dr3d.error import MeshError
from dr3d.mesh.io.archive import Archive
from dr3d.mesh.io.raw import RawMesh, join_bodies
from dr3d.mesh.io.scratch import scratch_file
from dr3d.mesh.unit import UNITS
from dr3d.runtime.output import suppress_output

if TYPE_CHECKING:
  from dr3d.mesh.io.tessellation import Shape

_STEP = b"ISO-10303-21"
_STEP_END = b"END-ISO-10303-21"
_ZIP = b"PK\3\4"
_REFERENCE = re.compile(rb"\bDOCUMENT_FILE\s*\(\s*'((?:[^']|'')*)'")
_PARTS = (".stp", ".step", ".stpz", ".p21", ".prt", ".sldprt", ".catpart")
_SECTION = 72  # IGES: the letter of a line's section stands in column 73


def read_step(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads a STEP file.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  del path
  if data.startswith(_ZIP):
    data = _unpack(data)
  if not is_step(data):
    raise MeshError('is not a STEP file: it does not begin with "ISO-10303-21"')
  if data.rfind(_STEP_END) < 0:
    raise MeshError("is truncated: its STEP data has no end; export it again")
  others = _find_other_files(data)
  if others:
    raise MeshError(
      f"refers to parts in other files ({', '.join(others)}), which are not "
      "opened; export the assembly as one STEP file, or index the parts"
    )
  return _read(data, "STEP", UNITS["mm"], _load_step)


def read_iges(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads an IGES file.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  del path
  lines = data.splitlines()
  if not lines or lines[0][_SECTION : _SECTION + 1] not in (b"S", b"C"):
    raise MeshError(
      "is not an IGES file: it does not begin with a start section"
    )
  if not any(line[_SECTION : _SECTION + 1] == b"T" for line in lines[-9:]):
    raise MeshError(
      "is truncated: it has no terminate section; export it again"
    )
  return _read(data, "IGES", UNITS["mm"], _load_iges)


def read_brep(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads a BREP file, which does not say its unit.

  Args:
    data: content of the file.
    path: not used.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  del path
  if not is_brep(data):
    raise MeshError(
      'is not a BREP file in text: it lacks "CASCADE Topology"; export STEP'
    )
  return _read(data, "BREP", None, _load_brep)


def is_step(head: bytes) -> bool:
  """Tells whether a file begins as a STEP file does."""
  return head.lstrip(b"\xef\xbb\xbf \t\r\n").upper().startswith(_STEP)


def is_brep(head: bytes) -> bool:
  """Tells whether a file begins as a BREP file in text does."""
  return b"CASCADE Topology" in head[:256]


def _unpack(data: bytes) -> bytes:
  """Returns the STEP file of a zip archive of one."""
  archive = Archive(data, "packed STEP")
  names = [n for n in archive.names if n.lower().endswith((".stp", ".step"))]
  if len(names) != 1:
    raise MeshError(
      f"is a zip archive with {len(names)} STEP files, not one; unpack it"
    )
  return archive.read(names[0])


def _find_other_files(data: bytes) -> list[str]:
  """Returns the files that an assembly has its parts in (ISO 10303-44)."""
  names = {
    match.decode("latin-1").replace("''", "'")
    for match in _REFERENCE.findall(data)
  }
  return sorted(n[:80] for n in names if n.lower().endswith(_PARTS))[:5]


def _read(
  data: bytes,
  name: str,
  unit: float | None,
  load: Callable[[str], tuple[Any, int]],
) -> RawMesh:
  """Loads a shape and cuts it into triangles.

  Args:
    data: content of the file.
    name: of the format, for messages.
    unit: see `RawMesh`.
    load: path of a file → its shape, and the number of parts that are missing.
  """
  try:
    from dr3d.mesh.io.tessellation import tessellate
  except ImportError as error:
    raise MeshError(
      f"is a {name} file, which needs an extra of dr3d: pip install "
      "'dr3d[step]', or export it as STL or 3MF"
    ) from error
  with scratch_file(data) as file, suppress_output(1), suppress_output(2):
    shape, missing = load(str(file))
    result: Shape = tessellate(shape)
  if not len(result.body[1]):
    raise MeshError(
      "holds no solid or surface that Open CASCADE can read; export it again"
    )
  warnings = list(result.warnings)
  if missing:
    warnings.append(f"has {missing} parts that could not be read")
  raw = join_bodies(
    [result.body],
    unit=unit,
    body_count=result.body_count,
    warnings=warnings,
    runs=result.runs,
  )
  return dataclasses.replace(raw, measure=result.measure)


def _load_step(file: str) -> tuple[Any, int]:
  from OCP.STEPControl import STEPControl_Reader

  return _transfer(STEPControl_Reader(), file)


def _load_iges(file: str) -> tuple[Any, int]:
  from OCP.IGESControl import IGESControl_Reader

  return _transfer(IGESControl_Reader(), file)


def _transfer(reader: Any, file: str) -> tuple[Any, int]:
  from OCP.IFSelect import IFSelect_RetDone

  if reader.ReadFile(file) != IFSelect_RetDone:
    raise MeshError("is damaged: Open CASCADE cannot read it; export it again")
  roots = reader.NbRootsForTransfer()
  missing = roots - reader.TransferRoots()
  return reader.OneShape(), max(missing, 0)


def _load_brep(file: str) -> tuple[Any, int]:
  from OCP.BRep import BRep_Builder
  from OCP.BRepTools import BRepTools
  from OCP.TopoDS import TopoDS_Shape

  shape = TopoDS_Shape()
  if not BRepTools.Read_s(shape, file, BRep_Builder()):
    raise MeshError("is damaged: Open CASCADE cannot read it; export it again")
  return shape, 0
