"""Parameters in the URL of a request."""

from typing import Annotated, Literal

from fastapi import Path, Query

from dr3d.database.condition import Condition, split_pairs
from dr3d.mesh.unit import Unit
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.runtime.text import CONTROL
from dr3d.search.size import SizeMode
from dr3d.server.http_error import HttpError
from dr3d.server.query_options import QueryOptions
from dr3d.server.upload import FIELD

State = Literal["indexed", "failed", "missing", "outdated"]

Labels = Annotated[
  list[str] | None, Query(description="only models of one of these labels")
]
Where = Annotated[
  list[str] | None,
  Query(
    description="only models with this metadata, key=value; if a key is "
    "given twice, either value matches"
  ),
]
UnitQuery = Annotated[
  Unit | None, Query(description="of a file that does not state its own")
]
ModelPath = Annotated[
  str, Path(description="name of a model; slashes may be written as %2F")
]

RegionQuery = Annotated[
  str | None,
  Query(
    max_length=40,
    description="x,y,width,height of a box around the thing in a photograph, "
    "whole pixels from the upper left of the upright picture",
  ),
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
"""OpenAPI description of an upload, which FastAPI does not parse."""

_NAME_LENGTH = 200  # characters


def read_options(
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
      description="only models of the size of the query along each principal "
      "axis, within this share of its longest side",
    ),
  ] = None,
  verify: Annotated[
    int, Query(ge=0, le=20, description="matches registered to the query")
  ] = VERIFIED_COUNT,
  evidence: Annotated[
    bool, Query(description="also return views and a GLB of the query")
  ] = False,
  unit: UnitQuery = None,
  size: Annotated[
    SizeMode,
    Query(
      description="prefer: of models of one shape, those of the query's size "
      "come first; match: only models of its size, as by same_size"
    ),
  ] = "prefer",
) -> QueryOptions:
  """Returns the options of a query."""
  condition = Condition(
    labels=label or (), where=read_pairs("where", where), same_size=same_size
  )
  return QueryOptions(k, condition, min_score, verify, evidence, unit, size)


def read_region(text: str | None) -> tuple[int, int, int, int] | None:
  """Reads a box.

  Raises:
    HttpError: it is none.
  """
  if text is None:
    return None
  parts = text.split(",")
  if len(parts) != 4 or not all(
    part.isascii() and part.isdigit() and len(part) < 9 for part in parts
  ):
    raise HttpError(
      422,
      "region must be x,y,width,height of a box, whole pixels from the upper"
      f" left, got {text!r}.",
    )
  x, y, w, h = map(int, parts)
  return x, y, w, h


def read_pairs(
  parameter: str, pairs: list[str] | None
) -> dict[str, tuple[str, ...]]:
  """Reads `key=value` pairs; see `condition.split_pairs`.

  Raises:
    HttpError: a pair is malformed, or cannot be stored.
  """
  for pair in pairs or ():
    check_text(parameter, pair)
  try:
    return split_pairs(pairs or ())
  except ValueError as error:
    raise HttpError(422, f"{parameter} {error}.") from error


def check_name(name: str, suffix: str) -> str:
  """Returns the name of a new model, which ends as its format does.

  Raises:
    HttpError: the name is not allowed.
  """
  parts = name.split("/")
  if len(name) > _NAME_LENGTH or not all(
    part.strip() == part and part not in ("", ".", "..") for part in parts
  ):
    raise HttpError(
      422,
      f"a name must have at most {_NAME_LENGTH} characters and no empty part "
      f"between slashes, got {name[:60]!r}.",
    )
  check_text("name", name)
  return name if name.lower().endswith(suffix) else f"{name}{suffix}"


def check_text(parameter: str, text: str) -> str:
  """Returns a text, if it can be stored and shown.

  Raises:
    HttpError: it has control characters or surrogates.
  """
  if CONTROL.search(text):
    raise HttpError(422, f"{parameter} must not have control characters.")
  return text
