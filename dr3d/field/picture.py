"""What a field learns from: pictures, masks and cameras; batches of pixels."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
import scipy.ndimage

from dr3d.camera.view import Views, take_views

Array = jax.Array

NEAR = 2  # pixels; around a mask, the pixels that its outline depends on


@dataclasses.dataclass(frozen=True, eq=False)
class PictureSet:
  """K square pictures of O objects.

  Attributes:
    images: float32 `[K, H, W, 3]` red, green, blue in [0, 1].
    masks: float32 `[K, H, W]` share of the object, or None if not known.
    seen: bool `[K, H, W]`; False where a picture was padded to a square.
    views: K cameras; their lights mean nothing.
    rows: int `[K]` number of the object that each picture shows, 0 to O - 1.
    names: of the O objects.
  """

  images: np.ndarray
  masks: np.ndarray | None
  seen: np.ndarray
  views: Views
  rows: np.ndarray
  names: tuple[str, ...]

  @property
  def size(self) -> int:
    """Height and width, pixels."""
    return self.images.shape[1]

  def take(self, chosen: Sequence[int] | np.ndarray) -> "PictureSet":
    """Returns some of the pictures, with only the objects that they show."""
    chosen = np.asarray(chosen)
    kept, rows = np.unique(self.rows[chosen], return_inverse=True)
    return PictureSet(
      images=self.images[chosen],
      masks=None if self.masks is None else self.masks[chosen],
      seen=self.seen[chosen],
      views=take_views(self.views, chosen),
      rows=rows,
      names=tuple(self.names[i] for i in kept),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PixelBatch:
  """Pixels of some pictures.

  Attributes:
    picture: int32 `[B]` numbers of the pictures.
    row: int32 `[B]` numbers of their objects.
    pixel: float32 `[B, P, 2]` x to the right and y down, pixels.
    color: float32 `[B, P, 3]`.
    mask: float32 `[B, P]`, of no meaning without masks.
  """

  picture: Array | np.ndarray
  row: Array | np.ndarray
  pixel: Array | np.ndarray
  color: Array | np.ndarray
  mask: Array | np.ndarray


def find_near(pictures: PictureSet) -> np.ndarray:
  """Returns bool `[K, H, W]`: the pixels of each object and some around it.

  All that are seen, if there are no masks or one shows nothing.
  """
  if pictures.masks is None:
    return pictures.seen
  near = np.zeros_like(pictures.seen)
  for k, mask in enumerate(pictures.masks):
    object_ = scipy.ndimage.binary_dilation(mask > 0, iterations=NEAR)
    near[k] = object_ & pictures.seen[k]
    if not near[k].any():
      near[k] = pictures.seen[k]
  return near


def draw_pixels(
  pictures: PictureSet,
  step: int,
  *,
  count: int,
  pixels: int,
  seed: int,
  near: np.ndarray | None = None,
  share: float = 0.0,
) -> PixelBatch:
  """Draws pixels of pictures, a function of the seed and the step.

  Args:
    pictures: K pictures.
    step: number of the step.
    count: pictures of the batch, each once; at most K.
    pixels: P, of each.
    seed: of the run.
    near: bool `[K, H, W]` of `find_near`; not needed for a share of 0.
    share: of the pixels that are drawn there; the others anywhere.
  """
  K = len(pictures.images)
  rng = np.random.default_rng((seed, step))
  chosen = np.sort(rng.permutation(K)[: min(count, K)])
  some = round(share * pixels)
  places = []
  for k in chosen:
    place = rng.choice(np.flatnonzero(pictures.seen[k]), pixels)
    if near is not None and some:
      place[:some] = rng.choice(np.flatnonzero(near[k]), some)
    places.append(place)
  return _gather(pictures, chosen, np.stack(places))


def all_pixels(pictures: PictureSet) -> PixelBatch:
  """Returns every pixel of all pictures, by rows."""
  K, H, W = pictures.seen.shape
  place = np.broadcast_to(np.arange(H * W), (K, H * W))
  return _gather(pictures, np.arange(K), place)


def _gather(
  pictures: PictureSet, chosen: np.ndarray, place: np.ndarray
) -> PixelBatch:
  W = pictures.size
  y, x = np.divmod(place, W)
  k = chosen[:, None]
  masks = pictures.masks
  mask = np.zeros(place.shape) if masks is None else masks[k, y, x]
  return PixelBatch(
    picture=chosen.astype(np.int32),
    row=pictures.rows[chosen].astype(np.int32),
    pixel=np.stack([x, y], axis=-1).astype(np.float32) + np.float32(0.5),
    color=pictures.images[k, y, x],
    mask=np.asarray(mask, np.float32),
  )
