"""Families of solids: construction plans with random dimensions."""

import math

import numpy as np
from manifold3d import Manifold, OpType

from experiments.synthesis.dice import Dice
from experiments.synthesis.solid import (
  bend,
  center,
  draw_body,
  limb,
)


def make_solid(
  family: int, member: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Builds a closed solid.

  Args:
    family: number of the plan.
    member: number of a set of dimensions for it.
    seed: of all families.

  Returns:
    Vertices float64 [V, 3] and faces int32 [F, 3].
  """
  dice = Dice(
    np.random.SeedSequence([seed, family]),
    np.random.SeedSequence([seed, family, member + 1]),
  )
  plan = dice.pick(
    [_single, _assembly, _machined, _limbs, _frame], [3, 5, 4, 3, 2]
  )
  solid = plan(dice.split())
  if dice.chance(0.12):
    solid = bend(center(solid), dice)
  solid = solid.scale((1, math.exp(0.1 * dice.points(1, 1)[0, 0]), 1))
  mesh = solid.to_mesh()
  vertices = np.asarray(mesh.vert_properties, np.float64)[:, :3]
  return vertices, np.asarray(mesh.tri_verts, np.int32)


def _single(dice):
  return draw_body(dice)


def _assembly(dice):
  """Adds bodies to a body, single or repeated."""
  solid = draw_body(dice.split())
  solid = solid.scale((1, 1, dice.length(0.4, 1.6)))
  for _ in range(dice.count(1, 3)):
    body = _place(draw_body(dice.split()), solid, dice)
    solid = solid + _repeat(body, dice)
  return solid


def _machined(dice):
  """Cuts bodies out of a body."""
  solid = draw_body(dice.split())
  for _ in range(dice.count(1, 3)):
    tool = _place(draw_body(dice.split()), solid, dice)
    cut = solid - _repeat(tool, dice)
    if cut.volume() > 0.15 * solid.volume():
      solid = cut
  if dice.chance(0.5):
    solid = solid + _place(draw_body(dice.split()), solid, dice)
  return solid


def _limbs(dice):
  """Adds mirrored pairs of limbs to a trunk, as of animals and aircraft."""
  length = dice.length(0.6, 2)
  width = dice.length(0.1, 0.4)
  trunk = Manifold.sphere(1, 32).scale(
    (length / 2, width, width * dice.length(0.5, 1.5))
  )
  if dice.chance(0.25):
    trunk = draw_body(dice.split()).scale((length, 2 * width, 2 * width))
  solid = trunk
  for _ in range(dice.count(1, 4)):
    start = np.array([dice.share(-0.45, 0.45) * length, 0.6 * width, 0.0])
    reach = dice.length(0.2, 1.2)
    angle, lean = dice.share(-1.6, 1.6), dice.share(-0.7, 0.7)
    aim = np.array(
      [math.sin(lean), math.cos(lean) * math.cos(angle), math.sin(angle)]
    )
    thick = dice.share(0.15, 0.6) * width
    joint = start + reach * aim
    part = limb(start, joint, thick, thick * dice.share(0.3, 1))
    if dice.chance(0.5):  # a second bone
      fold = aim + 0.8 * dice.points(1, 3)[0]
      fold /= max(1e-6, float(np.linalg.norm(fold)))
      end = joint + reach * dice.share(0.4, 1) * fold
      part = part + limb(joint, end, 0.7 * thick, 0.4 * thick)
    if dice.chance(0.2):  # a blade
      middle = tuple(start)
      part = part.translate(tuple(-start)).scale((dice.length(1.5, 4), 1, 0.25))
      part = part.translate(middle)
    solid = solid + part + part.mirror((0, 1, 0))
  if dice.chance(0.6):  # a head
    end = np.array([0.5 * length, 0, dice.share(-0.3, 0.6) * length])
    head = draw_body(dice.split()).scale(
      (2.2 * width * dice.length(0.5, 1.3),) * 3
    )
    neck = limb((0.35 * length, 0, 0), end, 0.6 * width, 0.3 * width)
    solid = solid + neck + head.translate(tuple(end))
  if dice.chance(0.4):  # a tail
    end = np.array([-length, 0, dice.share(-0.4, 0.6) * length])
    solid = solid + limb((-0.3 * length, 0, 0), end, 0.4 * width, 0.06 * width)
  return solid


def _frame(dice):
  """Puts tops and boards on legs, as of furniture and brackets."""
  x, y, z = 1.0, dice.length(0.3, 1.2), dice.length(0.2, 1.5)
  thick = dice.share(0.03, 0.12)
  top = (
    draw_body(dice.split())
    if dice.chance(0.3)
    else Manifold.cube((1, 1, 1), True)
  )
  box = np.array(top.bounding_box())
  size = box[3:] - box[:3]
  solid = top.scale((x / size[0], y / size[1], thick / size[2]))
  foot = dice.share(0.3, 0.5)
  spread = dice.share(0.7, 1.2)
  leg = limb(
    (foot * x, foot * y, 0),
    (spread * foot * x, spread * foot * y, -z),
    thick * dice.share(0.3, 1),
    thick * dice.share(0.3, 1),
  )
  match dice.pick(["four", "three", "one", "walls"]):
    case "four":
      legs = leg + leg.mirror((1, 0, 0))
      legs = legs + legs.mirror((0, 1, 0))
    case "three":
      legs = _around(leg, 3)
    case "one":
      pillar = Manifold.cylinder(z, thick, thick, 24).translate((0, 0, -z))
      base = draw_body(dice.split()).scale((0.6 * x, 0.6 * y, thick))
      legs = pillar + base.translate((0, 0, -z))
    case _:
      wall = Manifold.cube((thick, y, z), True).translate(
        ((x - thick) / 2, 0, -z / 2)
      )
      legs = wall + wall.mirror((1, 0, 0))
  solid = solid + legs
  if dice.chance(0.5):  # a back
    high = dice.length(0.3, 1.2)
    back = Manifold.cube((thick, y, high), True)
    solid = solid + back.rotate((0, dice.share(-15, 15), 0)).translate(
      (-(x - thick) / 2, 0, high / 2)
    )
  if dice.chance(0.3):  # arms
    arm = Manifold.cube((0.8 * x, thick, dice.share(0.1, 0.4)), True)
    arm = arm.translate((0, (y - thick) / 2, 0.2))
    solid = solid + arm + arm.mirror((0, 1, 0))
  if dice.chance(0.3):  # shelves
    shelf = Manifold.cube((0.9 * x, 0.9 * y, thick), True)
    for i in range(dice.count(1, 3)):
      solid = solid + shelf.translate((0, 0, -z * (i + 1) / 4))
  return solid


def _place(body, solid, dice):
  """Scales a body and moves it to a side or the middle of another."""
  box = np.array(solid.bounding_box())
  size, middle = box[3:] - box[:3], (box[3:] + box[:3]) / 2
  body = body.scale((dice.length(0.15, 0.9) * float(np.median(size)),) * 3)
  body = body.rotate(tuple(90.0 * dice.count(0, 3) for _ in range(3)))
  if dice.chance(0.15):
    body = body.rotate(tuple(40 * dice.points(1, 3)[0]))
  position = middle.copy()
  axis, side = dice.count(0, 2), dice.pick([-1, 1])
  position[axis] += side * size[axis] * dice.share(0.3, 0.6)
  for other in {0, 1, 2} - {axis}:
    if dice.chance(0.5):
      position[other] += size[other] * dice.share(-0.4, 0.4)
  return body.translate(tuple(position))


def _repeat(body, dice):
  """Leaves a body alone, mirrors it, or repeats it in a circle or row."""
  match dice.pick(
    ["alone", "mirror", "both", "circle", "row"], [3, 3, 2, 2, 1]
  ):
    case "mirror":
      axis = dice.count(0, 2)
      return body + body.mirror(tuple(float(i == axis) for i in range(3)))
    case "both":
      body = body + body.mirror((1, 0, 0))
      return body + body.mirror((0, 1, 0))
    case "circle":
      return _around(body, dice.count(3, 8))
    case "row":
      step = dice.share(0.1, 0.4)
      copies = [
        body.translate((step * i, 0, 0)) for i in range(dice.count(2, 4))
      ]
      return Manifold.batch_boolean(copies, OpType.Add)
    case _:
      return body


def _around(body, count):
  copies = [body.rotate((0, 0, 360 * i / count)) for i in range(count)]
  return Manifold.batch_boolean(copies, OpType.Add)
