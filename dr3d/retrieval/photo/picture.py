"""Drawings of a model → what a photograph's cut-out of it looks like.

Colour, material and light are random; the mask is as bad as those that GrabCut
makes; the picture is blurred, noisy and compressed. The encoder sees grey, so
pictures are grey from the start.

`H W` pixels.
"""

import cv2
import numpy as np

from dr3d.image.background import make_noise
from dr3d.image.frame import cut_square, find_hull, fit_square

Random = np.random.Generator

_TURN = 4.0  # degrees, besides that of the view


def make_photograph(
  normal: np.ndarray, depth: np.ndarray, alpha: np.ndarray, rng: Random
) -> np.ndarray:
  """Makes the cut-out of a photograph.

  Args:
    normal: int8 `[H, W, 3]`, see `Drawings`, as are the next two.
    depth: int8 `[H, W]`.
    alpha: uint8 `[H, W]`.
    rng: random numbers.

  Returns:
    float32 `[H, W, 2]`: grey multiplied by the mask, and the mask.
  """
  size = len(alpha)
  solid = alpha.astype(np.float32) / 255
  shade = light(normal.astype(np.float32) / 127, depth, rng)
  ground = _draw_ground(size, rng)
  picture = ground + solid * (shade - ground)
  picture = _take(picture, rng)
  mask = spoil_mask(solid, rng)
  square = fit_square(
    find_hull(mask > 0.5), turn=float(rng.uniform(-_TURN, _TURN))
  )
  both = np.stack([picture * mask, mask], axis=-1)
  return np.clip(cut_square(both, square, size=size, beyond="empty"), 0, 1)


def light(normal: np.ndarray, depth: np.ndarray, rng: Random) -> np.ndarray:
  """Shades a surface under random lights: `[H, W]` from 0.

  Lambert and Blinn-Phong as in `render.shading`; what is deeper than its
  surroundings gets less of the light from everywhere.
  """
  albedo = float(np.exp(rng.uniform(np.log(0.08), np.log(0.95))))
  total = np.full(depth.shape, rng.uniform(0.15, 0.7), np.float32)
  total *= 1 + rng.uniform(-0.3, 0.5) * normal[..., 1]  # from the sky
  gloss = np.zeros_like(total)
  strength = rng.choice([0.0, rng.uniform(0.05, 0.6)])
  shininess = np.exp(rng.uniform(np.log(4), np.log(80)))
  for _ in range(rng.integers(1, 4)):
    way = rng.normal(size=3)
    way[2] = abs(way[2]) + 0.1
    way /= np.linalg.norm(way)
    intensity = rng.uniform(0.2, 0.9)
    total += intensity * np.maximum(normal @ way.astype(np.float32), 0)
    half = way + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    cosine = np.maximum(normal @ half.astype(np.float32), 1e-3)
    gloss += intensity * cosine**shininess
  deep = depth.astype(np.float32) / 127
  for sigma in (2.0, 6.0):
    hollow = np.maximum(cv2.GaussianBlur(deep, (0, 0), sigma) - deep, 0)
    total *= np.exp(-rng.uniform(0, 6) * hollow)
  if rng.random() < 0.5:  # a shadow that falls on it, or a lamp that is near
    field = make_noise(rng, depth.shape, cells=rng.uniform(1, 3))
    total *= 1 - rng.uniform(0, 0.6) * field
  return albedo * total + strength * gloss


def spoil_mask(mask: np.ndarray, rng: Random) -> np.ndarray:
  """Makes a mask as inexact as one that was found: float `[H, W]`.

  Its edge wanders; in one of four a piece is missing or background is added.
  """
  size = len(mask)
  soft = cv2.GaussianBlur(mask, (0, 0), 1.5)
  wander = make_noise(rng, mask.shape, cells=rng.uniform(3, 12)) - 0.5
  level = 0.5 + rng.uniform(-0.15, 0.25) + rng.uniform(0, 0.6) * wander
  found = (soft > np.clip(level, 0.05, 0.95)).astype(np.float32)
  if rng.random() < 0.25:
    at = rng.random(2) * size
    y, x = np.mgrid[:size, :size]
    radii = rng.uniform(0.05, 0.3, 2) * size
    blot = ((y - at[0]) / radii[0]) ** 2 + ((x - at[1]) / radii[1]) ** 2 < 1
    changed = found.copy()
    changed[blot] = float(rng.random() < 0.3)
    if changed.sum() > 0.5 * found.sum():
      found = changed
  if found.sum() < 0.2 * mask.sum() or not found.any():
    found = (mask > 0.5).astype(np.float32)
    found[size // 2, size // 2] = 1
  return cv2.GaussianBlur(found, (0, 0), 0.6)


def _draw_ground(size: int, rng: Random) -> np.ndarray:
  """What is behind the thing: paper with a gradient, or some texture."""
  ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
  turn = rng.uniform(0, 2 * np.pi)
  slope = np.cos(turn) * ramp + np.sin(turn) * ramp[:, None]
  ground = rng.uniform(0.05, 0.95) * (1 + rng.uniform(0, 0.5) * slope)
  if rng.random() < 0.3:
    field = make_noise(rng, (size, size), cells=rng.uniform(2, 10)) - 0.5
    ground = ground + rng.uniform(0, 0.8) * field
  return ground.astype(np.float32)


def _take(picture: np.ndarray, rng: Random) -> np.ndarray:
  """What a camera makes of it: exposure, blur, noise, JPEG."""
  picture = np.clip(picture * rng.uniform(0.6, 1.3), 0, 1)
  picture = picture ** rng.uniform(0.5, 1.3)
  if rng.random() < 0.7:
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.6))
  noise = rng.normal(size=picture.shape).astype(np.float32)
  picture = np.clip(picture + rng.uniform(0, 0.015) * noise, 0, 1)
  if rng.random() < 0.5:
    quality = int(rng.integers(25, 90))
    _, data = cv2.imencode(
      ".jpg",
      np.rint(255 * picture).astype(np.uint8),
      [cv2.IMWRITE_JPEG_QUALITY, quality],
    )
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    picture = np.asarray(decoded, np.float32) / 255
  return picture
