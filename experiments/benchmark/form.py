"""The forms of the renderer that are compared.

A form is a function from its parameters to images `[I, H, W, C]`, with the
number of pixel-face pairs that it evaluates. All are differentiated by all of
their parameters.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.render import raster
from dr3d.render.raster.bin import SLOTS, TILE, tile_grid
from dr3d.render.triangle import RenderConfig, fit_budget, render
from dr3d.runtime.device import share_devices
from experiments.benchmark.scene import Scene

Array = jax.Array

TILE_BATCH = 16  # tiles that the tiled control evaluates at once


@dataclasses.dataclass(frozen=True)
class Form:
  """A renderer to time.

  Attributes:
    name: in the table.
    draw: from the parameters to images.
    parameters: arguments of `draw`; gradients are taken by them.
    pairs: pixel-face pairs evaluated in a call.
    is_counted: whether the operations of a pair are known; see `row`.
  """

  name: str
  draw: Callable[..., Array]
  parameters: tuple[Any, ...]
  pairs: int
  is_counted: bool = False


def rasterizer(scene: Scene, *, config: RenderConfig) -> Form:
  """The rasterizer with its hand-written backward pass."""
  budget, usage = _fit(scene, config)

  def draw(corners, colors):
    color, alpha, _ = raster.rasterize(
      corners,
      colors,
      size=(scene.size, scene.size),
      sigma=config.sigma,
      gamma=config.gamma,
      depth_range=scene.depth_range,
      budget=budget,
    )
    return jnp.concatenate([color, alpha[..., None]], axis=-1)

  return Form(
    name="rasterizer",
    draw=draw,
    parameters=(scene.corners, scene.colors),
    pairs=int(usage.blocks) * SLOTS * TILE**2,
    is_counted=True,
  )


def renderer(scene: Scene, *, config: RenderConfig) -> Form:
  """G: camera and light followed by the rasterizer.

  Its parameters are corners and normals in space, and all of the views.
  """
  config = dataclasses.replace(config, size=scene.size, framing="sphere")
  budget = fit_budget(scene.triangles, scene.views, config=config)
  _, usage = _fit(scene, config)

  def draw(triangles, views):
    images, _ = render(
      triangles,
      views,
      size=scene.size,
      sigma=config.sigma,
      gamma=config.gamma,
      budget=budget,
      framing=config.framing,
    )
    return images[0]

  return Form(
    name="G",
    draw=draw,
    parameters=(jax.tree.map(jnp.asarray, scene.triangles), scene.views),
    pairs=int(usage.blocks) * SLOTS * TILE**2,
    is_counted=True,
  )


def shared(scene: Scene, *, config: RenderConfig) -> Form | None:
  """G with its views split over devices; None for one device or one view."""
  devices = share_devices(scene.views.count)
  if devices.size == 1:
    return None
  one = renderer(scene, config=config)
  config = dataclasses.replace(config, size=scene.size, framing="sphere")
  budget = fit_budget(
    scene.triangles, scene.views, config=config, devices=devices
  )

  def draw(triangles, views):
    images, _ = render(
      triangles,
      views,
      budget=budget,
      devices=devices,
      **dataclasses.asdict(config),
    )
    return images[0]

  return dataclasses.replace(one, name=f"G, {devices.size} devices", draw=draw)


def dense(scene: Scene, *, config: RenderConfig) -> Form:
  """The literal formula, every pixel against every face, by autodiff."""
  image_count, faces = scene.corners.shape[:2]
  return Form(
    name="dense autodiff",
    draw=jax.vmap(_draw_dense(scene, config, side=scene.size)),
    parameters=(scene.corners, scene.colors),
    pairs=image_count * faces * scene.size**2,
  )


def tiled(scene: Scene, *, config: RenderConfig) -> Form:
  """The formula tile by tile, over the faces near each tile, by autodiff.

  This is what one would write without a backward pass. The faces are sorted
  into tiles beforehand, which is not timed. Each tile has as many slots as the
  fullest one needs.
  """
  tables = _faces_by_tile(scene, config)
  rows, columns = tile_grid((scene.size, scene.size))
  image, tile = np.divmod(np.arange(len(tables)), rows * columns)
  origin = TILE * np.stack([tile % columns, tile // columns], axis=-1)
  faces = jnp.asarray(tables)
  shifts = jnp.asarray(origin, scene.corners.dtype)
  draw_tile = _draw_dense(scene, config, side=TILE)

  def draw(corners, colors):
    # The last face, without area, fills the unused slots of a tile.
    flat = [
      jnp.concatenate([x.reshape(-1, 3, 3), jnp.zeros((1, 3, 3), x.dtype)])
      for x in (corners, colors)
    ]

    def draw_one(tile):
      face, (x, y) = tile
      shift = jnp.stack([x, y, jnp.zeros_like(x)])
      return draw_tile(flat[0][face] - shift, flat[1][face])

    tiles = jax.lax.map(draw_one, (faces, shifts), batch_size=TILE_BATCH)
    images = tiles.reshape(image[-1] + 1, rows, columns, TILE, TILE, -1)
    images = jnp.swapaxes(images, 2, 3)
    images = images.reshape(-1, rows * TILE, columns * TILE, images.shape[-1])
    return images[:, : scene.size, : scene.size]

  return Form(
    name="tiled autodiff",
    draw=draw,
    parameters=(scene.corners, scene.colors),
    pairs=tables.size * TILE**2,
  )


def _draw_dense(scene, config, *, side):
  def draw(corners, colors):
    color, alpha = raster.rasterize_dense(
      corners,
      colors,
      size=(side, side),
      sigma=config.sigma,
      gamma=config.gamma,
      depth_range=scene.depth_range,
      cutoff=raster.CUTOFF,
      background_depth=raster.BACKGROUND_DEPTH,
      thinnest=raster.THINNEST,
    )
    return jnp.concatenate([color, alpha[..., None]], axis=-1)

  return draw


def _fit(scene, config):
  """Returns the least budget that holds the scene, and the usage."""
  budget = raster.Budget(pairs=8, blocks=8)
  while True:
    usage = raster.measure(
      scene.corners,
      size=(scene.size, scene.size),
      sigma=config.sigma,
      budget=budget,
    )
    if budget.holds(usage):
      return budget, usage
    budget = budget.grown_to(usage)


def _faces_by_tile(scene, config):
  """Faces of each tile, `[I · tiles, M]`: those within the support radius.

  Faces of all images are numbered consecutively; I·F marks an empty slot.
  """
  rows, columns = tile_grid((scene.size, scene.size))
  image_count, faces = scene.corners.shape[:2]
  radius = config.sigma * (-raster.CUTOFF) ** 0.5
  corner = np.asarray(scene.corners)[..., :2].reshape(-1, 3, 2)
  last = np.array([columns, rows]) - 1
  low = np.floor((corner.min(axis=1) - radius) / TILE).astype(int)
  high = np.floor((corner.max(axis=1) + radius) / TILE).astype(int)
  low, high = np.maximum(low, 0), np.minimum(high, last)
  span = np.maximum(high - low + 1, 0)
  count = span.prod(axis=1)
  face = np.repeat(np.arange(image_count * faces), count)
  within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
  x = low[face, 0] + within % span[face, 0]
  y = low[face, 1] + within // span[face, 0]
  tile = (face // faces) * (rows * columns) + y * columns + x
  order = np.argsort(tile, kind="stable")
  face, tile = face[order], tile[order]
  filled = np.bincount(tile, minlength=image_count * rows * columns)
  slot = np.arange(len(face)) - (np.cumsum(filled) - filled)[tile]
  tables = np.full((len(filled), max(filled.max(), 1)), image_count * faces)
  tables[tile, slot] = face
  return tables
