"""3MF packages, written part by part."""

import io
import zipfile

import numpy as np

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
SPACES = {
  "p": "http://schemas.microsoft.com/3dmanufacturing/production/2015/06",
  "b": "http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02",
  "s": "http://schemas.microsoft.com/3dmanufacturing/slice/2015/07",
  "m": "http://schemas.microsoft.com/3dmanufacturing/material/2015/02",
  "v": "http://schemas.3mf.io/3dmanufacturing/volumetric/2022/01",
  "x": "http://example.com/split/2030",
}
_TYPE = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def mesh(vertices: np.ndarray, faces: np.ndarray, inside: str = "") -> str:
  """A mesh element; `inside` stands behind its triangles."""
  points = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in vertices)
  corners = "".join(
    f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in faces
  )
  return (
    f"<mesh><vertices>{points}</vertices>"
    f"<triangles>{corners}</triangles>{inside}</mesh>"
  )


def item(number: int, *, at=None, matrix=None, path="", tag="item") -> str:
  """An item or component: moved, or with 12 numbers of a transform."""
  numbers = matrix or [1, 0, 0, 0, 1, 0, 0, 0, 1, *(at or (0, 0, 0))]
  where = f' p:path="{path}"' if path else ""
  text = " ".join(map(str, numbers))
  return f'<{tag} objectid="{number}" transform="{text}"{where}/>'


def component(number: int, **options) -> str:
  return item(number, tag="component", **options)


def model(objects: str, build: str, *, required="", unit="millimeter") -> str:
  """A model file."""
  spaces = " ".join(f'xmlns:{key}="{uri}"' for key, uri in SPACES.items())
  needs = f' requiredextensions="{required}"' if required else ""
  return (
    f'<?xml version="1.0"?><model unit="{unit}" xmlns="{CORE}" {spaces}{needs}>'
    f"<resources>{objects}</resources><build>{build}</build></model>"
  )


def package(root: str, *, name="3D/3dmodel.model", **parts: str) -> bytes:
  """A package; further parts by their name, with "__" for each slash."""
  relations = (
    f'<Relationships xmlns="{_RELATIONS}"><Relationship Target="/{name}" '
    f'Id="r" Type="{_TYPE}"/></Relationships>'
  )
  result = io.BytesIO()
  with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("_rels/.rels", relations)
    archive.writestr(name, root)
    for part, content in parts.items():
      archive.writestr(part.replace("__", "/"), content)
  return result.getvalue()


def package_of(root: str, parts: dict[str, str]) -> bytes:
  """A package with parts of any name."""
  return package(root, **parts)
