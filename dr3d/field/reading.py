"""Files of pictures and cameras → a `PictureSet`.

A picture is reduced to `size` pixels along its longer side and padded to a
square; the cameras follow.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dr3d.camera.bundle import fit_points
from dr3d.camera.landmark import fit_cameras
from dr3d.camera.matrix import from_opencv
from dr3d.camera.view import Views
from dr3d.error import FieldError
from dr3d.field.camera_file import CameraFile, Frame, read_cameras
from dr3d.field.picture import PictureSet
from dr3d.image.photograph import read_photograph

_FLIP = np.array([1.0, -1, -1])  # between OpenGL's camera axes and OpenCV's
FOV_ASSUMED = 0.7  # radians, if a file of landmarks names no lens


def read_pictures(cameras: pathlib.Path, *, size: int) -> PictureSet:
  """Reads all pictures of a file of cameras.

  Args:
    cameras: see `camera_file`.
    size: height and width of the pictures, pixels.

  Raises:
    FieldError: a file does not fit; the message names it.
    PictureError: a picture cannot be read.
  """
  file = read_cameras(cameras)
  images, masks, seen, intrinsics, scales = [], [], [], [], []
  for frame in file.frames:
    image, mask, inside, matrix, scale = _read_frame(frame, size)
    images.append(image)
    masks.append(mask)
    seen.append(inside)
    intrinsics.append(matrix)
    scales.append(scale)
  names = tuple(dict.fromkeys(frame.object for frame in file.frames))
  rows = np.array([names.index(frame.object) for frame in file.frames])
  has_masks = all(mask is not None for mask in masks)
  if not has_masks and any(mask is not None for mask in masks):
    bare = next(
      f.path for f, m in zip(file.frames, masks, strict=True) if m is None
    )
    raise FieldError(
      f"{bare} has no mask, but other pictures have one: give all of them a"
      " mask_path or transparency, or none."
    )
  return PictureSet(
    images=np.stack(images),
    masks=np.stack(masks) if has_masks else None,
    seen=np.stack(seen),
    views=_make_views(file, np.stack(intrinsics), scales, size),
    rows=rows,
    names=names,
  )


def _read_frame(frame: Frame, size: int):
  """A square picture, its mask, what was not padded, K, and pixels' scale."""
  pixels = read_photograph(frame.path)
  height, width = pixels.shape[:2]
  alpha = pixels[..., 3]
  mask = None if (alpha == 255).all() else alpha
  if frame.mask is not None:
    with Image.open(frame.mask) as picture:
      mask = np.asarray(picture.convert("L"))
    if mask.shape != (height, width):
      raise FieldError(
        f"{frame.mask} has {mask.shape[1]} x {mask.shape[0]} pixels, but its"
        f" picture {frame.path} has {width} x {height}."
      )
  scale = size / max(height, width)
  color = pixels[..., :3]
  if (alpha < 255).any():
    # What is transparent shows white, as a field without background does.
    share = alpha[..., None] / np.float32(255)
    color = np.rint(share * color + (1 - share) * 255).astype(np.uint8)
  image, corner = _fit_square(color, size, fill=255)
  inside, _ = _fit_square(np.full((height, width), 255, np.uint8), size, fill=0)
  square = None if mask is None else _fit_square(mask, size, fill=0)[0]
  matrix = _make_intrinsics(frame, width, height)
  matrix[:2] *= scale
  # The pixel centres of OpenCV are whole numbers, those of dr3d halves.
  matrix[:2, 2] += np.array(corner) - 0.5
  return image, square, inside > 0.5, matrix, (scale, corner)


def _fit_square(
  pixels: np.ndarray, size: int, *, fill: int
) -> tuple[np.ndarray, tuple[int, int]]:
  """A reduced picture in the middle of a square, and its corner x, y."""
  height, width = pixels.shape[:2]
  scale = size / max(height, width)
  wide, high = max(1, round(width * scale)), max(1, round(height * scale))
  reduced = Image.fromarray(pixels).resize((wide, high), Image.Resampling.BOX)
  square = np.full((size, size, *pixels.shape[2:]), fill, np.uint8)
  x, y = (size - wide) // 2, (size - high) // 2
  square[y : y + high, x : x + wide] = np.asarray(reduced)
  return square.astype(np.float32) / 255, (x, y)


def _make_intrinsics(frame: Frame, width: int, height: int) -> np.ndarray:
  """`[3, 3]` K of the file, pixel corners at whole numbers."""
  lens = dict(frame.lens)
  wide, high = lens.get("w", width), lens.get("h", height)
  if "fl_x" in lens:
    fx = lens["fl_x"]
  else:
    angle = lens.get("camera_angle_x", FOV_ASSUMED)
    if not 0 < angle < np.pi:
      raise FieldError(
        f"{frame.path}: camera_angle_x must be between 0 and π, got {angle}."
      )
    fx = wide / 2 / np.tan(angle / 2)
  fy = lens.get("fl_y", fx)
  if not fx > 0 or abs(fy / fx - 1) > 0.02:
    raise FieldError(
      f"{frame.path}: fl_x and fl_y must be positive and equal, because pixels"
      f" are square, got {fx} and {fy}."
    )
  cx, cy = lens.get("cx", wide / 2), lens.get("cy", high / 2)
  ratio = width / wide
  return np.array(
    [[fx * ratio, 0, cx * ratio], [0, fx * ratio, cy * ratio], [0, 0, 1]]
  )


def _make_views(
  file: CameraFile, intrinsics: np.ndarray, scales: Sequence, size: int
) -> Views:
  """Cameras as they were given, else from landmarks."""
  matrices = [frame.matrix for frame in file.frames]
  if any(matrix is None for matrix in matrices):
    return _fit_views(file, intrinsics, scales, size)
  stack = np.stack([matrix for matrix in matrices if matrix is not None])
  turn = np.swapaxes(stack[:, :3, :3], 1, 2)  # world to camera
  shift = -np.einsum("kij,kj->ki", turn, stack[:, :3, 3])
  try:
    return from_opencv(
      _FLIP[:, None] * turn, _FLIP * shift, intrinsics, size=size, colored=False
    )
  except ValueError as error:
    raise FieldError(f"{file.frames[0].path}: {error}") from error


def _fit_views(
  file: CameraFile, intrinsics: np.ndarray, scales: Sequence, size: int
) -> Views:
  """Cameras from the landmarks of all frames."""
  first = file.frames[0].landmarks
  count = 0 if first is None else len(first)
  marks = []
  for frame, (scale, corner) in zip(file.frames, scales, strict=True):
    if frame.landmarks is None or len(frame.landmarks) != count:
      raise FieldError(
        f"{frame.path} needs a transform_matrix, or {count or 'four or more'}"
        " landmarks as all frames."
      )
    marks.append(frame.landmarks * scale + corner - 0.5)  # pixel centres
  pixels = np.stack(marks)
  try:
    if file.points is None:
      return fit_points(pixels, intrinsics, size=size).views
    return fit_cameras(pixels, file.points, intrinsics, size=size).views
  except ValueError as error:
    raise FieldError(f"{file.frames[0].path}: {error}") from error
