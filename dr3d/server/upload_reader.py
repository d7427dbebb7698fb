"""An uploaded file becomes a mesh and a preview, in a child process.

The child processes run this module, so it does not import jax.
"""

import contextlib
import dataclasses
import importlib
import json
import pathlib
import re
from typing import Any, Literal

import numpy as np
from PIL import Image

from dr3d.database import processed_model
from dr3d.database.processed_model import (
  ProcessedModel,
  process_mesh,
)
from dr3d.error import MeshError
from dr3d.image.cutout import cut_out
from dr3d.image.photograph import read_photograph
from dr3d.mesh import Mesh, build_mesh
from dr3d.mesh.io.glb import write_glb
from dr3d.mesh.io.reader import read_raw
from dr3d.mesh.packing import unpack_mesh
from dr3d.mesh.unit import UNITS
from dr3d.registration.deviation import Deviation, measure_deviation
from dr3d.search import verification

__all__ = ["PRELOAD", "FaceLimitError", "prepare", "read_upload", "run"]

# Entities by which STEP places a part of another file (ISO 10303-44).
_STEP_REFERENCE = re.compile(
  rb"\b(APPLIED_)?EXTERNAL(LY_DEFINED_ITEM|_IDENTIFICATION_ASSIGNMENT)\s*\(",
  re.IGNORECASE,
)
Task = Literal["read", "register", "overlay", "cut_out", "read_picture"]

PRELOAD = (*processed_model.PRELOAD, "trimesh.visual", "trimesh.exchange.gltf")
# A process that reads an upload may not see the files of these any more.
_PHOTO_MODULES = (
  "cv2",
  "pillow_heif",
  *(f"PIL.{name}ImagePlugin" for name in ("Mpo", "Tiff", "WebP")),
)
PREVIEW_FACES = 30_000  # of a preview at most; about 700 kB


class FaceLimitError(MeshError):
  """A file has more faces than the service accepts."""


def prepare(task: Task, **arguments: Any) -> None:
  """Imports what a task needs, before a process is forked for it."""
  if task == "read":
    processed_model.prepare(**arguments)
  elif task in ("cut_out", "read_picture"):
    for name in _PHOTO_MODULES:
      with contextlib.suppress(ImportError):
        importlib.import_module(name)


def run(task: Task, **arguments: Any) -> Any:
  """Runs a task in the child: reads a file, or registers meshes.

  Args:
    task: which one.
    arguments: of `read_upload`, `verification.register_meshes`, `overlay`,
      `cutout.cut_out` or `read_picture`.
  """
  if task == "read":
    return read_upload(**arguments)
  if task == "overlay":
    return overlay(**arguments)
  if task == "cut_out":
    return cut_out(arguments["path"], region=arguments["region"])
  if task == "read_picture":
    return read_picture(**arguments)
  return verification.register_meshes(**arguments)


def read_upload(
  path: pathlib.Path,
  *,
  face_budget: int | None,
  unit: str,
  face_limit: int,
  preview: bool,
  appearance: bool = False,
) -> ProcessedModel:
  """Reads a file that anyone may have sent.

  Args:
    path: of the file; messages begin with it.
    face_budget: see `processed_model.read_processed_model`.
    unit: likewise.
    face_limit: faces that the file may have.
    preview: whether to make a GLB for a viewer.
    appearance: see `processed_model.read_processed_model`.

  Raises:
    FaceLimitError: the file has more faces.
    MeshError: the file cannot become a mesh.
  """
  _check_self_contained(path)
  raw = read_raw(path)
  if len(raw.faces) > face_limit:
    raise FaceLimitError(
      f"{path} has {len(raw.faces)} faces, more than the {face_limit} that "
      "this service accepts; simplify it first."
    )
  processed = process_mesh(
    raw, path, face_budget=face_budget, unit=unit, appearance=appearance
  )
  if not preview:
    return processed
  vertices = raw.vertices * (raw.unit or UNITS[unit])
  mesh = build_mesh(vertices, raw.faces, PREVIEW_FACES, str(path))
  return dataclasses.replace(processed, preview=write_glb(mesh))


def read_picture(path: pathlib.Path, *, max_side: int) -> dict[str, Any]:
  """Reads a photograph that is searched.

  Args:
    path: of the file.
    max_side: a larger picture is reduced to it, pixels.

  Returns:
    `pixels`, uint8 `[H, W, 3]`, and `scale`, their size relative to that of
    the file.

  Raises:
    PictureError: it cannot be read.
  """
  pixels = read_photograph(path, max_side=max_side)[..., :3]
  with Image.open(path) as image:
    longest = max(image.size)
  return {
    "pixels": np.ascontiguousarray(pixels),
    "scale": max(pixels.shape[:2]) / longest,
  }


def overlay(mesh: Mesh, packed: bytes) -> Deviation:
  """Measures how far a mesh lies from a model as `pack_mesh` packs it."""
  return measure_deviation(mesh, unpack_mesh(packed))


def _check_self_contained(path: pathlib.Path) -> None:
  """Rejects a file whose reader would open other files of this machine."""
  kind = path.suffix.lower().lstrip(".")
  if kind not in ("gltf", "glb", "step", "stp"):
    return
  data = path.read_bytes()
  if kind in ("step", "stp"):
    if _STEP_REFERENCE.search(data):
      raise MeshError(
        f"{path} refers to other files: export it as one STEP file."
      )
    return
  if data[:4] == b"glTF":
    data = data[20 : 20 + int.from_bytes(data[12:16], "little")]
  try:
    is_alone = not _find_references(json.loads(data))
  except (ValueError, RecursionError) as error:
    raise MeshError(
      f"{path} is damaged: its description of the scene cannot be read; export"
      " it again."
    ) from error
  if not is_alone:
    raise MeshError(
      f"{path} refers to other files: export it as GLB, which is one file."
    )


def _find_references(tree: Any) -> bool:
  """Whether a glTF names a file anywhere, also where none should be."""
  waiting = [tree]
  while waiting:
    value = waiting.pop()
    if isinstance(value, list):
      waiting += value
    elif isinstance(value, dict):
      waiting += value.values()
      uri = value.get("uri", "data:")
      if not isinstance(uri, str) or not uri.startswith("data:"):
        return True
  return False
