"""Chairs with random dimensions and colours, in one frame; for fields.

The seat is in the xy plane, z is up, and the chair looks along -y. Lengths are
in radii of the sphere around the largest chair.
"""

import dataclasses

import numpy as np
import trimesh

SCALE = 1 / 0.74  # metres to radii
MIDDLE = 0.46  # height of the origin above the floor, metres


@dataclasses.dataclass(frozen=True, eq=False)
class Chair:
  """A chair.

  Attributes:
    vertices: float64 `[V, 3]`.
    faces: int64 `[F, 3]`.
    colors: float64 `[F, 3]` in [0, 1].
    landmarks: float64 `[10, 3]`: corners of the seat, upper corners of the
      back, ends of the legs.
  """

  vertices: np.ndarray
  faces: np.ndarray
  colors: np.ndarray
  landmarks: np.ndarray


def make_chair(number: int, *, seed: int = 0) -> Chair:
  """Makes a chair, a function of its number and the seed."""
  rng = np.random.default_rng((seed, number))
  width, depth = rng.uniform(0.36, 0.56), rng.uniform(0.36, 0.52)
  thick, height = rng.uniform(0.03, 0.10), rng.uniform(0.36, 0.50)
  back, tilt = rng.uniform(0.30, 0.56), rng.uniform(0.0, 0.25)
  leg, spread = rng.uniform(0.025, 0.06), rng.uniform(-0.02, 0.06)
  cloth = _draw_color(rng, saturation=(0.3, 0.9))
  wood = _draw_color(rng, saturation=(0.0, 0.5))
  parts = [(_box((0, 0, height - thick / 2), (width, depth, thick)), cloth)]
  feet = []
  for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
    top = np.array([x * (width - leg) / 2, y * (depth - leg) / 2])
    foot = top + spread * np.array([x, y])
    parts.append((_leg(top, foot, leg, height - thick), wood))
    feet.append([*foot, 0.0])
  parts += _make_back(rng, width, depth, height, back, tilt, cloth, wood)
  if rng.uniform() < 0.35:
    parts += _make_arms(rng, width, depth, height, leg, wood)
  shear = tilt * back
  rear = depth / 2
  corners = [
    (x * width / 2, s * depth / 2, height)
    for x, s in ((-1, -1), (1, -1), (1, 1), (-1, 1))
  ]
  tops = [(x * width / 2, rear + shear, height + back) for x in (-1, 1)]
  shift = np.array([0, 0, MIDDLE])
  return _join(parts, (np.array([*corners, *tops, *feet]) - shift) * SCALE)


def _make_back(rng, width, depth, height, back, tilt, cloth, wood):
  """A panel, or posts with slats."""
  thick = rng.uniform(0.03, 0.06)
  parts = []
  if rng.uniform() < 0.5:
    low = rng.uniform(0.0, 0.12)
    size = (width, thick, back - low)
    parts.append((_box((0, 0, low + size[2] / 2), size), cloth))
    posts = low > 0.03
  else:
    posts = True
    count = rng.integers(2, 5)
    bar = rng.uniform(0.4, 0.7) * back / count
    for i in range(count):
      z = back - bar / 2 - i * back / count
      parts.append((_box((0, 0, z), (width, thick * 0.7, bar)), cloth))
  if posts:
    for x in (-1, 1):
      place = (x * (width - thick) / 2, 0, back / 2)
      parts.append((_box(place, (thick, thick, back)), wood))
  for mesh, _ in parts:
    mesh.vertices[:, 1] += depth / 2 - thick / 2 + tilt * mesh.vertices[:, 2]
    mesh.vertices[:, 2] += height
  return parts


def _make_arms(rng, width, depth, height, leg, wood):
  rise = rng.uniform(0.16, 0.24)
  parts = []
  for x in (-1, 1):
    side = x * (width + leg) / 2
    parts.append((_box((side, 0, height + rise), (leg, depth, 0.03)), wood))
    post = (side, -depth / 2 + leg, height + rise / 2)
    parts.append((_box(post, (leg * 0.8, leg, rise)), wood))
  return parts


def _draw_color(rng, *, saturation):
  hue, value = rng.uniform(0, 6), rng.uniform(0.35, 0.95)
  strength = rng.uniform(*saturation)
  wave = np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1
  return value * (1 - strength + strength * wave.clip(0, 1))


def _box(center, size):
  box = trimesh.creation.box(size)
  box.vertices += center
  return box


def _leg(top, foot, side, height):
  box = trimesh.creation.box((side, side, height))
  share = box.vertices[:, 2:] / height + 0.5
  box.vertices[:, :2] += share * top + (1 - share) * foot
  box.vertices[:, 2] += height / 2
  return box


def _join(parts, landmarks):
  vertices, faces, colors = [], [], []
  count = 0
  for mesh, color in parts:
    vertices.append(mesh.vertices)
    faces.append(mesh.faces + count)
    colors.append(np.tile(color, (len(mesh.faces), 1)))
    count += len(mesh.vertices)
  shift = np.array([0, 0, MIDDLE])
  return Chair(
    vertices=(np.concatenate(vertices) - shift) * SCALE,
    faces=np.concatenate(faces),
    colors=np.concatenate(colors),
    landmarks=landmarks,
  )
