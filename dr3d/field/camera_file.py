r"""Cameras of pictures: NeRF's `transforms.json`, with a few fields more.

    {"camera_angle_x": 0.69, "radius": 1.0, "center": [0, 0, 0],
     "canonical_landmarks": [[x, y, z], ...],
     "frames": [{"file_path": "images/a.png", "transform_matrix": [[...], ...],
                 "mask_path": "masks/a.png", "object": "a",
                 "landmarks": [[x, y], ...]}]}

`transform_matrix` is 4 × 4, camera to world, x right, y up, looking along -z.
Instead of `camera_angle_x`, radians across the width, there may be `fl_x`,
`fl_y`, `cx`, `cy`, `w` and `h` in pixels; all may also stand in a frame. The
rest is ours and optional:

    radius, center       the sphere that holds the objects, in world units
    mask_path            picture of the mask; else the alpha of a picture is it
    object               name; frames of one object share a code. Without it,
                         every frame shows an object of its own
    landmarks            x right, y down, pixels of the file; a frame without a
                         transform_matrix gets its camera from them
    canonical_landmarks  their points in the world; without them, points and
                         cameras are fitted by turns

A folder with `cameras.txt` and `images.txt` of COLMAP (SIMPLE_PINHOLE and
PINHOLE) is read as well.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from dr3d.camera.view import Views, rotation_matrix
from dr3d.error import FieldError

FILE = "transforms.json"
SUFFIXES = ("", ".png", ".jpg", ".jpeg")
"""Tried in turn, because many of these files omit the extension."""

_FLIP = np.diag([1.0, -1, -1])  # between OpenGL's camera axes and OpenCV's
_LENS = ("camera_angle_x", "fl_x", "fl_y", "cx", "cy", "w", "h")


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
  """A picture and what is known of its camera.

  Attributes:
    path: of the picture.
    mask: path of its mask, or None.
    object: name of the object.
    matrix: float64 `[4, 4]` camera to object, OpenGL's axes, radii; or None.
    lens: `camera_angle_x` or `fl_x`, `fl_y`, `cx`, `cy`, of a picture of `w`
      and `h`; what is not known is absent.
    landmarks: float64 `[M, 2]` pixels of the file, or None.
  """

  path: pathlib.Path
  mask: pathlib.Path | None
  object: str
  matrix: np.ndarray | None
  lens: Mapping[str, float]
  landmarks: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class CameraFile:
  """What a file of cameras holds.

  Attributes:
    frames: the pictures.
    points: float64 `[M, 3]` canonical landmarks, radii; or None.
  """

  frames: tuple[Frame, ...]
  points: np.ndarray | None


def read_cameras(path: pathlib.Path) -> CameraFile:
  """Reads a `transforms.json`, or the folder of one, or of COLMAP's text.

  Raises:
    FieldError: it is missing or damaged, or a frame does not fit; the message
      names the file and the frame.
  """
  if path.is_dir():
    if (path / FILE).exists():
      path = path / FILE
    elif (path / "images.txt").exists():
      from dr3d.field.colmap_file import read_colmap

      return read_colmap(path)
    else:
      raise FieldError(
        f"{path} holds neither {FILE} nor COLMAP's images.txt: name a file of"
        " cameras with --cameras."
      )
  try:
    data = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise FieldError(f"{path} does not exist.") from error
  except (OSError, ValueError) as error:
    raise FieldError(f"{path} cannot be read: {error}.") from error
  frames = data.get("frames") if isinstance(data, dict) else None
  if not isinstance(frames, list) or not frames:
    raise FieldError(f"{path} must hold a list named frames with a picture.")
  radius = _read_number(data, "radius", path, default=1.0)
  if not radius > 0:
    raise FieldError(f"{path}: radius must be positive, got {radius}.")
  center = _read_array(data, "center", (3,), path)
  center = np.zeros(3) if center is None else center
  points = _read_array(data, "canonical_landmarks", (-1, 3), path)
  if points is not None:
    points = (points - center) / radius
  shared = {key: data[key] for key in _LENS if key in data}
  return CameraFile(
    tuple(
      _read_frame(frame, i, path, shared, center, radius)
      for i, frame in enumerate(frames)
    ),
    points,
  )


def _read_frame(
  frame: Any,
  number: int,
  path: pathlib.Path,
  shared: Mapping[str, Any],
  center: np.ndarray,
  radius: float,
) -> Frame:
  where = f"{path}, frame {number}"
  if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
    raise FieldError(f"{where} has no file_path.")
  matrix = _read_array(frame, "transform_matrix", (4, 4), where)
  if matrix is not None:
    matrix = _normalize(matrix, where)
    matrix[:3, 3] = (matrix[:3, 3] - center) / radius
  lens = {
    key: _read_number({**shared, **frame}, key, where, default=math.nan)
    for key in _LENS
    if key in shared or key in frame
  }
  mask = frame.get("mask_path")
  return Frame(
    path=_find_picture(path.parent / frame["file_path"], where),
    mask=None if mask is None else _find_picture(path.parent / mask, where),
    object=str(frame.get("object", f"{number:06d}")),
    matrix=matrix,
    lens=lens,
    landmarks=_read_array(frame, "landmarks", (-1, 2), where),
  )


def _find_picture(path: pathlib.Path, where: str) -> pathlib.Path:
  for suffix in SUFFIXES:
    found = path.with_name(path.name + suffix)
    if found.is_file():
      return found
  raise FieldError(f"{where}: {path} does not exist.")


def _normalize(matrix: np.ndarray, where: str) -> np.ndarray:
  """Returns a matrix whose rotation is exact."""
  turn = matrix[:3, :3]
  near, _, far = np.linalg.svd(turn)
  exact = near @ far
  if np.abs(exact - turn).max() > 0.01 or np.linalg.det(exact) < 0:
    raise FieldError(
      f"{where}: transform_matrix must hold a rotation in its first three rows"
      " and columns."
    )
  result = np.eye(4)
  result[:3, :3], result[:3, 3] = exact, matrix[:3, 3]
  return result


def _read_number(
  data: Mapping[str, Any], key: str, where: Any, *, default: float
) -> float:
  value = data.get(key, default)
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise FieldError(f"{where}: {key} must be a number, got {value!r}.")
  return float(value)


def _read_array(
  data: Mapping[str, Any], key: str, shape: tuple[int, ...], where: Any
) -> np.ndarray | None:
  if data.get(key) is None:
    return None
  try:
    array = np.asarray(data[key], np.float64)
  except (TypeError, ValueError):
    array = np.empty(0)
  fits = array.ndim == len(shape) and all(
    wanted in (-1, given)
    for wanted, given in zip(shape, array.shape, strict=True)
  )
  if not fits or not np.isfinite(array).all():
    sides = " x ".join("M" if n == -1 else str(n) for n in shape)
    raise FieldError(f"{where}: {key} must be {sides} numbers.")
  return array


def to_frame(views: Views, number: int) -> dict[str, Any]:
  """Returns the camera of a view as the fields of a frame.

  Args:
    views: N perspective views.
    number: of the view.
  """
  turn = np.asarray(rotation_matrix(views.quaternion[number]), np.float64)
  place = np.array([0, 0, float(views.distance[number])])
  if views.offset is not None:
    place[:2] -= np.asarray(views.offset[number])
  matrix = np.eye(4)
  matrix[:3, :3], matrix[:3, 3] = turn.T, turn.T @ place
  angle = float(views.fov[number])
  return {"transform_matrix": matrix.tolist(), "camera_angle_x": angle}


def from_opencv_pose(quaternion: np.ndarray, shift: np.ndarray) -> np.ndarray:
  """`[4, 4]` camera to world, OpenGL's axes, from world to camera, OpenCV's.

  Args:
    quaternion: `[4]` w, x, y, z.
    shift: `[3]`.
  """
  turn = Rotation.from_quat(np.roll(quaternion, -1)).as_matrix()
  matrix = np.eye(4)
  matrix[:3, :3], matrix[:3, 3] = turn.T @ _FLIP, -turn.T @ shift
  return matrix
