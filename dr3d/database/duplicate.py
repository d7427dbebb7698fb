"""Models of a database that are one shape, in groups; nothing is changed.

Each relation is one to another model of the group:

    identical   the very same triangles at the same true size, in any order
    same        the same surface in another mesh, format or pose
    scaled      the same surface in another size
    mirrored    the mirror image, of whatever size
    similar     surfaces that nearly coincide at one size

"Identical" is decided by a hash of 128 bits, all else by sides, area and volume
of the whole surface and by laying one simplified surface upon the other. Two
shapes whose measures agree to some thousandths and that differ in small detail
only may be called the same; identical they are called never. A copy that was
decimated until it lost more than that is similar.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from dr3d.database.catalogue import Model
from dr3d.mesh import Mesh
from dr3d.registration.relation import (
  FAR,
  IDENTICAL,
  MIRRORED,
  NEAR,
  RELATIONS,
  SAME,
  SCALED,
  SIMILAR,
  Related,
  Relation,
)
from dr3d.registration.surface import Cloud, Fit, compare, make_cloud

_SIMILAR = 0.02
_SIZE = 0.003  # relative difference of sizes that are one
_ALIKE = np.array([0.003, 0.003, 0.003, 0.004, 0.005])  # of proportions
_ROUNDING = 0.0005  # of the longest side, in which a short one may differ
_REACH = 0.08  # of proportions, within which models are compared at all
_CANDIDATES = 6  # earlier shapes that a model is compared with
_CACHED = 1024  # shapes kept ready


@dataclasses.dataclass(frozen=True)
class Member:
  """A model of a group.

  Attributes:
    model: its name.
    label: its label, empty for none.
    relation: to another model of the group; empty for the first.
    to: name of that model; empty for the first.
    scale: size of this model over that of the other.
    distance: of the surfaces at one size, mean, in radii of the smallest
      enclosing sphere.
    mirrored: whether one of them was mirrored for that.
  """

  model: str
  label: str
  relation: Related = ""
  to: str = ""
  scale: float = 1.0
  distance: float = 0.0
  mirrored: bool = False


@dataclasses.dataclass(frozen=True)
class Group:
  """Models that belong together.

  Attributes:
    relation: the weakest in it.
    members: at least two, the first one first, then by relation and name.
  """

  relation: Relation
  members: tuple[Member, ...]


def find_groups(
  models: Sequence[Model],
  load_mesh: Callable[[str], Mesh | None],
  *,
  proposals: Mapping[str, Collection[str]] | None = None,
  weakest: Relation = SIMILAR,
  progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
  """Finds the groups.

  Models are taken by name. One that is not identical to an earlier one is
  compared with a few earlier shapes of like proportions and with those that
  were proposed, and joins the one that it is related to most strongly. A model
  that is only similar to another is similar to the first of the group, so that
  groups do not creep.

  Args:
    models: indexed ones.
    load_mesh: name → mesh, or None where there is none to compare.
    proposals: of a model, other models that it may be related to.
    weakest: relation that is still reported.
    progress: called after each model with the models done and all models.

  Returns:
    Groups of at least two models, those with the strongest relation first,
    then by the name of the first member.
  """
  finder = _Finder(
    {model.name: model for model in models},
    load_mesh,
    RELATIONS[: RELATIONS.index(weakest) + 1],
  )
  ordered = sorted(models, key=lambda model: model.name)
  for done, model in enumerate(ordered, start=1):
    finder.place(model, (proposals or {}).get(model.name, ()))
    if progress is not None:
      progress(done, len(ordered))
  return finder.collect()


@dataclasses.dataclass(eq=False)
class _Finder:
  """Models placed so far.

  Attributes:
    members: all, by name.
    heads: of each hash of triangles, the first model.
    shapes: names of models that are the same as no earlier one, and what
      finds like ones among them.
  """

  models: dict[str, Model]
  load_mesh: Callable[[str], Mesh | None]
  relations: Sequence[str]
  members: dict[str, Member] = dataclasses.field(default_factory=dict)
  heads: dict[tuple, str] = dataclasses.field(default_factory=dict)
  shapes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    self.cloud = functools.lru_cache(_CACHED)(self._make_cloud)

  def _make_cloud(self, name: str) -> Cloud | None:
    mesh = self.load_mesh(name)
    return None if mesh is None else make_cloud(mesh)

  def place(self, model: Model, proposed: Collection[str]) -> None:
    """Finds what an additional model is related to."""
    self.members[model.name] = Member(model.name, model.label)
    if model.geometry:
      head = self.heads.setdefault(
        (model.geometry, model.face_count), model.name
      )
      if head != model.name:
        self._join(model, Member("", "", IDENTICAL, head))
        return
    if self.relations == (IDENTICAL,):
      return
    found = [
      member
      for name in self._choose(model, proposed)
      if (member := self._relate(model, name)) is not None
      and member.relation in self.relations
      and (member.relation != SIMILAR or self.members[name].relation != SIMILAR)
    ]
    best = min(
      found,
      key=lambda member: (RELATIONS.index(member.relation), member.distance),
      default=None,
    )
    if best is not None:
      self._join(model, best)
    if best is None or best.relation != SAME:
      self.shapes[model.name] = _profile(model)

  def _join(self, model: Model, member: Member) -> None:
    self.members[model.name] = dataclasses.replace(
      member, model=model.name, label=model.label
    )

  def _choose(self, model: Model, proposed: Collection[str]) -> list[str]:
    """Names of earlier shapes that the model is compared with."""
    if not self.shapes:
      return []
    names = list(self.shapes)
    away = np.array(list(self.shapes.values())) - _profile(model)
    away = np.abs(away).max(axis=1)
    near = np.argsort(away, kind="stable")[:_CANDIDATES]
    chosen = [names[i] for i in near if away[i] <= _REACH]
    for name in proposed:
      while name in self.members and name not in self.shapes:
        name = self.members[name].to
      if name in self.shapes and name != model.name:
        chosen.append(name)
    return list(dict.fromkeys(chosen))

  def _relate(self, model: Model, name: str) -> Member | None:
    """The relation of a model to an earlier shape, if there is one."""
    one, two = self.cloud(model.name), self.cloud(name)
    if one is None or two is None:
      return None
    fit = compare(one, two)
    relation, scale = judge(model, self.models[name], fit)
    if not relation:
      return None
    return Member(
      "", "", relation, name, scale, round(fit.mean, 6), fit.mirrored
    )

  def collect(self) -> list[Group]:
    """Gathers the members under the first of each group."""
    groups: dict[str, list[Member]] = {}
    for member in self.members.values():
      first = member
      while first.to:
        first = self.members[first.to]
      groups.setdefault(first.model, []).append(member)
    result = []
    for members in groups.values():
      if len(members) > 1:
        members.sort(key=lambda m: (_rank(m.relation), m.model))
        weakest = members[-1].relation
        assert weakest, "only the first member has no relation"
        result.append(Group(weakest, tuple(members)))
    result.sort(key=lambda g: (_rank(g.relation), g.members[0].model))
    return result


def judge(one: Model, two: Model, fit: Fit) -> tuple[Related, float]:
  """Names the relation of two models.

  Args:
    one: a model.
    two: another one, not identical.
    fit: of their surfaces at one size.

  Returns:
    The relation, empty for none, and the size of one over that of two.
  """
  first, second = _proportions(one), _proportions(two)
  # The volume of an open shell is next to nothing, and so is what it says.
  unit = np.array([*second[:4], max(second[4], second[3] / 9)])
  slack = _ALIKE * unit
  slack[:3] += _ROUNDING * second[:3].max()
  alike = bool(np.all(np.abs(first - second) <= slack))
  scale = round(float(_radius(one) / _radius(two)), 6)
  if alike and fit.mean <= NEAR and fit.far <= FAR:
    if fit.mirrored:
      return MIRRORED, scale
    return (SAME if abs(scale - 1) <= _SIZE else SCALED), scale
  return (SIMILAR if fit.mean <= _SIMILAR else ""), scale


def _proportions(model: Model) -> np.ndarray:
  """Sides, ascending, area and volume in units of the radius, float [5]."""
  radius = _radius(model)
  sides = np.sort(model.extent or (0, 0, 0)) / radius
  area, volume = (model.area or 0) / radius**2, (model.volume or 0) / radius**3
  return np.array([*sides, area, volume])


def _profile(model: Model) -> np.ndarray:
  """What like shapes have alike, float [4], all of the order of a length."""
  sides, area = np.split(_proportions(model), [3])
  return np.append(sides, np.sqrt(area[0]))


def _radius(model: Model) -> float:
  assert model.radius, "indexed models have a size"
  return model.radius


def _rank(relation: Related) -> int:
  return RELATIONS.index(relation) if relation else -1
