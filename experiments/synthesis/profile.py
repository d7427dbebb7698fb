"""Plane figures from which solids are made."""

import math

import numpy as np
from manifold3d import CrossSection, FillRule, JoinType, OpType

from experiments.synthesis.dice import Dice

CIRCLE_CORNERS = 40


def draw_profile(dice: Dice) -> CrossSection:
  """Draws a random figure around the origin, of size about 1."""
  kind = dice.pick(list(_KINDS), [weight for _, weight in _KINDS.values()])
  figure = _KINDS[kind][0](dice)
  if dice.chance(0.15):
    inset, round_ = dice.length(0.03, 0.08), dice.length(0.03, 0.08)
    smooth = figure.offset(-inset, JoinType.Round)
    figure = _keep(smooth.offset(round_, JoinType.Round, 2.0, 24), figure)
  if dice.chance(0.3):
    figure = _keep(figure - _draw_holes(dice), figure)
  return figure


def _keep(changed, figure):
  """Returns the changed figure, unless little is left of it."""
  return changed if changed.area() > 0.1 * figure.area() else figure


def polygon(points: np.ndarray) -> CrossSection:
  """Makes the figure with these corners [P, 2]."""
  return CrossSection([np.asarray(points)], FillRule.NonZero)


def circle(radius: float) -> CrossSection:
  """Makes a disc around the origin."""
  return CrossSection.circle(radius, CIRCLE_CORNERS)


def box(x: float, y: float) -> CrossSection:
  """Makes a rectangle around the origin."""
  return CrossSection.square((x, y), True)


def _disc(dice):
  return circle(0.5).scale((1, dice.pick([1, 1, dice.length(0.3, 0.9)])))


def _ring(dice):
  return circle(0.5) - circle(0.5 * dice.share(0.3, 0.92))


def _sector(dice):
  angle = dice.share(0.6, 5.4)
  turns = np.linspace(0, angle, 33)
  arc = np.stack([np.cos(turns), np.sin(turns)], 1)
  inner = dice.pick([0.0, dice.share(0.2, 0.85)])
  points = np.concatenate([arc, inner * arc[::-1]]) if inner else arc
  if not inner:
    points = np.concatenate([arc, np.zeros((1, 2))])
  return polygon(0.5 * points)


def _rectangle(dice):
  return box(1, dice.length(0.15, 1))


def _regular(dice):
  return CrossSection.circle(0.55, dice.pick([3, 5, 6, 6, 8, 12]))


def _star(dice):
  count = dice.count(3, 12)
  turns = np.arange(2 * count) * math.pi / count
  radius = np.where(np.arange(2 * count) % 2, dice.share(0.2, 0.45), 0.55)
  return polygon(radius[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1))


def _gear(dice):
  count = dice.count(8, 32)
  height, flank = dice.share(0.05, 0.2), dice.share(0.05, 0.3)
  phase = np.array([0, flank, 0.5, 0.5 + flank])
  turns = (np.arange(count)[:, None] + phase) * 2 * math.pi / count
  radius = np.broadcast_to([1 - height, 1, 1, 1 - height], turns.shape)
  points = np.stack([radius * np.cos(turns), radius * np.sin(turns)], -1)
  return polygon(0.5 * points.reshape(-1, 2))


def _beam(dice):
  """Angle, tee, channel, cross or double tee."""
  x, y = 1.0, dice.length(0.4, 1.2)
  t = dice.share(0.06, 0.25)
  web = box(t, y)
  top = box(x, t).translate((0, (y - t) / 2))
  foot = box(x, t).translate((0, -(y - t) / 2))
  side = web.translate(((x - t) / 2, 0))
  match dice.pick(["angle", "tee", "channel", "cross", "double", "zed"]):
    case "angle":
      return foot + side
    case "tee":
      return top + web
    case "channel":
      return foot + side + web.translate((-(x - t) / 2, 0))
    case "cross":
      return web + box(x, t)
    case "zed":
      half = box(x / 2 + t / 2, t)
      return (
        web
        + half.translate((x / 4, (y - t) / 2))
        + half.translate((-x / 4, -(y - t) / 2))
      )
    case _:
      return top + web + foot


def _slot(dice):
  r, half = dice.share(0.1, 0.3), 0.35
  return CrossSection.batch_hull(
    [circle(r).translate((-half, 0)), circle(r).translate((half, 0))]
  )


def _cam(dice):
  return CrossSection.batch_hull(
    [
      circle(dice.share(0.2, 0.45)),
      circle(dice.share(0.05, 0.3)).translate((dice.share(0.3, 0.8), 0)),
    ]
  )


def _wave(dice):
  """Makes a closed curve of few Fourier terms."""
  turns = np.linspace(0, 2 * math.pi, 72, endpoint=False)
  order = np.arange(1, dice.count(2, 6) + 1)
  height = dice.points(len(order), 2) / (1 + order[:, None]) * 0.5
  radius = 1 + (
    np.cos(turns[:, None] * order) @ height[:, 0]
    + np.sin(turns[:, None] * order) @ height[:, 1]
  )
  radius = np.clip(radius, 0.15, 2)
  return polygon(
    0.5 * radius[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
  )


def _steps(dice):
  """Makes an outline of steps, sometimes mirrored."""
  count = dice.count(2, 5)
  x = np.cumsum([dice.length(0.1, 0.5) for _ in range(count)])
  y = np.array([dice.length(0.1, 0.7) for _ in range(count)])
  left = np.concatenate([[0], x[:-1]])
  parts = [
    CrossSection.square((b - a, h)).translate((a, 0))
    for a, b, h in zip(left, x, y, strict=True)
  ]
  figure = CrossSection.batch_boolean(parts, OpType.Add)
  if dice.chance(0.6):
    figure = figure + figure.mirror((0, 1))
  return figure.translate((-x[-1] / 2, 0))


def _draw_holes(dice):
  """Makes a hole, or holes in a circle or a row."""
  radius = dice.share(0.03, 0.15)
  match dice.pick(["bore", "circle", "row"]):
    case "bore":
      return circle(dice.share(0.1, 0.3))
    case "circle":
      count, reach = dice.count(3, 8), dice.share(0.2, 0.4)
      turns = np.arange(count) * 2 * math.pi / count
    case _:
      count, reach = dice.count(2, 5), 0.0
      turns = np.arange(count)
  holes = CrossSection()
  for i, turn in enumerate(turns):
    place = (reach * math.cos(turn), reach * math.sin(turn))
    if not reach:
      place = (0.8 * (i / (count - 1) - 0.5), 0.0)
    holes = holes + circle(radius).translate(place)
  return holes


_KINDS = {
  "disc": (_disc, 2),
  "ring": (_ring, 2),
  "sector": (_sector, 1),
  "rectangle": (_rectangle, 3),
  "regular": (_regular, 2),
  "star": (_star, 1),
  "gear": (_gear, 1),
  "beam": (_beam, 3),
  "slot": (_slot, 1),
  "cam": (_cam, 1),
  "wave": (_wave, 1),
  "steps": (_steps, 1),
}
