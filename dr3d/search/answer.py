"""The answer to a query: a prediction and ranked matches."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from dr3d.runtime.notebook import (
  display_html,
  format_picture,
  format_table,
  is_notebook,
  make_dataframe,
)
from dr3d.search.size import Extent, QuerySize, UnitQuestion

if TYPE_CHECKING:
  import pandas

TARGET_PRECISION = 0.99
"""Share of the accepted predictions that are to be right."""

AMBIGUOUS: Literal["ambiguous"] = "ambiguous"
UNKNOWN: Literal["unknown"] = "unknown"

UNVERIFIED: Literal["unverified"] = "unverified"

UNLABELLED: Literal["unlabelled"] = "unlabelled"

RejectReason = Literal["", "ambiguous", "unknown", "unverified", "unlabelled"]


class Picture(Protocol):
  """Something with a picture, such as `database.model.Shape`."""

  @property
  def thumbnail(self) -> bytes:
    """A small PNG."""


class ThumbnailSource(Protocol):
  """Has pictures of models, as a `Database` has."""

  def load_shapes(self, names: Collection[str]) -> Mapping[str, Picture]:
    """Pictures by name of the model, as far as there are any."""


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What the query is, by vote.

  Attributes:
    label: the label with most votes; empty if no vote went to a labelled model.
    confidence: its share of the votes of all Q vectors, 0 to 1; without a
      label, the share of the vectors that vote for `model`.
    probability: that it is right, 0 to 1, if the gallery holds models of the
      query's class at all; see `calibration`.
    accepted: True if there is no reason to reject.
    reject_reason: `"ambiguous"` if the probability is below the target: models
      of another label are nearly as similar; `"unknown"` if queries of unknown
      classes come as near; `"unverified"` if the most similar models should
      have been registered to the query and could not be; `"unlabelled"` if no
      vote went to a labelled model, so that nothing is calibrated; empty
      otherwise.
    model: name of the model with most votes if there is no label [0032]; empty
      if there is one.
  """

  label: str
  confidence: float
  probability: float
  reject_reason: RejectReason = ""
  model: str = ""
  # The default makes FastAPI include the field.
  accepted: bool = dataclasses.field(default=True, init=False)

  def __post_init__(self):
    """Accepts what nothing rejects."""
    object.__setattr__(self, "accepted", not self.reject_reason)


