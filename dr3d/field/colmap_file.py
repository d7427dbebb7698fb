"""COLMAP's `cameras.txt` and `images.txt`.

The pictures are beside these files or in `images/` beside them. The world is
COLMAP's own, so its middle and size are taken from the cameras: the point that
their optical axes pass nearest, and half of their mean distance from it.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from dr3d.error import FieldError
from dr3d.field.camera_file import CameraFile, Frame, from_opencv_pose

NEAR_SHARE = 0.5  # radius of the objects, in distances of the cameras


def read_colmap(folder: pathlib.Path) -> CameraFile:
  """Reads the cameras of one object that COLMAP has reconstructed.

  Raises:
    FieldError: a file is missing or damaged, or a lens is distorted.
  """
  lenses = {}
  for where, fields in _read_rows(folder / "cameras.txt"):
    lenses[fields[0]] = _read_lens(fields, where)
  frames, matrices = [], []
  # Each picture has two rows; the second lists points.
  for where, fields in list(_read_rows(folder / "images.txt"))[::2]:
    try:
      numbers = np.array(fields[1:8], np.float64)
      lens, name = lenses[fields[8]], " ".join(fields[9:])
    except (IndexError, KeyError, ValueError) as error:
      raise FieldError(
        f"{where} must hold a number, seven numbers of the pose, a camera and"
        " a file name."
      ) from error
    path = next(
      (p for p in (folder / name, folder / "images" / name) if p.is_file()),
      None,
    )
    if path is None:
      raise FieldError(f"{where}: {folder / name} does not exist.")
    matrix = from_opencv_pose(numbers[:4], numbers[4:])
    matrices.append(matrix)
    frames.append(Frame(path, None, folder.name, matrix, lens, None))
  if not frames:
    raise FieldError(f"{folder / 'images.txt'} holds no picture.")
  moved = _center(np.stack(matrices))
  return CameraFile(
    tuple(
      dataclasses.replace(frame, matrix=matrix)
      for frame, matrix in zip(frames, moved, strict=True)
    ),
    None,
  )


def _center(matrices: np.ndarray) -> np.ndarray:
  """Moves and scales `[K, 4, 4]` cameras so that the object is the sphere."""
  place, axis = matrices[:, :3, 3], -matrices[:, :3, 2]
  # Least squares of the distances from the optical axes.
  across = np.eye(3) - axis[:, :, None] * axis[:, None, :]
  total = across.sum(axis=0)
  center = np.linalg.lstsq(
    total, np.einsum("kij,kj->i", across, place), rcond=None
  )[0]
  radius = NEAR_SHARE * np.linalg.norm(place - center, axis=1).mean()
  moved = matrices.copy()
  moved[:, :3, 3] = (place - center) / radius
  return moved


def _read_rows(path: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
  try:
    text = path.read_text(encoding="utf-8")
  except FileNotFoundError as error:
    raise FieldError(f"{path} does not exist.") from error
  except (OSError, ValueError) as error:
    raise FieldError(f"{path} cannot be read: {error}.") from error
  for number, line in enumerate(text.splitlines(), start=1):
    if not line.startswith("#"):
      yield f"{path}, line {number}", line.split()


def _read_lens(fields: list[str], where: str) -> dict[str, float]:
  try:
    width, height, *rest = map(float, fields[2:])
    if fields[1] == "SIMPLE_PINHOLE":
      f, cx, cy = rest
      fx = fy = f
    elif fields[1] == "PINHOLE":
      fx, fy, cx, cy = rest
    else:
      raise FieldError(
        f"{where}: the camera {fields[1]} has a distorted lens; undistort the"
        " pictures with COLMAP first."
      )
  except (IndexError, ValueError) as error:
    raise FieldError(f"{where} is not a camera of COLMAP.") from error
  return {
    "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height,
  }  # fmt: skip
