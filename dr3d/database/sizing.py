"""What the true sizes of a database's models add to an answer."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from dr3d.database.condition import TOLERANCE, Condition
from dr3d.database.model import Model
from dr3d.mesh.unit import parse_length
from dr3d.search.answer import Match
from dr3d.search.query import Query
from dr3d.search.size import (
  QuerySize,
  SizeMode,
  SizeRating,
  Sizes,
  UnitQuestion,
  find_unit_question,
  round_extent,
  round_length,
)

MISS_CANDIDATES = 10
"""Models of other sizes that are looked at if none has the query's size."""

_MISSES = 3  # of these, in the answer

Boxes = tuple[np.ndarray, np.ndarray]
"""`box` and `smallest_box` of a mesh."""


def settle_mode(
  size: SizeMode, condition: Condition | None
) -> tuple[SizeMode, Condition | None]:
  """Makes the way a size takes part and the condition agree."""
  if condition is not None and condition.same_size is not None:
    return "match", condition
  if size == "match":
    condition = condition or Condition()
    return size, dataclasses.replace(condition, same_size=TOLERANCE)
  return size, condition


def rate_sizes(sizes: Sizes, query: Query, mode: SizeMode) -> SizeRating | None:
  """Rates the sizes of models; None if they do not count."""
  if mode == "ignore" or query.mesh is None:
    return None
  return sizes.rate(query.mesh.radius, is_stated=query.is_unit_stated)


def describe_size(query: Query, mode: SizeMode) -> QuerySize | None:
  """The size of a query for its answer; None if it is not known."""
  extent = round_extent(query.extent)
  if extent is None:
    return None
  mesh = query.mesh
  return QuerySize(
    mode,
    query.unit,
    query.is_unit_stated,
    extent,
    round_extent(None if mesh is None else mesh.box),
    round_extent(None if mesh is None else mesh.smallest_box),
  )


def add_size(
  match: Match, model: Model, query: Query, boxes: Boxes | None
) -> Match:
  """Completes a match by the true size of the model.

  Args:
    match: of the model.
    model: its row.
    query: that it answers.
    boxes: of the model; None if they are not known.
  """
  assert model.radius is not None, "the tables let none be indexed without"
  scale = deviation = None
  if query.mesh is not None:
    radius = float(query.mesh.radius)
    scale = round_length(model.radius / radius)
    if match.distance is not None:
      deviation = round_length(match.distance * radius)
  box, smallest = boxes or (None, None)
  return dataclasses.replace(
    match,
    extent=round_extent(model.extent),
    box=round_extent(box),
    smallest_box=round_extent(smallest),
    scale=scale,
    deviation=deviation,
  )


def choose_misses(matches: Sequence[Match]) -> tuple[Match, ...]:
  """Of models that look like the query, those of the nearest size."""

  def away(match: Match) -> float:
    return abs(math.log(match.scale)) if match.scale else math.inf

  nearest = sorted(matches, key=away)[:_MISSES]
  return tuple(
    dataclasses.replace(match, rank=rank)
    for rank, match in enumerate(nearest, start=1)
  )


def ask_unit(matches: Sequence[Match], query: Query) -> UnitQuestion | None:
  """Asks whether the unit of a query is right; see `find_unit_question`."""
  return find_unit_question(
    {match.model: match.scale for match in matches if match.scale},
    {
      match.model: match.distance
      for match in matches
      if match.distance is not None
    },
    parse_length(query.unit),
  )
