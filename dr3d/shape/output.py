"""Meshes and contact sheets that the commands write."""

import pathlib
from collections.abc import Sequence

import numpy as np
import trimesh
from PIL import Image

from dr3d.camera.view import sphere_views
from dr3d.error import Dr3dError
from dr3d.mesh import Mesh
from dr3d.render.draw import render
from dr3d.runtime.atomic import atomic_file

SIZE = 128  # height and width of an image of a sheet, pixels
VIEWS = 4  # of a mesh


def write_mesh(mesh: Mesh, path: pathlib.Path) -> None:
  """Writes a mesh, whole or not at all; the format follows the extension.

  Raises:
    Dr3dError: the format is unknown.
  """
  kind = path.suffix.lower().removeprefix(".")
  surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
  try:
    data = surface.export(file_type=kind)
  except (KeyError, ValueError) as error:
    raise Dr3dError(f"{path}: no mesh can be written as {kind!r}.") from error
  data = data.encode() if isinstance(data, str) else bytes(data)
  with atomic_file(path) as partial:
    partial.write_bytes(data)


def draw_meshes(
  meshes: Sequence[Mesh], *, views: int = VIEWS, size: int = SIZE
) -> np.ndarray:
  """Draws meshes on white, uint8 [B, N, H, W, 3]."""
  images = [
    render(
      mesh,
      sphere_views(views),
      size=size,
      framing="object",
      samples=2,
      background=(1, 1, 1),
    )
    for mesh in meshes
  ]
  return np.rint(255 * np.clip(images, 0, 1)[..., :3]).astype(np.uint8)


def draw_sheet(
  meshes: Sequence[Mesh],
  path: pathlib.Path,
  *,
  pictures: Sequence[np.ndarray] = (),
  views: int = VIEWS,
  rows_of: int = 1,
) -> None:
  """Writes an image with the views of each mesh.

  Args:
    meshes: B meshes.
    path: of the image.
    pictures: float [H, W] of each mesh, inverted grey, shown before its views;
      empty for none.
    views: of each mesh.
    rows_of: meshes side by side.
  """
  images = draw_meshes(meshes, views=views)
  if len(pictures):
    seen = [
      np.asarray(
        Image.fromarray(np.uint8(255 * (1 - picture))).resize((SIZE, SIZE))
      )
      for picture in pictures
    ]
    colored = np.repeat(np.stack(seen)[:, None, ..., None], 3, axis=-1)
    images = np.concatenate([colored, images], axis=1)
  B, N, H, W, _ = images.shape
  strips = images.transpose(0, 2, 1, 3, 4).reshape(B, H, N * W, 3)
  missing = -B % rows_of
  strips = np.pad(strips, [(0, missing)] + [(0, 0)] * 3, constant_values=255)
  rows = strips.reshape(-1, rows_of, H, N * W, 3).transpose(0, 2, 1, 3, 4)
  sheet = rows.reshape(-1, rows_of * N * W, 3)
  with atomic_file(path) as partial, partial.open("wb") as file:
    Image.fromarray(sheet).save(file, format="PNG", optimize=True)
