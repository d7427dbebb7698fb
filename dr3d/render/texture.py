"""Pictures on triangles: mipmaps, and their lookup at each pixel.

`B` models, `F` faces, `K` pictures of a model of `H W` texels, `I` images.

A soft face has no colour of its own at a pixel, because the colours of all that
contribute are mixed. So a picture is looked up once for each pixel, at the
nearest face there; only beside a silhouette, where no face covers the centre of
the pixel, the corners' colours are mixed instead.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.camera.projection import Camera, faces_last
from dr3d.camera.view import Views
from dr3d.geometry.vector import Vector
from dr3d.render import raster
from dr3d.render.shading import shade_parts

Array = jax.Array

TEXTURE_CHANNELS = 9  # that `list_textured` returns for a lookup
_SLACK = 0.05  # of a face's height that a pixel may lie outside of it
_MIN_AREA = 1e-12  # of a triangle, square pixels or texels: no division by 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Texture:
  """Pictures on the faces of B models.

  Attributes:
    uv: `[B, F, 3, 2]` where the corners are in their picture: u to the right
      and v up, both 1 at the end. Beyond that the picture repeats.
    image: `[B, K, H, W, 3]` red, green, blue, in [0, 1]; multiplies the
      material's diffuse colour. H and W are powers of 2.
    number: int32 `[B, F]`, the picture of each face; the first one if None.
  """

  uv: Array | np.ndarray
  image: Array | np.ndarray
  number: Array | np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Mipmaps:
  """Pictures at all sizes, each the mean of four texels of the one before.

  Attributes:
    texels: `[B, K, T, 3]`, all levels one after the other.
    sizes: height and width of each level.
  """

  texels: Array
  sizes: tuple[tuple[int, int], ...]


def make_mipmaps(image: Array | np.ndarray) -> Mipmaps:
  """Makes all levels down to a side of one texel.

  Args:
    image: `[B, K, H, W, 3]`.

  Raises:
    ValueError: the shape does not fit, or a side is not a power of 2.
  """
  level = jnp.asarray(image)
  if level.ndim != 5 or level.shape[-1] != 3:
    raise ValueError(f"image must be [B, K, H, W, 3], got {level.shape}.")
  if any(side < 1 or side & (side - 1) for side in level.shape[2:4]):
    raise ValueError(
      f"sides of a picture must be powers of 2, got {level.shape[2:4]};"
      " dr3d.load_textured resizes pictures."
    )
  levels, sizes = [], []
  while True:
    B, K, H, W, _ = level.shape
    levels.append(level.reshape(B, K, H * W, 3))
    sizes.append((H, W))
    if min(H, W) == 1:
      return Mipmaps(jnp.concatenate(levels, axis=2), tuple(sizes))
    level = level.reshape(B, K, H // 2, 2, W // 2, 2, 3).mean((3, 5))


def sample(
  mipmaps: Mipmaps,
  uv: Array,
  number: Array,
  level: Array,
) -> Array:
  """Looks colours up: bilinear in a level, linear between two levels.

  Differentiable in the texels and in `uv`.

  Args:
    mipmaps: of B models.
    uv: `[B, ..., 2]`, see `Texture`.
    number: int `[B, ...]`, which picture.
    level: `[B, ...]` 0 for the full size, 1 for half of it, and so on.

  Returns:
    `[B, ..., 3]`.
  """
  sizes = np.array(mipmaps.sizes)
  starts = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
  level = jnp.clip(level, 0, len(sizes) - 1)
  low = jnp.floor(level).astype(int)
  high = jnp.minimum(low + 1, len(sizes) - 1)
  between = (level - low)[..., None]
  models = jnp.arange(len(uv)).reshape(-1, *[1] * (number.ndim - 1))

  def look_up(level: Array) -> Array:
    height = jnp.asarray(sizes[:, 0])[level]
    width = jnp.asarray(sizes[:, 1])[level]
    start = jnp.asarray(starts)[level]
    # The centre of texel i is at (i + 1/2) / W.
    x = uv[..., 0] * width - 0.5
    y = (1 - uv[..., 1]) * height - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    color = jnp.zeros((*uv.shape[:-1], 3), mipmaps.texels.dtype)
    for right in (0, 1):
      for down in (0, 1):
        weight = jnp.abs(1 - right - (x - left)) * jnp.abs(1 - down - (y - top))
        column = jnp.mod(left.astype(int) + right, width)
        row = jnp.mod(top.astype(int) + down, height)
        texel = mipmaps.texels[models, number, start + row * width + column]
        color += weight[..., None] * texel
    return color

  return (1 - between) * look_up(low) + between * look_up(high)


def list_textured(
  p: Vector,
  normals: Vector,
  views: Views,
  texture: Texture,
  *,
  albedo: Array | np.ndarray | None,
  camera: Camera,
) -> tuple[list[Array], Array]:
  """What a lookup needs at the corners, and colours for a soft image.

  Args:
    p: corners, `[3, B, N, F]` for each axis.
    normals: see `shading.shade_parts`, as for `views` and `camera`.
    views: lights, material, cameras.
    texture: of the models.
    albedo: `[B, F, 3, 3]` colours of the corners besides the pictures'.
    camera: perspective or orthographic.

  Returns:
    u, v, number of the picture, matte and glossy colours, each `[3, B, N, F]`;
    and `[B, F, 3, 3]`, the albedo with the pictures' colours.
  """
  uv = jnp.asarray(texture.uv)
  number = jnp.broadcast_to(_number(texture)[..., None], uv.shape[:-1])
  maps = make_mipmaps(texture.image)
  # Half way to a single texel: a corner stands for what is around it.
  level = jnp.full(uv.shape[:-1], len(maps.sizes) / 2, uv.dtype)
  corners = sample(maps, uv, number, level)
  matte, shine = shade_parts(p, normals, views, camera=camera)
  if albedo is not None:
    corners = corners * albedo
    matte = [a * d for a, d in zip(faces_last(albedo), matte, strict=True)]
  where = (*faces_last(uv), *faces_last(number[..., None]))
  lookup = [jnp.broadcast_to(x, p[0].shape).astype(p[0].dtype) for x in where]
  return [*lookup, *matte, *shine], corners


def put_texture(
  color: Array,
  texture: Texture,
  corners: Array,
  values: Array,
  *,
  depth_range: tuple[Array, Array],
  budget: raster.Budget,
  camera: Camera,
) -> Array:
  """Replaces colours by those of the pictures where a face covers a pixel.

  Args:
    color: `[I, H, W, C]` of a soft image, I = B·N.
    texture: of the B models.
    corners: `[I, F, 3, 3]` x, y in pixels and the inverse depth.
    values: `[I, F, 3, 9]` from `list_textured`.
    depth_range: see `raster.rasterize`.
    budget: room; that of the soft image is enough.
    camera: perspective or orthographic.
  """
  face, is_covered = raster.find_faces(
    corners,
    size=(color.shape[1], color.shape[2]),
    depth_range=depth_range,
    budget=budget,
    camera=camera,
  )
  found, is_inside = interpolate(corners, values, face, camera=camera)
  maps = make_mipmaps(texture.image)
  levels = find_level(values[..., :2], corners[..., :2], maps.sizes[0])
  level = levels[jnp.arange(len(face))[:, None, None], face]
  number = jnp.rint(jax.lax.stop_gradient(found[..., 2])).astype(int)
  number = jnp.clip(number, 0, texture.image.shape[1] - 1)

  def each_model(array: Array) -> Array:
    return array.reshape(len(texture.uv), -1, *array.shape[1:])

  albedo = sample(
    maps, *(each_model(x) for x in (found[..., :2], number, level))
  ).reshape(*face.shape, 3)
  textured = albedo * found[..., 3:6] + found[..., 6:9]
  shown = (is_covered & is_inside)[..., None]
  return jnp.concatenate(
    [jnp.where(shown, textured, color[..., :3]), color[..., 3:]], axis=-1
  )


def find_level(uv: Array, pixels: Array, size: tuple[int, int]) -> Array:
  """Returns the level at which a texel of a face is as large as a pixel.

  Args:
    uv: `[..., 3, 2]` of corners.
    pixels: `[..., 3, 2]` the same corners in the image.
    size: H and W of the full picture.

  Returns:
    `[...]`, the mean over the face; a constant of the gradient.
  """

  def area(corners: Array) -> Array:
    a = corners[..., 1, :] - corners[..., 0, :]
    b = corners[..., 2, :] - corners[..., 0, :]
    double = jnp.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    return jnp.maximum(double / 2, _MIN_AREA)

  texels = area(uv) * size[0] * size[1]
  return jax.lax.stop_gradient(0.5 * jnp.log2(texels / area(pixels)))


def interpolate(
  corners: Array,
  values: Array,
  face: Array,
  *,
  camera: Camera,
) -> tuple[Array, Array]:
  """Interpolates values of corners at the centres of pixels.

  Args:
    corners: `[I, F, 3, 3]` x, y in pixels and the inverse depth.
    values: `[I, F, 3, C]`.
    face: int `[I, H, W]`, the face at each pixel.
    camera: in perspective, values are affine on the face, not in the image.

  Returns:
    `[I, H, W, C]`; and bool `[I, H, W]`, whether the pixel is on its face.
  """
  images = jnp.arange(len(face))[:, None, None]
  a = corners[images, face]  # [I, H, W, 3, 3]
  _, H, W = face.shape
  y, x = jnp.meshgrid(jnp.arange(H) + 0.5, jnp.arange(W) + 0.5, indexing="ij")
  p = jnp.stack([x, y], axis=-1)[:, :, None] - a[..., :2]

  def across(k: int) -> Array:
    """Twice the area between the pixel and the edge that corner k lacks."""
    u, v = p[..., (k + 1) % 3, :], p[..., (k + 2) % 3, :]
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

  weight = jnp.stack([across(k) for k in range(3)], axis=-1)
  if camera == "perspective":
    weight = weight * a[..., 2]
  total = weight.sum(-1, keepdims=True)
  weight = weight / jnp.where(jnp.abs(total) < _MIN_AREA, 1, total)
  # Where two faces share an edge or a place, the number may be of neither.
  is_inside = jnp.all((weight > -_SLACK) & (weight < 1 + _SLACK), axis=-1)
  return (weight[..., None] * values[images, face]).sum(-2), is_inside


def join_textures(
  textures: Sequence[Texture | None], face_counts: Sequence[int], scenes: int
) -> Texture | None:
  """Puts the pictures of several objects into one scene.

  Args:
    textures: of each object; None for a white one.
    face_counts: F of each object.
    scenes: B; what is of a single scene is in all of them.

  Raises:
    ValueError: pictures of different sizes.
  """
  some = [each for each in textures if each is not None]
  if not some:
    return None
  sizes = {tuple(np.shape(each.image)[2:4]) for each in some}
  if len(sizes) > 1:
    raise ValueError(
      f"pictures of one scene must have the same size, got {sorted(sizes)}."
    )
  size = sizes.pop()
  white = np.ones((1, 1, *size, 3), np.float32)
  uv, images, numbers, start = [], [], [], 0
  for texture, F in zip(textures, face_counts, strict=True):
    each = texture or Texture(np.zeros((1, F, 3, 2), np.float32), white)
    uv.append(_repeat(each.uv, scenes))
    images.append(_repeat(each.image, scenes))
    numbers.append(_repeat(_number(each) + start, scenes))
    start += np.shape(each.image)[1]
  return Texture(
    *(jnp.concatenate(arrays, axis=1) for arrays in (uv, images, numbers))
  )


def _repeat(array: Array | np.ndarray, count: int) -> Array:
  return jnp.broadcast_to(jnp.asarray(array), (count, *np.shape(array)[1:]))


def _number(texture: Texture) -> Array:
  if texture.number is None:
    return jnp.zeros(np.shape(texture.uv)[:2], jnp.int32)
  return jnp.asarray(texture.number)
