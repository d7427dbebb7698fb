"""Parameters in the address of a request."""

import re
from typing import Annotated, Literal

from fastapi import Path, Query

from dr3d.database.condition import Condition, split_pairs
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.server.http_error import HttpError
from dr3d.server.service import QueryOptions
from dr3d.server.upload import FIELD

Unit = Literal["mm", "cm", "m", "inch", "foot", "micron"]
State = Literal["indexed", "failed", "missing", "outdated"]
Relation = Literal["identical", "same", "scaled", "mirrored", "similar"]

Labels = Annotated[
  list[str] | None, Query(description="only models of one of these labels")
]
Where = Annotated[
  list[str] | None,
  Query(
    description="only models with this metadata, key=value; of a key that "
    "comes twice either value will do"
  ),
]
UnitQuery = Annotated[
  Unit | None, Query(description="of a file that does not state its own")
]
ModelPath = Annotated[
  str, Path(description="name of a model; slashes may be written as %2F")
]

UPLOAD = {
  "requestBody": {
    "required": True,
    "content": {
      "multipart/form-data": {
        "schema": {
          "type": "object",
          "properties": {FIELD: {"type": "string", "format": "binary"}},
          "required": [FIELD],
        }
      }
    },
  }
}
"""What OpenAPI says of a body that is read as it arrives."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST = 200  # characters of a name


def read_ask(
  k: Annotated[int, Query(ge=1, le=1000, description="matches")] = 10,
  label: Labels = None,
  where: Where = None,
  min_score: Annotated[
    float, Query(ge=-1, le=1, description="of a match")
  ] = -1.0,
  same_size: Annotated[
    float | None,
    Query(
      gt=0,
      lt=1,
      description="only models whose true sizes are those of the query, "
      "within this share of its longest side",
    ),
  ] = None,
  verify: Annotated[
    int, Query(ge=0, le=20, description="matches laid upon the query")
  ] = VERIFIED_COUNT,
  evidence: Annotated[
    bool, Query(description="pictures and a GLB of the query, too")
  ] = False,
  unit: UnitQuery = None,
) -> QueryOptions:
  """What the parameters of a query ask for."""
  condition = Condition(
    labels=label or (), where=read_pairs("where", where), same_size=same_size
  )
  return QueryOptions(k, condition, min_score, verify, evidence, unit)


def read_pairs(
  parameter: str, pairs: list[str] | None
) -> dict[str, tuple[str, ...]]:
  """Reads `key=value` pairs; see `condition.split_pairs`.

  Raises:
    HttpError: a pair is none, or cannot be stored.
  """
  for pair in pairs or ():
    check_text(parameter, pair)
  try:
    return split_pairs(pairs or ())
  except ValueError as error:
    raise HttpError(422, f"{parameter} {error}.") from error


def check_name(name: str, suffix: str) -> str:
  """Returns the name that a new model gets: it ends as its format does.

  Raises:
    HttpError: it cannot be one.
  """
  parts = name.split("/")
  if len(name) > _LONGEST or not all(
    part.strip() == part and part not in ("", ".", "..") for part in parts
  ):
    raise HttpError(
      422,
      f"a name has at most {_LONGEST} characters, and no empty part between "
      f"its slashes, not {name[:60]!r}.",
    )
  check_text("name", name)
  return name if name.lower().endswith(suffix) else f"{name}{suffix}"


def check_text(parameter: str, text: str) -> str:
  """Returns text that can be stored and shown.

  Raises:
    HttpError: it has control characters or half ones.
  """
  if _UNFIT.search(text):
    raise HttpError(422, f"{parameter} must not have control characters.")
  return text
