"""One picture to a mesh: background, code, surface and confidence.

`H W` pixels.
"""

import dataclasses
import pathlib

import numpy as np
import scipy.ndimage
from PIL import Image, UnidentifiedImageError

from dr3d.error import Dr3dError
from dr3d.mesh import Mesh
from dr3d.render.config import RenderConfig
from dr3d.render.triangle import TriangleRenderer, stack_meshes
from dr3d.shape.model import ShapeModel
from dr3d.shape.picture import crop

RESOLUTION = 64  # of marching cubes
_VARIANTS = 6  # crops and flips whose shapes the confidence compares
_VARIANT_RESOLUTION = 16  # of their voxels
_ROOM = 1.02  # image to object, as pictures are drawn for the training
# Distance of colours, of 0 to 1 in each of three channels, from the border's.
_FOREGROUND = 0.12
_LEAST_SHARE = 0.005  # of the pixels that an object must cover
_MAX_SHARE = 0.98


@dataclasses.dataclass(frozen=True, eq=False)
class Lifted:
  """A shape from a picture.

  Attributes:
    mesh: in the unit sphere and its principal pose.
    code: float32 [Z].
    confidence: agreement of the shapes of shifted and flipped copies of the
      picture, mean IoU at 16³ voxels, in [0, 1].
    picture: float32 [H, W], what the network saw.
  """

  mesh: Mesh
  code: np.ndarray
  confidence: float
  picture: np.ndarray


def read_picture(path: str | pathlib.Path) -> np.ndarray:
  """Reads a picture as float32 [H, W, 4], alpha 1 if it has none.

  Raises:
    Dr3dError: the file is missing or not a picture.
  """
  try:
    with Image.open(path) as image:
      return np.asarray(image.convert("RGBA"), np.float32) / 255
  except FileNotFoundError as error:
    raise Dr3dError(f"{path} does not exist.") from error
  except (OSError, UnidentifiedImageError) as error:
    raise Dr3dError(
      f"{path} is not a picture that Pillow can read: save it as PNG or JPEG."
    ) from error


def find_object(image: np.ndarray) -> np.ndarray:
  """Returns bool [H, W]: the pixels of the object.

  Transparent pixels are background if there are any. Otherwise the background
  has the colour of the border, so the object must be photographed on a plain
  ground and touch the border with little of it. The largest piece is kept and
  its holes are filled with what differs from the ground.

  Raises:
    Dr3dError: no object stands out from the border.
  """
  if image[..., 3].min() < 0.5:
    mask = image[..., 3] > 0.5
  else:
    color = image[..., :3]
    border = np.concatenate(
      [color[0], color[-1], color[:, 0], color[:, -1]], axis=0
    )
    far = np.abs(color - np.median(border, axis=0)).max(axis=-1)
    mask = scipy.ndimage.binary_opening(far > _FOREGROUND)
  pieces, count = scipy.ndimage.label(mask)
  if count > 1:
    sizes = np.bincount(pieces.reshape(-1))[1:]
    mask = pieces == 1 + sizes.argmax()
  share = mask.mean()
  if not _LEAST_SHARE <= share <= _MAX_SHARE:
    raise Dr3dError(
      f"the object covers {share:.1%} of the picture, so it cannot be told from"
      " the background: photograph it on a plain ground of another colour, or"
      " make the background transparent."
    )
  return mask


def prepare_picture(image: np.ndarray, *, size: int) -> np.ndarray:
  """Returns the object as the training's pictures show it.

  Args:
    image: float [H, W, 4] in [0, 1], colours not multiplied by alpha.
    size: height and width of the result.

  Returns:
    float32 [size, size], inverted grey, 0 for the background.

  Raises:
    Dr3dError: see `find_object`.
  """
  mask = find_object(image)
  grey = np.where(mask, 1 - image[..., :3].mean(axis=-1), 0)
  rows, columns = np.nonzero(mask)
  middle = np.array([np.ptp(rows), np.ptp(columns)]) / 2
  middle += [rows.min(), columns.min()]
  points = np.stack([rows, columns], axis=1) - middle
  half = int(np.ceil(_ROOM * np.sqrt((points**2).sum(axis=1).max()))) + 1
  padded = np.pad(grey, half)
  y, x = np.rint(middle).astype(int)
  square = padded[y : y + 2 * half, x : x + 2 * half]
  resized = Image.fromarray(np.float32(square)).resize(
    (size, size), Image.Resampling.BOX
  )
  return np.asarray(resized, np.float32)


def lift(
  model: ShapeModel, image: np.ndarray, *, resolution: int = RESOLUTION
) -> Lifted:
  """Returns the shape that a picture shows.

  Args:
    model: with a picture encoder.
    image: float [H, W, 4], see `read_picture`.
    resolution: of marching cubes.

  Raises:
    Dr3dError: the model has no picture encoder, no object stands out, or its
      code stands for an empty shape.
  """
  config = model.config.picture
  if config is None:
    model.encode_pictures(np.zeros((1, 1, 1)))  # raises with the reason
  assert config is not None
  large = prepare_picture(image, size=config.size + config.margin)
  middle = crop(large[None], size=config.size, rng=None)
  rng = np.random.default_rng(0)
  copies = crop(np.stack([large] * _VARIANTS), size=config.size, rng=rng)
  codes = model.encode_pictures(np.concatenate([middle, copies]))
  return Lifted(
    mesh=model.decode(codes[0], resolution=resolution),
    code=codes[0],
    confidence=agreement(model, codes),
    picture=middle[0],
  )


def agreement(model: ShapeModel, codes: np.ndarray) -> float:
  """Returns the mean IoU of the first code's voxels with the others', 16³."""
  from dr3d.evaluation.reconstruction import score_occupancy

  first, *others = (
    model.decode_voxels(code, resolution=_VARIANT_RESOLUTION) for code in codes
  )
  return float(np.mean([score_occupancy(o, first).iou for o in others]))


def render_codes(
  model: ShapeModel,
  codes: np.ndarray,
  *,
  config: RenderConfig,
  resolution: int = RESOLUTION,
  face_budget: int = 1024,
) -> TriangleRenderer:
  """Returns the `Renderer` of codes, so that a code is a query.

  Each code's surface is extracted at a resolution and drawn as triangles. The
  decoder is not a distance, so tracing its rays would take about a hundred
  values a ray, some thousand million in twelve views, against two hundred
  thousand for the surface. The triangles do not depend on the views.

  Args:
    model: the decoder.
    codes: float [B, Z].
    config: how they are drawn; that of a pipeline to search with it.
    resolution: of marching cubes.
    face_budget: largest number of faces of each.

  Raises:
    MeshError: a code stands for an empty shape.
  """
  meshes = [
    model.decode(code, resolution=resolution, face_budget=face_budget)
    for code in codes
  ]
  triangles = stack_meshes(
    meshes, face_count=face_budget, pose="principal", coverage=config.coverage
  )
  return TriangleRenderer(triangles, config)
