"""Matches are laid upon the query: how far apart, and whether of one shape.

What has the same shape settles the label, where all that has it agrees.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dr3d import worker
from dr3d.error import Dr3dError
from dr3d.mesh import Mesh
from dr3d.mesh.comparison import Fit, compare, make_cloud
from dr3d.mesh.packing import unpack_mesh
from dr3d.search.query import Answer
from dr3d.search.relation import FAR, NEAR

_SIDES = 0.02  # share by which sides of one shape may differ
_FEW = 8  # queries for which no processes are started


def fit_meshes(mesh: Mesh, packed: Mapping[str, bytes]) -> dict[str, Fit]:
  """Lays models upon a mesh.

  Args:
    mesh: of the query.
    packed: meshes of models, by name; see `packing.pack_mesh`.

  Returns:
    How well each of them fits, by name.
  """
  cloud = make_cloud(mesh)
  return {
    name: compare(cloud, make_cloud(unpack_mesh(data)))
    for name, data in packed.items()
  }


def is_same(fit: Fit) -> bool:
  """Whether two shapes are one, of whatever size, mirrored where the fit is."""
  return fit.mean <= NEAR and fit.far <= FAR and fit.sides <= _SIDES


def settles(label: str, laid: Iterable[tuple[str, Fit]]) -> bool:
  """Whether the shapes of matches settle that a query has a label.

  So it is where those that have the shape of the query, of whatever size, all
  have the label: however alike models of other labels are, the query is none of
  these.

  Args:
    label: that is predicted; empty for none.
    laid: labels of matches, and how well each fits.
  """
  same = {other for other, fit in laid if is_same(fit) and not fit.mirrored}
  return bool(label) and same == {label}


def settle_label(
  mesh: Mesh, label: str, models: Sequence[tuple[str, bytes]]
) -> bool:
  """As `settles`, but lays no more models than that takes.

  Args:
    mesh: of the query.
    label: that is predicted.
    models: labels and meshes of the matches; see `packing.pack_mesh`.
  """
  cloud = make_cloud(mesh)

  def lay(chosen: Iterable[tuple[str, bytes]]) -> list[tuple[str, Fit]]:
    return [
      (other, compare(cloud, make_cloud(unpack_mesh(data))))
      for other, data in chosen
    ]

  own = lay(model for model in models if model[0] == label)
  # Mostly none of the label has the shape, and then the others do not matter.
  return settles(label, own) and settles(
    label, own + lay(model for model in models if model[0] != label)
  )


def settle_each(
  calls: Iterable[tuple[Mesh, str, Sequence[tuple[str, bytes]]]], *, count: int
) -> Iterator[bool]:
  """As `settle_label`, for many queries, in processes of their own.

  Args:
    calls: what it takes, for each query.
    count: how many they are.

  Returns:
    An iterator: for each of them, in order, whether shapes settle the label;
    not where that fails.

  Raises:
    Dr3dError: the processes cannot be started.
  """
  if count < _FEW:
    yield from itertools.starmap(settle_label, calls)
    return
  for settled in worker.call_each(
    f"{__name__}:{settle_label.__name__}",
    (
      {"mesh": mesh, "label": label, "models": models}
      for mesh, label, models in calls
    ),
    limits=worker.Limits(),
    count=os.cpu_count() or 1,
  ):
    yield not isinstance(settled, Dr3dError) and settled


def complete(answer: Answer, fits: Mapping[str, Fit]) -> Answer:
  """Gives matches the distance that was found, where one was.

  A prediction in doubt is so no longer where the shapes settle its label.

  Args:
    answer: by votes.
    fits: of matches, by name.
  """
  matches = tuple(
    dataclasses.replace(
      match,
      distance=round(fits[match.model].mean, 6),
      mirrored=fits[match.model].mirrored,
      same=is_same(fits[match.model]),
    )
    if match.model in fits
    else match
    for match in answer.matches
  )
  laid = [
    (match.label, fits[match.model])
    for match in answer.matches
    if match.model in fits
  ]
  prediction = answer.prediction
  if settles(prediction.label, laid):
    prediction = dataclasses.replace(prediction, probability=1.0, doubt="")
  return Answer(prediction, matches)
