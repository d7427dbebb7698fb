"""The formats that can be read, and those that cannot and why.

A format is a module with a function `read_...(data, path) -> RawMesh` and one
line in `TABLE`. What a reader needs is imported by the reader itself, so that
a file costs only the libraries of its own format.
"""

import contextlib
import dataclasses
import importlib
import pathlib
from collections.abc import Callable

from dr3d.mesh.io.raw import RawMesh


@dataclasses.dataclass(frozen=True)
class Format:
  """A format that can be read.

  Attributes:
    suffixes: endings of its files, the usual one first.
    name: what messages call it.
    module: in this package.
    reader: a function of the module, (data, path) -> RawMesh.
    sniff: a function of the module that tells by the first bytes of a file
      whether it is of this format; empty if the format has no mark.
    extra: of dr3d, that the reader needs for some or all files.
  """

  suffixes: tuple[str, ...]
  name: str
  module: str
  reader: str
  sniff: str = ""
  extra: str = ""

  def load(self) -> Callable[[bytes, pathlib.Path], RawMesh]:
    """Imports the reader."""
    return getattr(self._import(), self.reader)

  def matches(self, head: bytes) -> bool:
    """Tells whether a file that begins so is of this format."""
    return bool(self.sniff) and getattr(self._import(), self.sniff)(head)

  def _import(self):
    return importlib.import_module(f"dr3d.mesh.io.{self.module}")


TABLE = (
  Format(("stl",), "STL", "stl", "read_stl", "is_stl"),
  Format(("obj",), "OBJ", "obj", "read_obj"),
  Format(("ply",), "PLY", "ply", "read_ply", "is_ply"),
  Format(("off",), "OFF", "off", "read_off", "is_off"),
  Format(("glb", "gltf"), "glTF", "gltf", "read_gltf", "is_gltf", "gltf"),
  Format(("3mf",), "3MF", "threemf", "read_threemf"),
  Format(("dae", "zae"), "COLLADA", "collada", "read_collada", "is_collada"),
  Format(("amf",), "AMF", "amf", "read_amf", "is_amf"),
  Format(
    ("step", "stp", "stpz", "p21"),
    "STEP",
    "brep",
    "read_step",
    "is_step",
    "step",
  ),
  Format(("igs", "iges"), "IGES", "brep", "read_iges", extra="step"),
  Format(("brep",), "BREP", "brep", "read_brep", "is_brep", "step"),
)
"""All formats, one line each."""

READERS = tuple(sorted({f"dr3d.mesh.io.{entry.module}" for entry in TABLE}))
"""Modules that readers import when they need them."""

FORMATS = tuple(suffix for entry in TABLE for suffix in entry.suffixes)
"""File name extensions that can be read, with or without ".gz" behind."""

_CAD = frozenset(
  {
    *("3dm", "3dxml", "asm", "catpart", "catproduct", "cgr", "dgn", "dwg"),
    *("dxf", "f3d", "fcstd", "iam", "ipt", "jt", "model", "neu", "par", "prt"),
    *("psm", "sab", "sat", "scdoc", "skp", "sldasm", "sldprt", "vda", "wire"),
    *("x_b", "x_t", "xmt_bin", "xmt_txt"),
  }
)
_CLOUDS = frozenset(
  {"asc", "e57", "fls", "las", "laz", "pcd", "pts", "ptx", "rcp", "xyz"}
)
_MESHES = frozenset(
  {
    *("3ds", "blend", "c4d", "fbx", "lwo", "ma", "max", "mb", "usd", "usda"),
    *("usdc", "usdz", "vtk", "vtp", "wrl", "x3d"),
  }
)
# Files that lie beside models and have no shape of their own.
_SHAPELESS = frozenset(
  {
    *("bin", "mtl", "bmp", "dds", "exr", "gif", "hdr", "jpeg", "jpg", "ktx"),
    *("ktx2", "png", "psd", "svg", "tga", "tif", "tiff", "webp", "cfg", "csv"),
    *("css", "db", "doc", "docx", "gcode", "htm", "html", "ini", "ipynb"),
    *("js", "json", "lic", "license", "log", "md", "odt", "pdf", "py", "rst"),
    *("rtf", "sh", "toml", "tsv", "txt", "url", "xls", "xlsx", "xml", "yaml"),
    *("yml", "avi", "mov", "mp4"),
  }
)
_ARCHIVES = frozenset({"7z", "bz2", "gz", "rar", "tar", "tgz", "xz", "zip"})
_PACKED = ".gz"


def find_format(name: str) -> Format | None:
  """Returns the format of a file by its name, "part.stl" or "part.stl.gz".

  Returns:
    None if it is none of those that can be read.
  """
  suffix = suffix_of(name)
  return next((entry for entry in TABLE if suffix in entry.suffixes), None)


def prepare_reader(path: pathlib.Path) -> None:
  """Imports what the reader of a file needs, by the name of the file."""
  entry = find_format(path.name)
  if entry is not None and entry.extra == "step":
    with contextlib.suppress(ImportError):
      importlib.import_module("dr3d.mesh.io.tessellation")


def suffix_of(name: str) -> str:
  """Returns the ending of a file name in lower case, without ".gz"."""
  lowered = name.lower()
  if lowered.endswith(_PACKED) and "." in lowered[: -len(_PACKED)]:
    lowered = lowered.removesuffix(_PACKED)
  return pathlib.PurePath(lowered).suffix.lstrip(".")


def is_shapeless(name: str) -> bool:
  """Tells whether a file is not a model in any format: a picture, a text."""
  suffix = suffix_of(name)
  return not suffix or suffix in _SHAPELESS


def is_cad(suffix: str) -> bool:
  """Tells whether files of an ending are in a CAD program's own format."""
  return suffix in _CAD


def advise(name: str) -> str:
  """Returns what to do with a file of a format that cannot be read."""
  suffix = suffix_of(name)
  if suffix in _CAD:
    return (
      "it is the own format of a CAD program: export STEP from there "
      "(or STL, 3MF)"
    )
  if suffix in _CLOUDS:
    return (
      "it is a point cloud without a surface: make a mesh of its points "
      "first, for example with Screened Poisson Reconstruction in MeshLab or "
      "CloudCompare, and export that as PLY or STL"
    )
  if suffix in _MESHES:
    return "export it as GLB, OBJ or STL, for example from Blender"
  if suffix in _ARCHIVES:
    return "unpack it first"
  return "convert it to one of these"


def recognize(head: bytes) -> Format | None:
  """Returns the format that the first bytes of a file show; None if none."""
  return next((entry for entry in TABLE if entry.matches(head)), None)
