"""Groups of models that have the same shape; nothing is changed.

A model has a relation to the first model of its group:

    identical   the same triangles at the same true size, in any order
    same        the same surface in another mesh, format or pose
    scaled      the same surface at another size
    mirrored    the mirror image at any size
    similar     surfaces that nearly coincide at equal size

Each relation has groups of its own. A model is in the group of its strongest
relation, and it can be the first of others: of its copies, and of the family of
its shape at other sizes.

A hash of 128 bits decides about "identical". The other relations depend on
sides, area and volume of the whole surface and on registering the simplified
surfaces. Two shapes that agree in these to some thousandths and differ only in
small details can be called the same, but never identical. A copy that was
decimated further is similar.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from dr3d.database.model import Model
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

_MAX_SIMILAR_DISTANCE = 0.02  # of surfaces, in radii
_MAX_SIZE_DIFFERENCE = 0.003  # relative: what remeshing changes
# Relative differences of three sides, area and volume of one surface in two
# meshes. Area and volume depend more on the mesh than the sides.
_MAX_DIFFERENCES = np.array([0.003, 0.003, 0.003, 0.004, 0.005])
_MAX_ROUNDING = 0.0005  # of the longest side: how much a short one may differ
_MAX_PROFILE_DISTANCE = 0.08  # of proportions, so that few pairs are registered
_MAX_CANDIDATES = 6  # earlier shapes that a model is registered to
_MAX_CACHED = 1024  # shapes: some 100 MB


@dataclasses.dataclass(frozen=True)
class Member:
  """A model of a group.

  Attributes:
    model: its name.
    label: its label; empty if it has none.
    relation: to the first model of the group; empty for the first.
    to: name of the first; empty for the first.
    scale: size of this model, divided by that of the first.
    distance: mean distance at equal size to the surface of the model of the
      group that it was registered to, in radii of the smallest enclosing
      sphere.
    mirrored: whether one of them was mirrored for the registration.
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
  """Models that have one relation to the first of them.

  Attributes:
    relation: of all members to the first one.
    members: at least two; after the first one by size and name.
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

  Takes the models in the order of their names. One that is not identical to an
  earlier one, by its triangles or by its file, is registered to a few earlier
  shapes of similar proportions and to those that were proposed, and joins the
  one with the strongest relation. A model that is only similar must be similar
  to the first of the group, so that groups do not grow along chains.

  Args:
    models: indexed ones.
    load_mesh: name → mesh; None if there is none to compare.
    proposals: by name of a model, other models that it may be related to.
    weakest: relation that is still reported.
    progress: called after each model with the models done and all models.

  Returns:
    Groups of at least two models, those of the strongest relation first, then
    by the name of the first member.
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
    heads: the first model of each hash of triangles.
    shapes: profiles of models that are not the same as an earlier one.
  """

  models: dict[str, Model]
  load_mesh: Callable[[str], Mesh | None]
  relations: Sequence[str]
  members: dict[str, Member] = dataclasses.field(default_factory=dict)
  heads: dict[tuple, str] = dataclasses.field(default_factory=dict)
  shapes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    self.cloud = functools.lru_cache(_MAX_CACHED)(self._make_cloud)

  def _make_cloud(self, name: str) -> Cloud | None:
    mesh = self.load_mesh(name)
    return None if mesh is None else make_cloud(mesh)

  def place(self, model: Model, proposed: Collection[str]) -> None:
    """Finds the relation of an additional model."""
    self.members[model.name] = Member(model.name, model.label)
    content = model.geometry or model.hash
    if content:
      head = self.heads.setdefault((content, model.face_count), model.name)
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
    """Names of earlier shapes that the model is registered to."""
    if not self.shapes:
      return []
    names = list(self.shapes)
    away = np.array(list(self.shapes.values())) - _profile(model)
    away = np.abs(away).max(axis=1)
    near = np.argsort(away, kind="stable")[:_MAX_CANDIDATES]
    chosen = [names[i] for i in near if away[i] <= _MAX_PROFILE_DISTANCE]
    for name in proposed:
      while name in self.members and name not in self.shapes:
        name = self.members[name].to
      if name in self.shapes and name != model.name:
        chosen.append(name)
    return list(dict.fromkeys(chosen))

  def _relate(self, model: Model, name: str) -> Member | None:
    """Finds the relation of a model to an earlier shape; None if unrelated."""
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
    """Gathers the members of each relation under the first of each group."""
    groups: dict[tuple[Relation, str], list[Member]] = {}
    for name, member in self.members.items():
      if member.relation:
        first = self._find_first(member)
        found = dataclasses.replace(
          member, to=first, scale=self._compare_size(name, first)
        )
        groups.setdefault((member.relation, first), []).append(found)
    result = []
    for (relation, first), members in groups.items():
      head = Member(first, self.models[first].label)
      members.sort(key=lambda m: (m.scale, m.model))
      result.append(Group(relation, (head, *members)))
    result.sort(key=lambda g: (_rank(g.relation), g.members[0].model))
    return result

  def _find_first(self, member: Member) -> str:
    """The model that stands for the group of a member.

    Follows the relations that are as strong or stronger, so that the copies of
    one shape are in one group, whichever of them each was compared with.
    """
    strength = _rank(member.relation)
    first = member.to
    while (step := self.members[first]).relation and (
      _rank(step.relation) <= strength
    ):
      first = step.to
    return first

  def _compare_size(self, one: str, two: str) -> float:
    ratio = _radius(self.models[one]) / _radius(self.models[two])
    return round(ratio, 6)


def judge(one: Model, two: Model, fit: Fit) -> tuple[Related, float]:
  """Names the relation of two models.

  Args:
    one: a model.
    two: another one, not identical.
    fit: of their surfaces at equal size.

  Returns:
    The relation, empty if unrelated, and the size of one divided by that of
    two.
  """
  first, second = _proportions(one), _proportions(two)
  # The volume of an open shell is nearly 0, so a share of it means nothing.
  unit = np.array([*second[:4], max(second[4], second[3] / 9)])
  slack = _MAX_DIFFERENCES * unit
  slack[:3] += _MAX_ROUNDING * second[:3].max()
  is_equal = bool(np.all(np.abs(first - second) <= slack))
  scale = round(float(_radius(one) / _radius(two)), 6)
  if is_equal and fit.mean <= NEAR and fit.far <= FAR:
    if fit.mirrored:
      return MIRRORED, scale
    return (SAME if abs(scale - 1) <= _MAX_SIZE_DIFFERENCE else SCALED), scale
  return (SIMILAR if fit.mean <= _MAX_SIMILAR_DISTANCE else ""), scale


def _proportions(model: Model) -> np.ndarray:
  """Sides, ascending, area and volume in units of the radius: float [5]."""
  radius = _radius(model)
  sides = np.sort(model.extent or (0, 0, 0)) / radius
  area, volume = (model.area or 0) / radius**2, (model.volume or 0) / radius**3
  return np.array([*sides, area, volume])


def _profile(model: Model) -> np.ndarray:
  """Sides and root of the area: float [4], similar for similar shapes."""
  sides, area = np.split(_proportions(model), [3])
  return np.append(sides, np.sqrt(area[0]))


def _radius(model: Model) -> float:
  assert model.radius, "indexed models have a size"
  return model.radius


def _rank(relation: Related) -> int:
  return RELATIONS.index(relation) if relation else -1