@dataclasses.dataclass(frozen=True)
class Match:
  """One model of the answer.

  Attributes:
    rank: 1 for the best.
    model: the model's name.
    label: its label, empty if it has none.
    score: similarity to the query, -1 to 1, to six decimals.
    votes: how many of the query's vectors vote for this model.
    query_view: number of the query's view, from 1, in the most similar pair of
      views.
    view: number of the model's view in that pair.
    extent: true size of the model along its principal axes, millimetres; None
      if it is not known.
    box: true size of the model as drawn, along the axes of its file,
      millimetres; None if it is not known.
    smallest_box: sides of the smallest box around it in any pose, descending,
      millimetres; None likewise.
    scale: size of the model over that of the query; None if not known.
    distance: mean distance of the surfaces at one size, in radii of the
      smallest enclosing sphere; None if they were not registered.
    deviation: the same in millimetres, at the size of the query.
    mirrored: whether the query had to be mirrored to fit; None likewise.
    same: whether they are one shape at any size; None likewise.
    difference: of the images of the registered query and of the model; see
      `registration.image.Alignment`; None if they were not compared.
  """

  rank: int
  model: str
  label: str
  score: float
  votes: int
  query_view: int = 0
  view: int = 0
  extent: Extent | None = None
  box: Extent | None = None
  smallest_box: Extent | None = None
  scale: float | None = None
  distance: float | None = None
  deviation: float | None = None
  mirrored: bool | None = None
  same: bool | None = None
  difference: float | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
  """The answer to one query; `dataclasses.asdict` makes it ready for JSON.

  Attributes:
    prediction: the label by vote.
    matches: at most k models, best first.
    size: of the query; None if it is not known.
    unit_question: asks whether its unit is right; None without a doubt.
    misses: if no model has the size of the query, those that look most like it
      at other sizes, the nearest size first; empty otherwise.
    notes: what was left out of the query before it was searched, one sentence
      each; see `repair.drop_debris`.
  """

  prediction: Prediction
  matches: tuple[Match, ...]
  size: QuerySize | None = None
  unit_question: UnitQuestion | None = None
  misses: tuple[Match, ...] = ()
  notes: tuple[str, ...] = ()

  def to_dataframe(self) -> "pandas.DataFrame":
    """Returns a table with a row for each match, best first.

    The columns are the fields of `Match`, but lengths in millimetres stand for
    its boxes: `length`, `width` and `height` for `extent`, `x`, `y` and `z` for
    `box`, and `side_1` to `side_3` for `smallest_box`.

    Raises:
      Dr3dError: pandas is not installed.

    Example:
      >>> match = Match(1, "nut.stl", "nut", score=0.9, votes=5)
      >>> answer = Answer(Prediction("nut", 0.9, 0.99), (match,))
      >>> answer.to_dataframe()[["model", "score"]]
           model  score
      0  nut.stl    0.9
    """
    return make_dataframe(map(_list_values, self.matches), _COLUMNS)

  def show(self, database: "ThumbnailSource | None" = None) -> None:
    """Shows the answer: a table in a notebook, lines of text elsewhere.

    Args:
      database: that has answered; its pictures of the matches are shown in a
        notebook.
    """
    if not is_notebook():
      print(self._format_text())
      return
    text = self._repr_html_()
    if database is not None:
      names = [match.model for match in self.matches]
      shapes = database.load_shapes(names)
      text += "".join(
        format_picture(shapes[name].thumbnail, name)
        for name in names
        if name in shapes
      )
    display_html(text)

  def _format_text(self) -> str:
    """The prediction and the matches as lines of text."""
    lines = [_describe(self.prediction)]
    for match in self.matches:
      sides = _format_sides(match)
      lines.append(
        f"{match.rank:4} {match.model}  {match.label or '-'}"
        f"  {match.score:.3f}  {sides or '-'}"
      )
    return "\n".join(lines)

  def _repr_html_(self) -> str:
    """The prediction and the matches as a table, for notebooks."""
    rows = [
      (
        match.rank,
        match.model,
        match.label,
        f"{match.score:.3f}",
        match.votes,
        _format_sides(match),
      )
      for match in self.matches
    ]
    header = ("rank", "model", "label", "score", "votes", "size, mm")
    return format_table(_describe(self.prediction), header, rows)


BOXES = {
  "extent": ("length", "width", "height"),
  "box": ("x", "y", "z"),
  "smallest_box": ("side_1", "side_2", "side_3"),
}
"""Columns of a table that stand for three lengths of a match."""

_COLUMNS = [
  column
  for field in dataclasses.fields(Match)
  for column in BOXES.get(field.name, (field.name,))
]


def _list_values(match: Match) -> list[object]:
  """Values of a match by `_COLUMNS`."""
  values = dataclasses.asdict(match)
  for field, names in BOXES.items():
    sides = values.pop(field) or (None, None, None)
    values |= dict(zip(names, sides, strict=True))
  return [values[column] for column in _COLUMNS]


def _format_sides(match: Match) -> str:
  return " x ".join(f"{side:.4g}" for side in match.box or match.extent or ())


def _describe(prediction: Prediction) -> str:
  label = prediction.label or prediction.model or "no label"
  if prediction.accepted:
    state = "accepted"
  else:
    state = f"not accepted ({prediction.reject_reason})"
  return f"{label}: {state}, probability {prediction.probability:.2f}"


NO_ANSWER = Answer(Prediction("", 0.0, 0.0, AMBIGUOUS), ())
