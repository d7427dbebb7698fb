"""A photograph of a new object → its code; its camera is known or searched."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import Views, take_views
from dr3d.error import FieldError
from dr3d.field.field import Field
from dr3d.field.fit import FitConfig, FittedCodes, fit_codes
from dr3d.field.picture import PictureSet
from dr3d.field.reading import read_pictures
from dr3d.image.cutout import CutOut, cut_out
from dr3d.image.frame import cut_square, find_hull, fit_square

VIEWPOINTS = 48  # of the training that a search tries with the mean code
KEPT = 4  # of them, for which a code is fitted
_ALPHA = 0.5  # of a pixel that belongs to an object


def fit_photograph(
  field: Field,
  photo: str | CutOut,
  *,
  cameras: pathlib.Path | None = None,
  steps: int = 200,
  seed: int = 0,
) -> FittedCodes:
  """Fits a code to a photograph.

  Without a camera, the viewpoints of the training are tried: each draws the
  mean code, zoomed and shifted so that its box is that of the thing in the
  photograph. From the best few, code and camera are fitted together, and the
  least loss decides.

  Args:
    field: the field.
    photo: a file, or what was cut out of it.
    cameras: file of cameras with a frame of this photograph, see `camera_file`;
      None searches the camera.
    steps: of the fit.
    seed: of its pixels.

  Returns:
    One code, one view, one loss.

  Raises:
    FieldError: the file of cameras has no frame of the photograph.
    PictureError: the photograph cannot be read, or shows nothing.
  """
  config = FitConfig(steps=steps, seed=seed)
  if cameras is not None:
    return fit_codes(
      field, _read_known(field, str(photo), cameras), config=config
    )
  cutout = photo if isinstance(photo, CutOut) else cut_out(photo)
  image, mask = cut_thing(cutout, field.config.size)
  views = search_views(field, image, mask)
  count = views.count
  pictures = PictureSet(
    images=np.repeat(image[None], count, axis=0),
    masks=np.repeat(mask[None], count, axis=0),
    seen=np.ones((count, *mask.shape), bool),
    views=views,
    rows=np.arange(count),
    names=tuple(f"start {i}" for i in range(count)),
  )
  fitted = fit_codes(
    field, pictures, config=dataclasses.replace(config, learn_cameras=True)
  )
  best = np.array([int(np.argmin(fitted.loss))])
  return FittedCodes(
    fitted.codes[best], take_views(fitted.views, best), fitted.loss[best]
  )


def cut_thing(cutout: CutOut, size: int) -> tuple[np.ndarray, np.ndarray]:
  """The thing in the middle of a white square.

  Returns:
    float32 `[H, W, 3]` colours in [0, 1] and `[H, W]` mask.
  """
  alpha = cutout.mask.pixels.astype(np.float32)
  color = cutout.picture[..., :3].astype(np.float32) / 255
  whole = np.concatenate([color * alpha[..., None], alpha[..., None]], -1)
  square = fit_square(find_hull(cutout.mask.pixels))
  cut = cut_square(whole, square, size=size, beyond="empty").clip(0, 1)
  mask = cut[..., 3]
  return cut[..., :3] + (1 - mask[..., None]), mask


def search_views(field: Field, image: np.ndarray, mask: np.ndarray) -> Views:
  """Returns the viewpoints from which the mean code looks most like a picture.

  Args:
    field: the field.
    image: `[H, W, 3]` on white.
    mask: `[H, W]`.

  Returns:
    At most `KEPT` views, zoomed and shifted to the thing, the best first.
  """
  count = min(VIEWPOINTS, field.views.count)
  some = np.linspace(0, field.views.count - 1, count).astype(int)
  views = take_views(field.views, some)
  size = field.config.size
  codes = np.tile(field.codes.mean(axis=0), (count, 1))
  _, alpha, _ = field.draw(codes, views, size=size, samples=32)
  views = align_boxes(views, alpha, mask)
  color, alpha, _ = field.draw(codes, views, size=size, samples=32)
  on_white = color if not field.config.network.background else (
    color * alpha[..., None] + 1 - alpha[..., None]
  )  # fmt: skip
  apart = np.square(alpha - mask).mean((1, 2))
  apart += np.square(on_white - image).mean((1, 2, 3))
  return take_views(views, np.argsort(apart)[:KEPT])


def align_boxes(views: Views, alpha: np.ndarray, mask: np.ndarray) -> Views:
  """Zooms and shifts views so that what they show has the box of a mask.

  Args:
    views: N views.
    alpha: `[N, H, W]` what they show.
    mask: `[H, W]`.
  """
  size = mask.shape[0]
  x, y, side = _find_box(mask)
  half, shift = np.tan(np.asarray(views.fov) / 2), np.zeros((views.count, 2))
  first = np.zeros_like(shift)
  if views.principal is not None:
    first = np.asarray(views.principal)
  for n, shown in enumerate(alpha):
    u, v, length = _find_box(shown)
    zoom = side / length
    half[n] /= zoom
    middle = np.array([x, y]) / size - 0.5
    own = np.array([u, v]) / size - 0.5
    # A pixel goes from own to middle; the optical axis is scaled about it.
    shift[n] = middle + (first[n] - own) * zoom
  return dataclasses.replace(
    views,
    fov=jnp.asarray(2 * np.arctan(half), jnp.float32),
    principal=jnp.asarray(shift, jnp.float32),
  )


def _find_box(alpha: np.ndarray) -> tuple[float, float, float]:
  """Centre x, y and longer side of what is opaque, pixels; else of all."""
  inside = alpha > _ALPHA
  if not inside.any():
    return alpha.shape[1] / 2, alpha.shape[0] / 2, float(alpha.shape[0])
  rows, columns = (np.flatnonzero(inside.any(axis=a)) for a in (1, 0))
  x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
  return (x0 + x1) / 2, (y0 + y1) / 2, float(max(x1 - x0, y1 - y0))


def _read_known(field: Field, photo: str, cameras: pathlib.Path) -> PictureSet:
  """The photograph with the camera that a file names."""
  from dr3d.field.camera_file import read_cameras

  wanted = pathlib.Path(photo).resolve()
  paths = [frame.path.resolve() for frame in read_cameras(cameras).frames]
  if wanted not in paths:
    raise FieldError(f"{cameras} has no frame of {photo}.")
  pictures = read_pictures(cameras, size=field.config.size)
  return pictures.take([paths.index(wanted)])
