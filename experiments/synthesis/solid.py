"""Single bodies and their deformations."""

import itertools
import math

import numpy as np
from manifold3d import Manifold, OpType

from experiments.synthesis.dice import Dice
from experiments.synthesis.profile import CIRCLE_CORNERS, draw_profile, polygon


def draw_body(dice: Dice) -> Manifold:
  """Draws a random body around the origin, of size about 1."""
  kinds = {
    extrude: 5,
    revolve: 4,
    _tube: 2,
    _primitive: 2,
    _convex: 1,
    _loft: 1,
  }
  body = dice.pick(list(kinds), list(kinds.values()))(dice)
  return center(body)


def center(body: Manifold) -> Manifold:
  """Moves the bounding box to the origin and scales its longest side to 1.

  Raises:
    ValueError: the body is empty.
  """
  if body.is_empty():
    raise ValueError("the body is empty: its cuts removed all of it.")
  box = np.array(body.bounding_box())
  body = body.translate(tuple(-(box[:3] + box[3:]) / 2))
  return body.scale((1 / max(1e-9, float(np.max(box[3:] - box[:3]))),) * 3)


def extrude(dice: Dice) -> Manifold:
  """Extrudes a figure, sometimes twisted or tapered."""
  figure = draw_profile(dice)
  height = dice.length(0.05, 3)
  twist = dice.share(-180, 180) if dice.chance(0.12) else 0.0
  top = dice.share(0.0, 0.8) if dice.chance(0.2) else 1.0
  layers = 24 if twist else 1
  return figure.extrude(height, layers, twist, (top, top))


def revolve(dice: Dice) -> Manifold:
  """Revolves an outline around an axis, mostly by a full turn."""
  count = dice.count(1, 6)
  heights = np.array([dice.length(0.1, 1) for _ in range(count)])
  radii = np.array([dice.length(0.12, 1) for _ in range(count + 1)])
  edge = np.concatenate([[0], np.cumsum(heights)])
  outline = [(0.0, 0.0)]
  for i in range(count):
    stepped = dice.chance(0.6)
    outline.append((radii[i], edge[i]))
    outline.append((radii[i] if stepped else radii[i + 1], edge[i + 1]))
  outline.append((0.0, edge[-1]))
  figure = polygon(np.array(outline))
  if dice.chance(0.35):  # hollow
    wall = dice.share(0.1, 0.8) * radii.min()
    figure = figure - polygon(
      np.array([(0, -1), (wall, -1), (wall, 99), (0, 99)])
    )
  elif dice.chance(0.3):
    inner = figure.offset(-0.15 * radii.min())
    figure = figure - inner.translate((0, dice.share(0.1, 0.3)))
  angle = 360.0 if dice.chance(0.85) else dice.share(60, 300)
  return figure.revolve(CIRCLE_CORNERS, angle)


def _primitive(dice):
  sides = (1, dice.length(0.2, 1), dice.length(0.2, 1))
  match dice.pick(["box", "ball", "cone", "shell"]):
    case "box":
      return Manifold.cube(sides, True)
    case "ball":
      return Manifold.sphere(0.5, 32).scale(sides)
    case "cone":
      return Manifold.cylinder(
        dice.length(0.3, 2), 0.5, 0.5 * dice.share(0, 0.9), CIRCLE_CORNERS
      )
    case _:
      wall = dice.share(0.04, 0.12)
      outer = Manifold.cube(sides, True)
      inner = Manifold.cube(tuple(s - wall for s in sides), True)
      return outer - inner.translate((0, 0, dice.share(0.05, 0.3)))


def _convex(dice):
  return Manifold.hull_points(dice.points(dice.count(5, 16), 3))


def _loft(dice):
  """Makes the hull of two figures, one above the other."""
  bottom = draw_profile(dice.split()).hull().extrude(0.01)
  top = draw_profile(dice.split()).hull().extrude(0.01)
  top = top.scale((dice.length(0.3, 1.2),) * 3)
  height = dice.length(0.2, 2)
  shift = tuple(0.3 * dice.points(1, 2)[0])
  return Manifold.batch_hull([bottom, top.translate((*shift, height))])


def _tube(dice):
  """Makes a bar along a bent line: hook, spring, ring, elbow, frame."""
  match dice.pick(["spring", "arc", "elbow", "wander"]):
    case "spring":
      turns = np.linspace(0, dice.share(1.5, 6) * 2 * math.pi, 90)
      pitch = dice.share(0.03, 0.12)
      line = np.stack([np.cos(turns), np.sin(turns), pitch * turns], 1)
    case "arc":
      turns = np.linspace(0, dice.share(1.5, 2 * math.pi), 36)
      line = np.stack([np.cos(turns), np.sin(turns), 0 * turns], 1)
    case "elbow":
      count = dice.count(2, 5)
      axes = [dice.pick([0, 1, 2]) for _ in range(count)]
      steps = np.zeros((count + 1, 3))
      for i, axis in enumerate(axes):
        steps[i + 1, axis] = dice.pick([-1, 1]) * dice.length(0.4, 1.2)
      line = np.cumsum(steps, axis=0)
    case _:
      line = np.cumsum(dice.points(dice.count(3, 6), 3), axis=0)
  thick = dice.share(0.08, 0.3)
  ball = Manifold.sphere(thick, 12)
  if dice.chance(0.25):
    ball = Manifold.cube((2 * thick,) * 3, True)
  return sweep(ball, line)


def sweep(ball: Manifold, line: np.ndarray) -> Manifold:
  """Sweeps a body along a line: the union of hulls at neighbouring points."""
  balls = [ball.translate(tuple(point)) for point in line]
  return Manifold.batch_boolean(
    [Manifold.batch_hull([a, b]) for a, b in itertools.pairwise(balls)],
    OpType.Add,
  )


def limb(start, end, thick: float, thin: float) -> Manifold:
  """Makes a round bar that narrows from one point to another."""
  return Manifold.batch_hull(
    [
      Manifold.sphere(thick, 16).translate(tuple(start)),
      Manifold.sphere(thin, 12).translate(tuple(end)),
    ]
  )


def bend(body: Manifold, dice: Dice) -> Manifold:
  """Bends, tapers or shears a body of size 1 around the origin."""
  kind = dice.pick(["bend", "taper", "shear"])
  amount = dice.share(-1, 1)
  body = body.refine_to_length(0.12)

  def move(points):
    x, y, z = points.T
    if kind == "taper":
      factor = 1 + 0.8 * amount * z
      return np.stack([x * factor, y * factor, z], 1)
    if kind == "shear":
      return np.stack([x + amount * z, y, z], 1)
    curve = amount * 1.5 or 1e-3
    radius, angle = 1 / curve, z * curve
    return np.stack(
      [radius - (radius - x) * np.cos(angle), y, (radius - x) * np.sin(angle)],
      1,
    )

  return body.warp_batch(move)
