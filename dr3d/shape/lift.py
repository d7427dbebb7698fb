"""One picture to a mesh: background, code, surface and confidence.

`H W` pixels.
"""

import dataclasses

import numpy as np

from dr3d.evaluation.reconstruction import score_occupancy
from dr3d.image.cutout import CutOut, Photo, cut_out
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.render.config import Pose, RenderConfig
from dr3d.render.triangle import TriangleRenderer, stack_meshes
from dr3d.shape.model import ShapeModel
from dr3d.shape.picture import crop, invert

RESOLUTION = 64  # of marching cubes
_VARIANTS = 6  # crops and flips whose shapes the confidence compares
_VARIANT_RESOLUTION = 16  # of their voxels


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


def lift(
  model: ShapeModel,
  photo: Photo,
  *,
  region: Box | None = None,
  resolution: int = RESOLUTION,
) -> Lifted:
  """Returns the shape that a picture shows.

  Args:
    model: with a picture encoder.
    photo: a picture of one thing, see `dr3d.image.cutout.cut_out`.
    region: a box around the thing, pixels; None if it is alone.
    resolution: of marching cubes.

  Raises:
    PictureError: the picture cannot be read, or shows nothing.
    MeshError: its code stands for an empty shape.
    Dr3dError: the model has no picture encoder.
  """
  config = model.config.picture
  if config is None:
    model.encode_pictures(np.zeros((1, 1, 1)))  # raises with the reason
  assert config is not None
  cut = photo if isinstance(photo, CutOut) else cut_out(photo, region=region)
  # The thing fills the square as a rendered one does in the training.
  large = invert(cut.turn(config.size + config.margin, count=1))[0]
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
  first, *others = (
    model.decode_voxels(code, resolution=_VARIANT_RESOLUTION) for code in codes
  )
  return float(np.mean([score_occupancy(o, first).iou for o in others]))


def render_codes(
  model: ShapeModel,
  codes: np.ndarray,
  *,
  config: RenderConfig,
  pose: Pose = "principal",
  width: int | None = None,
  resolution: int = RESOLUTION,
  face_budget: int = 1024,
) -> TriangleRenderer:
  """Returns the `Renderer` of codes, so that a code is a query.

  Each code's surface is extracted at a resolution and drawn as triangles.
  Occupancy is not a distance, so to trace a ray takes about a hundred values:
  five million for twelve views of 64² pixels. The surface at 64³ takes some
  eighty thousand, and its triangles do not depend on the views.

  Args:
    model: the decoder.
    codes: float [B, Z].
    config: how they are drawn; that of a pipeline to search with it, as are
      the next two.
    pose: `"file"` keeps the axes of the codes.
    width: of the images, pixels; None for square ones.
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
    meshes, face_count=face_budget, pose=pose, coverage=config.coverage
  )
  return TriangleRenderer(triangles, config, width=width)
