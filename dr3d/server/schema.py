"""What the service answers, as JSON; names are those of `dr3d query --json`."""

import base64
import dataclasses
import urllib.parse
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from dr3d.database import catalogue, duplicate
from dr3d.search import answer as answer_lib

Extent = tuple[float, float, float]


class Failed(BaseModel):
  """Why a request was not answered."""

  error: str = Field(description="one sentence that says what to do")


_FAILED = {
  "description": "Refused",
  "content": {
    "application/json": {"schema": {"$ref": "#/components/schemas/Failed"}}
  },
}
FAILURES: dict[int | str, dict[str, Any]] = {"4XX": _FAILED, 503: _FAILED}
"""How every call may fail, whatever it answers otherwise."""


class Status(BaseModel):
  """Whether the service answers."""

  status: str = Field(description="ok, ready, warming or failed")
  error: str = Field(default="", description="why it failed")


class Model(BaseModel):
  """A model of the database."""

  model: str = Field(description="its name, which identifies it")
  label: str = Field(description="empty for none")
  state: str = Field(description="one of indexed, failed, missing, outdated")
  reason: str = Field(description="why it failed, otherwise empty")
  extent: Extent | None = Field(
    description="true size along the principal axes, mm"
  )
  unit: str = Field(description="of the file; assumed where it does not say")
  face_count: int | None = Field(description="faces that are rendered")
  body_count: int | None = Field(description="bodies that the file lists")
  area: float | None = Field(description="of the surface, square mm")
  volume: float | None = Field(description="within the surface, cubic mm")
  metadata: dict[str, str] = Field(description="what else is known of it")
  source: str = Field(description="folder: of the models; added: by itself")
  url: str = Field(description="of this model; its pictures are below it")


class Models(BaseModel):
  """A part of a list of models."""

  total: int = Field(description="models that meet the conditions")
  models: list[Model]


class Shape(BaseModel):
  """What was asked for, as it was read."""

  extent: Extent = Field(description="true size along the principal axes, mm")
  unit: str
  face_count: int = Field(description="faces that were rendered")
  views: list[str] | None = Field(
    default=None, description="N pictures as data URIs, with evidence"
  )
  glb: str | None = Field(
    default=None, description="for a viewer, as a data URI, with evidence"
  )

  def show(self, views: Sequence[bytes], glb: bytes) -> None:
    """Gives pictures, PNG, and a GLB."""
    self.views = [to_data_uri(view, "image/png") for view in views]
    self.glb = to_data_uri(glb, "model/gltf-binary")


class Prediction(BaseModel):
  """What the query is, by vote."""

  label: str = Field(description="with most votes; empty for none")
  confidence: float = Field(description="its share of the votes, 0 to 1")
  probability: float = Field(
    description="with which it is right, if the label of the query is known"
  )
  accepted: bool
  reject_reason: str = Field(
    description="rivals: models of another label are nearly as near;"
    " strangers: models whose label is missing come as near; empty where"
    " reliable"
  )


class Match(BaseModel):
  """A model of the answer."""

  rank: int = Field(description="1 for the best")
  model: str
  label: str
  score: float = Field(description="mean likeness of the views, at most 1")
  votes: int = Field(description="views of the query that vote for it")
  query_view: int = Field(description="view of the most alike pair, from 1")
  view: int = Field(description="view of the model of that pair, from 1")
  extent: Extent | None
  scale: float | None = Field(description="its size over that of the query")
  distance: float | None = Field(
    description="of the surfaces, radii of the sphere; null: not compared"
  )
  mirrored: bool | None
  same: bool | None = Field(description="whether it has the query's shape")
  url: str = Field(description="of the model; its pictures are below it")


class Answer(BaseModel):
  """The answer to a query."""

  query: str = Field(description="name of the upload or of the model")
  shape: Shape
  prediction: Prediction
  matches: list[Match] = Field(description="best first")


class Member(BaseModel):
  """A model of a group of duplicates."""

  model: str
  label: str
  relation: str = Field(description="to another one; empty for the first")
  to: str = Field(description="name of that one")
  scale: float = Field(description="size of this model over that of the other")
  distance: float
  mirrored: bool
  url: str


class Group(BaseModel):
  """Models that are one shape."""

  relation: str = Field(description="the weakest in it")
  members: list[Member]


class Duplicates(BaseModel):
  """Groups, or how far the search for them is."""

  ready: bool
  done: int = Field(description="models that were looked at")
  total: int
  groups: list[Group]


class Failure(BaseModel):
  """A file that is not searched."""

  model: str
  reason: str


class Failures(BaseModel):
  """The files that are not searched."""

  failures: list[Failure]


class Label(BaseModel):
  """What a model is."""

  label: str = Field(max_length=200, description="empty for none")


class LabelCount(BaseModel):
  """How many indexed models have a label."""

  label: str
  count: int


class Limits(BaseModel):
  """What an upload may take."""

  bytes: int
  faces: int
  seconds: float


class Info(BaseModel):
  """What the database holds and the service takes."""

  name: str = Field(description="of the database")
  counts: dict[str, int] = Field(description="models in each state")
  labels: list[LabelCount]
  metadata: dict[str, list[str]] = Field(
    description="values of each key, the first hundred"
  )
  views: int | None = Field(description="of a model; null while warming")
  viewpoints: list[tuple[float, float, float, float]] | None = Field(
    description="of the views: quaternions w, x, y, z, in the axes of a GLB; "
    "null while warming, and where views do not turn models to those axes"
  )
  image_size: int | None = Field(description="pixels that the network sees")
  unit: str = Field(description="that is assumed of files that state none")
  units: list[str]
  formats: list[str]
  limits: Limits
  writable: bool = Field(description="whether a token allows to write")
  version: str
  pipeline: str = Field(description="fingerprint")


def make_url(name: str) -> str:
  """Where a model is."""
  return f"/api/models/{urllib.parse.quote(name, safe='')}"


def to_data_uri(data: bytes, media_type: str) -> str:
  """A file as a URI (RFC 2397)."""
  return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def make_model(row: catalogue.Model) -> Model:
  """A row of the catalogue."""
  return Model(
    model=row.name,
    label=row.label,
    state=row.state,
    reason=row.reason,
    extent=row.extent,
    unit=row.unit,
    face_count=row.face_count,
    body_count=row.body_count,
    area=row.area,
    volume=row.volume,
    metadata=dict(row.metadata),
    source=row.source,
    url=make_url(row.name),
  )


def make_answer(name: str, shape: Shape, answer: answer_lib.Answer) -> Answer:
  """The answer to a query."""
  matches = [
    Match(**_fields(match), url=make_url(match.model))
    for match in answer.matches
  ]
  return Answer(
    query=name,
    shape=shape,
    prediction=Prediction(**_fields(answer.prediction)),
    matches=matches,
  )


def make_group(group: duplicate.Group) -> Group:
  """A group of duplicates."""
  members = [
    Member(**_fields(member), url=make_url(member.model))
    for member in group.members
  ]
  return Group(relation=group.relation, members=members)


def _fields(record: Any) -> dict[str, Any]:
  """The fields of a dataclass, which are those of the schema as well."""
  return {
    field.name: getattr(record, field.name)
    for field in dataclasses.fields(record)
  }
