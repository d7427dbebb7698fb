"""Moulded plastic parts: thin walls, bosses, ribs, pegs, holes and slopes.

What injection moulding makes of a box, a cylinder or a dome: walls of one
thickness, open below, with details at the nodes of a grid. The solids of
`family` have few such details inside of an outline.

Lengths are in pitches of the grid.
"""

import numpy as np
from manifold3d import Manifold

from experiments.synthesis.dice import Dice

_CORNERS = 24  # of a circle


def make_moulding(
  family: int, member: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Builds a moulded part.

  Members of a family have the same body and differ in their details, so that
  only the details tell them apart.

  Args:
    family: number of the body.
    member: number of a set of details on it.
    seed: of all families.

  Returns:
    Vertices float64 [V, 3] and faces int32 [F, 3].
  """
  body_seed = np.random.SeedSequence([seed, 7, family])
  own_seed = np.random.SeedSequence([seed, 7, family, member + 1])
  shape = Dice(body_seed, body_seed)
  sides = _draw_sides(shape)
  kind = shape.pick(["box", "slope", "round", "dome", "arch"], [6, 3, 2, 2, 2])
  # The details are the member's own choice, not the family's.
  details = Dice(own_seed, own_seed)
  wall = shape.share(0.1, 0.22)
  solid = _make_body(kind, sides, shape)
  if details.chance(0.75):
    solid = _hollow(solid, sides, wall, details)
  for change in _draw_changes(details):
    changed = change(solid, sides, details)
    if changed.volume() > 0.2 * solid.volume():
      solid = changed
  mesh = solid.to_mesh()
  vertices = np.asarray(mesh.vert_properties, np.float64)[:, :3]
  return vertices, np.asarray(mesh.tri_verts, np.int32)


def _draw_sides(dice):
  height = dice.pick([0.25, 0.4, 0.6, 1.2, 1.2, 2.0]) * dice.share(0.85, 1.15)
  return np.array([dice.count(1, 4), dice.count(1, 2), height])


def _draw_changes(dice):
  """Details in the order in which they are made."""
  changes = []
  options = [
    (_add_bosses, 0.7),
    (_add_side_bosses, 0.25),
    (_add_peg, 0.25),
    (_add_plate, 0.3),
    (_add_clip, 0.15),
    (_cut_hole, 0.35),
    (_cut_cross, 0.15),
    (_cut_corner, 0.2),
    (_cut_slot, 0.2),
  ]
  for change, probability in options:
    if dice.chance(probability):
      changes.append(change)
  return changes or [_add_bosses]


def _make_body(kind, sides, dice):
  x, y, z = sides
  match kind:
    case "slope":
      edge = dice.share(0.0, 0.6) * x
      lip = dice.share(0.02, 0.4) * z
      points = [
        (px, py, pz)
        for py in (-y / 2, y / 2)
        for px, pz in [
          (-x / 2, 0),
          (x / 2, 0),
          (x / 2, lip),
          (-x / 2 + edge, z),
          (-x / 2, z),
        ]
      ]
      body = Manifold.hull_points(points)
      if dice.chance(0.4):  # it overhangs instead
        body = body.mirror((0, 0, 1)).translate((0, 0, z))
      return body
    case "round":
      body = Manifold.cylinder(z, 0.5, 0.5 * dice.share(0.6, 1.1), _CORNERS)
      return body.scale((x, x if dice.chance(0.7) else y, 1))
    case "dome":
      ball = Manifold.sphere(0.5, _CORNERS).scale((x, x, 2 * z))
      return ball.trim_by_plane((0, 0, 1), 0)
    case "arch":
      body = Manifold.cylinder(y, z, z, 2 * _CORNERS).rotate((90, 0, 0))
      body = body.scale((x / (2 * z), 1, 1)).translate((0, y / 2, 0))
      return body.trim_by_plane((0, 0, 1), 0)
    case _:
      body = Manifold.cube((x, y, z), True)
      return body.translate((0, 0, z / 2))


def _hollow(solid, sides, wall, dice):
  """Opens the body below, with a tube or ribs inside."""
  x, y, z = sides
  thin = [max(0.1, 1 - 2 * wall / side) for side in (x, y)]
  inner = solid.scale((*thin, max(0.3, 1 - wall / z)))
  inner = inner.translate((0, 0, -0.01))
  result = solid - inner
  inside = dice.pick(["tube", "rib", "pin", "none"], [4, 2, 2, 2])
  height = z * dice.share(0.6, 0.97)
  if inside == "tube":
    radius = dice.share(0.25, 0.42)
    tube = Manifold.cylinder(height, radius, radius, _CORNERS)
    tube = tube - Manifold.cylinder(2 * z, 0.7 * radius, 0.7 * radius, _CORNERS)
    pitch = 1.0 if x > 1 else 0.0
    count = max(1, round(x) - 1)
    for i in range(count):
      at = (i - (count - 1) / 2) * pitch
      result = result + tube.translate((at, 0, z - height)) ^ solid
  elif inside == "rib":
    rib = Manifold.cube((0.12, 0.95 * y, height), True)
    result = result + rib.translate((0, 0, z - height / 2)) ^ solid
    if dice.chance(0.5):
      rib = Manifold.cube((0.95 * x, 0.12, height), True)
      result = result + rib.translate((0, 0, z - height / 2)) ^ solid
  elif inside == "pin":
    pin = Manifold.cylinder(height, 0.18, 0.18, _CORNERS)
    result = result + pin.translate((0, 0, z - height)) ^ solid
  return result


def _boss(dice, *, height=None):
  """A knob around the origin, along z, sometimes hollow."""
  height = height or dice.share(0.15, 0.3)
  radius = dice.share(0.25, 0.36)
  boss = Manifold.cylinder(height + 0.05, radius, radius, _CORNERS)
  if dice.chance(0.3):
    boss = boss - Manifold.cylinder(
      1, 0.62 * radius, 0.62 * radius, _CORNERS
    ).translate((0, 0, 0.06))
  return boss.translate((0, 0, -0.05))


def _grid(x, y):
  """Nodes of a grid over a rectangle around the origin."""
  nx, ny = max(1, round(x)), max(1, round(y))
  return [
    (i - (nx - 1) / 2, j - (ny - 1) / 2) for i in range(nx) for j in range(ny)
  ]


def _add_bosses(solid, sides, dice):
  x, y, _ = sides
  top = solid.bounding_box()[5]
  boss = _boss(dice)
  nodes = _grid(x, y)
  if dice.chance(0.35):  # on a part of the top
    nodes = nodes[: max(1, len(nodes) // 2)]
  for px, py in nodes:
    solid = solid + boss.translate((px, py, top))
  return solid


def _add_side_bosses(solid, sides, dice):
  x, y, z = sides
  boss = _boss(dice).scale((min(1, 1.3 * z), min(1, 1.3 * z), 1))
  boss = boss.rotate((90, 0, 0))
  for px, _ in _grid(x, 1):
    solid = solid + boss.translate((px, -y / 2, z / 2))
    if dice.chance(0.3):
      break
  return solid


def _add_peg(solid, sides, dice):
  """A long pin with a collar and a slit."""
  _, y, z = sides
  length, radius = dice.share(0.5, 1.2), dice.share(0.15, 0.3)
  peg = Manifold.cylinder(length + 0.1, radius, radius, _CORNERS)
  collar = Manifold.cylinder(0.12, 1.25 * radius, 1.25 * radius, _CORNERS)
  peg = peg + collar.translate((0, 0, length))
  if dice.chance(0.6):
    peg = peg - Manifold.cylinder(9, 0.6 * radius, 0.6 * radius, _CORNERS)
  if dice.chance(0.5):
    slit = Manifold.cube((9, 0.3 * radius, 0.8 * length), True)
    peg = peg - slit.translate((0, 0, length))
  peg = peg.translate((0, 0, -0.1))
  top = solid.bounding_box()[5]
  if dice.chance(0.5):
    return solid + peg.translate((0, 0, top))
  return solid + peg.rotate((-90, 0, 0)).translate((0, y / 2, z / 2))


def _add_plate(solid, sides, dice):
  """A thin plate that stands beyond the body, flat or upright."""
  x, y, z = sides
  thick = dice.share(0.15, 0.3)
  reach = dice.share(0.4, 1.2)
  if dice.chance(0.5):
    plate = Manifold.cube((x, reach, thick), True)
    at = dice.pick([thick / 2, z - thick / 2])
    return solid + plate.translate((0, y / 2 + reach / 2 - 0.05, at))
  plate = Manifold.cube((x, thick, z + reach), True)
  return solid + plate.translate((0, y / 2 - thick / 2, (z + reach) / 2))


def _add_clip(solid, sides, dice):
  """An open ring on a stem."""
  x, _, z = sides
  radius, depth = dice.share(0.28, 0.4), dice.share(0.25, 0.45)
  ring = Manifold.cylinder(depth, radius, radius, _CORNERS, True)
  hole = 0.62 * radius
  ring = ring - Manifold.cylinder(9, hole, hole, _CORNERS, True)
  gap = Manifold.cube((2 * radius, 1.1 * hole, 9), True)
  ring = ring - gap.translate((radius, 0, 0))
  stem = Manifold.cube((0.4, 0.25, depth), True).translate((-radius, 0, 0))
  clip = (ring + stem).rotate((90 * dice.count(0, 1), 0, 0))
  return solid + clip.translate((x / 2 + radius + 0.1, 0, z / 2))


def _cut_hole(solid, sides, dice):
  x, _, z = sides
  radius = dice.share(0.15, 0.33)
  radius = min(radius, 0.38 * z)
  hole = Manifold.cylinder(19, radius, radius, _CORNERS, True)
  if dice.chance(0.6):
    hole = hole.rotate((90, 0, 0))
    nodes = [(p, 0, z / 2) for p, _ in _grid(x, 1)]
  else:
    nodes = [(*p, 0) for p in _grid(max(1, x - 1), 1)]
  for at in nodes:
    solid = solid - hole.translate(at)
  return solid


def _cut_cross(solid, sides, dice):
  _, _, z = sides
  length = min(dice.share(0.4, 0.7), 0.75 * z)
  arm = Manifold.cube((length, 0.35 * length, 19), True)
  cross = arm + arm.rotate((0, 0, 90))
  if dice.chance(0.5):
    cross = cross.rotate((90, 0, 0)).translate((0, 0, z / 2))
  return solid - cross


def _cut_corner(solid, sides, dice):
  x, y, z = sides
  cut = Manifold.cube((x, y, z)).scale(
    (dice.share(0.3, 0.6), dice.share(0.3, 1.1), dice.share(0.3, 0.7))
  )
  return solid - cut.translate((-x / 2 - 0.01, -y / 2 - 0.01, 0.4 * z))


def _cut_slot(solid, sides, dice):
  x, y, z = sides
  width = dice.share(0.15, 0.4)
  slot = Manifold.cube((width, 2 * y, 0.6 * z), True)
  at = dice.share(-0.3, 0.3) * x
  return solid - slot.translate((at, 0, dice.pick([0.15, 0.9]) * z))
