"""An uploaded file becomes what is searched and shown, in a child process.

Runs in the processes that read files, so it imports no jax.
"""

import dataclasses
import json
import pathlib
from typing import Any

from dr3d.database.processed_model import ProcessedModel, process_mesh
from dr3d.error import MeshError
from dr3d.mesh import build_mesh
from dr3d.mesh.io.glb import write_glb
from dr3d.mesh.io.reader import read_raw
from dr3d.mesh.unit import UNITS
from dr3d.search import verification

VIEWER_FACES = 30_000  # that a viewer is sent at most


class FaceLimitError(MeshError):
  """A file has more faces than the service takes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Upload:
  """What an uploaded file holds.

  Attributes:
    processed: what a database keeps of it.
    glb: for a viewer; empty where it was not asked for.
  """

  processed: ProcessedModel
  glb: bytes = b""


def run(task: str, **arguments: Any) -> Any:
  """What a child is asked to do: to read a file, or to compare meshes.

  Args:
    task: "read" or "fit".
    arguments: of `read_upload` or `verification.register_meshes`.
  """
  match task:
    case "read":
      return read_upload(**arguments)
    case "fit":
      return verification.register_meshes(**arguments)
    case _:
      raise ValueError(f"task must be read or fit, got {task!r}")


def read_upload(
  path: pathlib.Path,
  *,
  face_budget: int | None,
  unit: str,
  face_limit: int,
  viewer: bool,
) -> Upload:
  """Reads a file that anyone may have sent.

  Args:
    path: of the file; messages begin with it.
    face_budget: see `processed_model.read_processed_model`.
    unit: likewise.
    face_limit: faces that the file may have.
    viewer: whether a GLB is wanted.

  Raises:
    FaceLimitError: the file has more faces.
    MeshError: the file cannot become a mesh.
  """
  _check_alone(path)
  raw = read_raw(path)
  if len(raw.faces) > face_limit:
    raise FaceLimitError(
      f"{path} has {len(raw.faces)} faces, more than the {face_limit} that "
      "this service takes; simplify it first."
    )
  processed = process_mesh(raw, path, face_budget=face_budget, unit=unit)
  glb = b""
  if viewer:
    vertices = raw.vertices * (raw.unit or UNITS[unit])
    glb = write_glb(build_mesh(vertices, raw.faces, VIEWER_FACES, str(path)))
  return Upload(processed, glb)


def _check_alone(path: pathlib.Path) -> None:
  """Refuses what would open other files of this machine."""
  if path.suffix.lower() not in (".gltf", ".glb"):
    return
  data = path.read_bytes()
  if data[:4] == b"glTF":
    data = data[20 : 20 + int.from_bytes(data[12:16], "little")]
  try:
    tree = json.loads(data)
    parts = [*tree.get("buffers", []), *tree.get("images", [])]
    beside = [
      part["uri"]
      for part in parts
      if "uri" in part and not part["uri"].startswith("data:")
    ]
  except (ValueError, LookupError, TypeError, AttributeError):
    return  # damaged: what reads it says why
  if beside:
    raise MeshError(
      f"{path} keeps parts of itself in other files: export it as GLB, which "
      "is one file."
    )
