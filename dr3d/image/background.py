"""Procedural backgrounds: what a photograph shows behind a part.

Every kind is a function of `(rng, (H, W))` that returns float32 `[H, W, 3]` in
[0, 1]. No photograph is needed, so weights that learn from these pictures carry
the licence of nobody else. `KINDS` lists them by name.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

Size = tuple[int, int]
Random = np.random.Generator


def make_background(
  rng: Random, size: Size, *, kind: str | None = None
) -> np.ndarray:
  """Makes a background: a kind, under a light that falls off to one side.

  Args:
    rng: random numbers; the same state gives the same picture.
    size: height and width, pixels.
    kind: a key of `KINDS`; None draws one.

  Returns:
    float32 `[H, W, 3]` in [0, 1].

  Raises:
    ValueError: the size is not positive, or the kind is unknown.

  Example:
    >>> import numpy as np
    >>> make_background(np.random.default_rng(0), (32, 48)).shape
    (32, 48, 3)
  """
  if min(size) < 1:
    raise ValueError(f"size must be positive, got {size}.")
  if kind is None:
    kind = list(KINDS)[rng.integers(len(KINDS))]
  if kind not in KINDS:
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
  image = KINDS[kind](rng, size)
  y, x = _grid(size)
  turn = rng.uniform(0, 2 * np.pi)
  slope = np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5)
  light = 1 + rng.uniform(0, 0.5) * slope
  return np.clip(image * light[..., None], 0, 1).astype(np.float32)


def make_noise(rng: Random, size: Size, *, cells: float) -> np.ndarray:
  """Value noise of several octaves.

  Args:
    rng: random numbers.
    size: height and width, pixels.
    cells: of the coarsest octave along the longer side.

  Returns:
    float32 `[H, W]`, from 0 to 1.
  """
  total = np.zeros(size, np.float32)
  weight, longest = 1.0, max(size)
  while cells <= longest / 2 and weight > 0.05:
    shape = [max(2, round(cells * side / longest) + 1) for side in size]
    coarse = rng.random(shape, np.float32)
    total += weight * cv2.resize(
      coarse, size[::-1], interpolation=cv2.INTER_CUBIC
    )
    weight *= rng.uniform(0.4, 0.65)
    cells *= 2
  low, high = total.min(), total.max()
  return (total - low) / max(high - low, 1e-6)


def draw_gradient(rng: Random, size: Size) -> np.ndarray:
  """Colours that pass into each other, along a line or around a point."""
  y, x = _grid(size)
  if rng.random() < 0.5:
    turn = rng.uniform(0, 2 * np.pi)
    t = 0.5 + np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5)
  else:
    cx, cy = rng.random(2)
    t = np.hypot(x - cx, y - cy)
  return _colorize(np.clip(t, 0, 1), _palette(rng, 3))


def draw_cloud(rng: Random, size: Size) -> np.ndarray:
  """Noise through a palette: plaster, stone, sky, rust."""
  noise = make_noise(rng, size, cells=rng.uniform(2, 12))
  return _colorize(noise, _palette(rng, int(rng.integers(2, 5))))


def draw_grain(rng: Random, size: Size) -> np.ndarray:
  """Bent stripes and fine fibres, as of wood or brushed metal."""
  y, x = _grid(size)
  bend = make_noise(rng, size, cells=rng.uniform(1.5, 4))
  turn = rng.uniform(0, np.pi)
  along = np.cos(turn) * x + np.sin(turn) * y
  waves = np.sin(2 * np.pi * rng.uniform(3, 25) * (along + 0.15 * bend))
  strands = rng.random((size[0], max(2, size[1] // 16)), np.float32)
  fibre = cv2.resize(strands, size[::-1], interpolation=cv2.INTER_LINEAR)
  return _colorize(0.5 + 0.35 * waves + 0.15 * fibre, _palette(rng, 2))


def draw_tiles(rng: Random, size: Size) -> np.ndarray:
  """Bricks, tiles or a checkerboard, with joints, seen at an angle."""
  y, x = _grid(size)
  turn, count = rng.uniform(0, np.pi), rng.uniform(3, 14)
  u = count * (np.cos(turn) * x + np.sin(turn) * y)
  v = count * rng.uniform(0.5, 2) * (np.cos(turn) * y - np.sin(turn) * x)
  v = v / (1 + rng.uniform(0, 0.6) * y)
  row = np.floor(v).astype(int)
  u = u + rng.choice([0, 0.5]) * (row % 2)
  column = np.floor(u).astype(int)
  shades = rng.random((64, 64)).astype(np.float32)
  t = shades[row % 64, column % 64]
  if rng.random() < 0.3:
    t = ((row + column) % 2).astype(np.float32)
  image = _colorize(t, _palette(rng, 2))
  joint = rng.uniform(0.02, 0.1)
  edge = np.minimum(np.minimum(u % 1, 1 - u % 1), np.minimum(v % 1, 1 - v % 1))
  return np.where((edge < joint)[..., None], _color(rng), image)


def draw_cells(rng: Random, size: Size) -> np.ndarray:
  """Cells around random points: pebbles, leaves, crowds of small things."""
  count = int(rng.integers(15, 150))
  points = rng.random((count, 2)) * size
  label = np.full(size, 255, np.uint8)
  for y, x in points.astype(int):
    label[y, x] = 0
  distance, index = cv2.distanceTransformWithLabels(
    label, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
  )
  shades = _colorize(
    rng.random(index.max() + 1).astype(np.float32), _palette(rng, 4)
  )
  scale = distance / max(distance.max(), 1e-6)
  return shades[index] * (1 - rng.uniform(0, 0.7) * scale)[..., None]


def draw_clutter(rng: Random, size: Size) -> np.ndarray:
  """Shapes with shaded sides on another background: desks, shelves, scrap."""
  image = np.ascontiguousarray(draw_cloud(rng, size))
  longest = max(size)
  for _ in range(int(rng.integers(8, 40))):
    center = rng.random(2) * (size[1], size[0])
    radius = longest * rng.uniform(0.02, 0.25)
    shape = np.zeros(size, np.float32)
    _draw_shape(rng, shape, center, radius)
    y, x = _grid(size)
    turn = rng.uniform(0, 2 * np.pi)
    shade = 1 + rng.uniform(0, 1.5) * (
      np.cos(turn) * x + np.sin(turn) * y - 0.5
    )
    color = _color(rng) * shade[..., None]
    image = image + shape[..., None] * (color - image)
  return image


def draw_room(rng: Random, size: Size) -> np.ndarray:
  """A wall and a floor in perspective, with things along the wall."""
  wall, floor = draw_cloud(rng, size), draw_tiles(rng, size)
  y, x = _grid(size)
  line = rng.uniform(0.25, 0.75) + rng.uniform(-0.15, 0.15) * (x - 0.5)
  image = np.where((y < line)[..., None], wall, floor)
  for _ in range(int(rng.integers(0, 7))):
    left, wide = rng.random(), rng.uniform(0.03, 0.3)
    top = float(line[0, 0]) - rng.uniform(0.05, 0.6)
    inside = (x > left) & (x < left + wide) & (y > top) & (y < line + 0.05)
    shade = 0.7 + 0.3 * (x - left) / wide
    image = np.where(inside[..., None], _color(rng) * shade[..., None], image)
  depth = np.clip((y - line) / np.maximum(1 - line, 1e-3), 0, 1)
  return image * np.where(y < line, 1, 0.6 + 0.4 * depth)[..., None]


KINDS: Mapping[str, Callable[[Random, Size], np.ndarray]] = {
  "gradient": draw_gradient,
  "cloud": draw_cloud,
  "grain": draw_grain,
  "tiles": draw_tiles,
  "cells": draw_cells,
  "clutter": draw_clutter,
  "room": draw_room,
}


def _draw_shape(
  rng: Random, canvas: np.ndarray, center: np.ndarray, radius: float
) -> None:
  """Fills an ellipse, a polygon or a thick line with 1, in place."""
  kind = rng.integers(3)
  middle = (int(center[0]), int(center[1]))
  if kind == 0:
    axes = (max(1, int(radius)), max(1, int(radius * rng.uniform(0.2, 1))))
    angle = rng.uniform(0, 360)
    cv2.ellipse(canvas, middle, axes, angle, 0, 360, 1.0, -1, cv2.LINE_AA)
  elif kind == 1:
    turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
    ring = np.stack([np.cos(turns), np.sin(turns)], -1)
    corners = center + radius * rng.uniform(0.5, 1.2, (len(turns), 1)) * ring
    cv2.fillPoly(canvas, [corners.astype(np.int32)], 1.0, cv2.LINE_AA)
  else:
    turn = rng.uniform(0, np.pi)
    end = center + 3 * radius * np.array([np.cos(turn), np.sin(turn)])
    thick = max(1, int(radius * rng.uniform(0.05, 0.5)))
    cv2.line(
      canvas, middle, (int(end[0]), int(end[1])), 1.0, thick, cv2.LINE_AA
    )


def _grid(size: Size) -> tuple[np.ndarray, np.ndarray]:
  """The y and x of every pixel, float32 `[H, W]` from 0 to 1."""
  height, width = size
  y, x = np.mgrid[:height, :width].astype(np.float32)
  return y / height, x / width


def _color(rng: Random) -> np.ndarray:
  """One colour `[3]`, pale ones more often than bright ones."""
  grey = rng.uniform(0.1, 0.95)
  return np.clip(
    grey + rng.normal(size=3) * rng.choice([0.03, 0.1, 0.25]), 0, 1
  )


def _palette(rng: Random, count: int) -> np.ndarray:
  """Colours `[count, 3]`, float32."""
  return np.stack([_color(rng) for _ in range(count)]).astype(np.float32)


def _colorize(t: np.ndarray, palette: np.ndarray) -> np.ndarray:
  """Interpolates between the colours of a palette at t from 0 to 1."""
  at = np.linspace(0, 1, len(palette))
  channels = [np.interp(t, at, palette[:, i]) for i in range(3)]
  return np.stack(channels, axis=-1).astype(np.float32)
