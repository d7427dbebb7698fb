"""A mesh file with its colours and pictures, for drawing.

`load_mesh` reads no colours, or the mean colour around each corner. This reads
pictures as well with trimesh, keeps every face, and is for files that you
trust.
"""

import os
import pathlib

import numpy as np
from PIL import Image

from dr3d.error import MeshError
from dr3d.geometry.sphere import enclosing_sphere
from dr3d.mesh.io.color import Part, read_parts
from dr3d.mesh.normal import corner_normals
from dr3d.render.texture import Texture
from dr3d.render.triangle import Triangles


def load_textured(
  path: str | os.PathLike[str], *, texture_size: int = 512
) -> Triangles:
  """Reads a file with vertex colours, materials and pictures.

  Colours are taken as they are stored, without gamma. Of a material the base or
  diffuse colour and its picture count.

  Args:
    path: OBJ with its MTL and pictures, glTF or GLB, PLY, or another format of
      trimesh.
    texture_size: height and width that pictures are resized to, a power of 2.

  Returns:
    Triangles of one scene `[1, F, ...]` in the unit sphere, in the axes of the
    file, with albedo, and with a texture if the file has pictures.

  Raises:
    MeshError: the file cannot be read, or has no faces.
    ValueError: the size is not a power of 2.

  Example:
    >>> import dr3d, os, tempfile, trimesh
    >>> box = trimesh.creation.box((1, 2, 3))
    >>> box.visual.face_colors = [255, 0, 0, 255]
    >>> path = os.path.join(tempfile.mkdtemp(), "box.ply")
    >>> _ = box.export(path)
    >>> triangles = dr3d.load_textured(path)
    >>> print(triangles.albedo[0, 0, 0], triangles.texture)
    [1. 0. 0.] None
  """
  if texture_size < 1 or texture_size & (texture_size - 1):
    raise ValueError(f"texture_size must be a power of 2, got {texture_size}.")
  path = pathlib.Path(path)
  try:
    parts = read_parts(path)
  except Exception as error:  # trimesh raises many kinds
    reason = str(error) or type(error).__name__
    raise MeshError(
      f"{path} cannot be read with colours ({reason})."
    ) from error
  if not parts:
    raise MeshError(f"{path} has no faces.")
  center, radius = enclosing_sphere(
    np.concatenate([part.vertices[part.faces].reshape(-1, 3) for part in parts])
  )
  corners, normals = [], []
  for part in parts:
    vertices = (part.vertices - center) / radius
    corners.append(vertices[part.faces])
    normals.append(corner_normals(vertices, part.faces))
  return Triangles(
    _stack(corners),
    _stack(normals),
    _stack([part.colors for part in parts]),
    texture=_make_texture(parts, texture_size),
  )


def _make_texture(parts: list[Part], size: int) -> Texture | None:
  """Gives each part its picture; parts without one get a white one."""
  pictures: list[Image.Image | None] = [None]
  numbers = []
  for part in parts:
    known = [i for i, each in enumerate(pictures) if each is part.picture]
    if not known:
      known = [len(pictures)]
      pictures.append(part.picture)
    numbers.append(np.full(len(part.faces), known[0], np.int32))
  if len(pictures) == 1:
    return None
  images = np.ones((1, len(pictures), size, size, 3), np.float32)
  for i, picture in enumerate(pictures):
    if picture is not None:
      resized = picture.convert("RGB").resize(
        (size, size), Image.Resampling.BOX
      )
      images[0, i] = np.asarray(resized, np.float32) / 255
  uv = _stack([part.uv for part in parts])
  return Texture(uv, images, np.concatenate(numbers)[None])


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
  return np.concatenate(arrays)[None].astype(np.float32)
