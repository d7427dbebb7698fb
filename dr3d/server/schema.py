"""Responses as JSON; names and values are those of `dr3d query --json`.

FastAPI writes the dataclasses of the library as they are; those here add the
URL of each model.
"""

import base64
import dataclasses
import io
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, Field

from dr3d.database import catalogue, check, duplicate, model_search
from dr3d.database.ingest import Failure
from dr3d.image.cutout import CutOut
from dr3d.registration.deviation import Deviation
from dr3d.search import answer as answer_lib
from dr3d.search.answer import Prediction
from dr3d.search.size import QuerySize, UnitQuestion
from dr3d.server.http_error import PROBLEM
from dr3d.server.token import Role

Extent = tuple[float, float, float]


class Problem(BaseModel):
  """Why a request was rejected (RFC 9457)."""

  type: Literal["about:blank"]
  title: str = Field(description="what the status means")
  status: int
  detail: str = Field(description="one sentence that says what to do")


_FAILED = {
  "description": "Rejected",
  "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
FAILURES: dict[int | str, dict[str, Any]] = {
  "4XX": _FAILED,
  503: _FAILED,
  507: _FAILED,
}
"""OpenAPI description of the errors of every route."""


class Status(BaseModel):
  """Whether the service answers."""

  status: Literal["ok", "ready", "warming", "stale", "failed"] = Field(
    description="stale: queries are answered, but changes of the database by "
    "other processes cannot be read"
  )
  error: str = Field(default="", description="why it failed")


class Model(BaseModel):
  """A model of the database; see `catalogue.Model`."""

  model: str = Field(description="its name, which is unique")
  label: str = Field(description="empty for none")
  state: Literal["indexed", "failed", "missing", "outdated"]
  reason: str = Field(description="why it failed; empty otherwise")
  extent: Extent | None = Field(
    description="true size along the principal axes, mm"
  )
  radius: float | None = Field(description="of the enclosing sphere, mm")
  unit: str = Field(description="of the file; assumed if it states none")
  face_count: int | None = Field(description="faces that are rendered")
  body_count: int | None = Field(description="bodies in the file")
  area: float | None = Field(description="of the surface, square mm")
  volume: float | None = Field(description="within the surface, cubic mm")
  metadata: dict[str, str]
  source: Literal["folder", "added"] = Field(
    description="folder: found in the folder of models; added: one by one"
  )
  hash: str = Field(description="SHA-256 of the file")
  geometry: str = Field(description="hash of the triangles at true size")
  fingerprint: str = Field(description="of the pipeline that embedded it")
  url: str = Field(description="of this model; its previews are below it")


class Models(BaseModel):
  """One page of a list of models."""

  total: int = Field(
    description="models that meet the conditions, on all pages"
  )
  models: list[Model]
  columns: list["Column"] = Field(
    default=[], description="values that further filters could ask for"
  )


class Value(BaseModel):
  """A value of a column, and how many models have it."""

  value: str
  count: int


class Column(BaseModel):
  """Values of the label or of a key of the metadata."""

  name: str = Field(description="label, or a key of the metadata")
  values: list[Value] = Field(
    description="the most frequent first, at most 100"
  )
  total: int = Field(description="number of different values")


class FoundInstance(BaseModel):
  """An object that was found in a picture."""

  box: tuple[int, int, int, int] = Field(
    description="x, y, width and height, pixels of the picture"
  )
  score: float = Field(description="probability that it is the object")
  area: int = Field(description="of its mask, pixels of the picture")


class Located(BaseModel):
  """What was found in a picture; no instance: it is not there."""

  height: int
  width: int
  instances: list[FoundInstance]
  highlight: str = Field(
    description="the picture with only the instances lit, JPEG as a data URI"
  )
  heat: str = Field(description="the heat map, likewise")


class Shape(BaseModel):
  """The query, as it was read."""

  extent: Extent = Field(description="true size along the principal axes, mm")
  unit: str
  face_count: int = Field(description="faces that were rendered")
  views: list[str] | None = Field(
    default=None, description="N images as data URIs, if evidence was wanted"
  )
  glb: str | None = Field(
    default=None, description="for a viewer, likewise a data URI"
  )
  picture: str | None = Field(
    default=None, description="from above one corner, likewise a data URI"
  )

  def show(self, views: Sequence[bytes], glb: bytes, picture: bytes) -> None:
    """Sets the views and the picture, as PNG, and the GLB."""
    self.picture = to_data_uri(picture, "image/png")
    self.views = [to_data_uri(view, "image/png") for view in views]
    self.glb = to_data_uri(glb, "model/gltf-binary")


class Photograph(BaseModel):
  """What was seen in a photograph of the query."""

  name: str = Field(description="of the upload")
  box: tuple[int, int, int, int] = Field(
    description="x, y, width and height around the thing, pixels"
  )
  source: Literal["alpha", "box", "border"] = Field(
    description="what the mask was made from"
  )
  picture: str | None = Field(
    default=None,
    description="the photograph, dark where the thing is not, as a data URI, "
    "if evidence was wanted",
  )


@dataclasses.dataclass(frozen=True)
class Match(answer_lib.Match):
  """One model of an answer; see `search.answer_lib.Match`.

  It has its URL, and what else is known of the model: the radius of its
  enclosing sphere, mm, and its metadata.
  """

  url: str = ""
  radius: float | None = None
  metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


# OpenAPI shows docstrings, and these describe the fields.
Match.__doc__ = answer_lib.Match.__doc__


class Answer(BaseModel):
  """The answer to a query."""

  query: str = Field(description="name of the upload or of the model")
  shape: Shape | None = Field(description="null if photographs asked")
  photographs: list[Photograph] = Field(
    default=[],
    description="that asked; view is then that of /models/MODEL/photo-views",
  )
  prediction: Prediction
  matches: list[Match] = Field(description="best first")
  size: QuerySize | None = Field(description="of the query")
  unit_question: UnitQuestion | None = Field(
    description="asks whether the unit of the query is right; null if it seems "
    "to be"
  )
  misses: list[Match] = Field(
    description="if no model has the size of the query: those that look like "
    "it at other sizes, the nearest size first"
  )
  notes: list[str] = Field(
    description="what was left out of the query before it was searched"
  )
  unverified: bool = Field(
    description="matches should have been registered to the query, and could "
    "not be; the prediction is then not accepted"
  )


@dataclasses.dataclass(frozen=True)
class Member(duplicate.Member):
  """A model of a group, with its URL; see `database.duplicate.Member`."""

  url: str = ""


Member.__doc__ = duplicate.Member.__doc__


class Group(BaseModel):
  """Models that are one shape."""

  relation: str = Field(description="of its members to the first of them")
  members: list[Member]


class Duplicates(BaseModel):
  """Groups of duplicates, or the progress of the search."""

  ready: bool
  done: int = Field(description="models that were compared")
  total: int
  groups: list[Group]


class Failures(BaseModel):
  """The files that could not be indexed."""

  failures: list[Failure]


class Token(BaseModel):
  """A token, without what is secret."""

  name: str = Field(description="of the person or program that uses it")
  role: Role
  created: str = Field(description="UTC, ISO 8601")


class Damage(BaseModel):
  """Something of the database that is not what was written."""

  kind: check.Kind
  name: str = Field(description="of the model, setting or file")
  reason: str
  advice: str = Field(description="the way back")


class Scan(BaseModel):
  """The search for damage."""

  running: bool = Field(description="whether a scan runs or was asked for")
  error: str = Field(description="why the last one failed; empty otherwise")
  ended: str | None = Field(
    description="when the last whole scan ended, UTC, ISO 8601"
  )
  damage: list[Damage] = Field(description="all that is known")


class Backup(BaseModel):
  """A backup that the service made."""

  name: str = Field(description="of its folder")
  time: str = Field(description="when it began, UTC, ISO 8601")
  searchable: int = Field(description="models in it that can be searched")
  bytes: int


class Backups(BaseModel):
  """The backups that the service made."""

  running: bool = Field(description="whether a backup is made or asked for")
  error: str = Field(description="why the last one failed; empty otherwise")
  backups: list[Backup] = Field(description="latest first")


class Overlay(BaseModel):
  """The query on a model, with its deviation.

  Arrays are little-endian and encoded as Base64.
  """

  vertices: str = Field(
    description="float32 [V, 3], mm in the axes of the GLB of the model"
  )
  faces: str = Field(description="int32 [F, 3]")
  distances: str = Field(description="float32 [V], mm, from the model")
  mean: float = Field(description="distance, mm, weighted by area")
  far: float = Field(description="mm, below which 95 % of the area lies")
  scale: float = Field(
    description="by which the query was multiplied; 1 at true size"
  )
  mirrored: bool = Field(description="whether the query had to be mirrored")


class Edit(BaseModel):
  """Changes of a model; what is null stays as it is."""

  label: str | None = Field(
    default=None, max_length=200, description="empty for none"
  )
  metadata: dict[str, str] | None = Field(
    default=None, description="replaces the present metadata"
  )


class Shown(BaseModel):
  """The metadata that is shown with a model."""

  columns: list[str] = Field(max_length=20, description="keys, in this order")


class LabelCount(BaseModel):
  """How many indexed models have a label."""

  label: str
  count: int


class Limits(BaseModel):
  """Limits of an upload."""

  bytes: int
  faces: int
  seconds: float


class Info(BaseModel):
  """What the database holds and what the service accepts."""

  name: str = Field(description="of the database")
  counts: dict[str, int] = Field(description="models in each state")
  labels: list[LabelCount]
  columns: list[Column] = Field(description="metadata of indexed models")
  shown: list[str] = Field(
    description="keys of the metadata that are shown with a model"
  )
  views: int | None = Field(description="of a model; null while warming")
  viewpoints: list[tuple[float, float, float, float]] | None = Field(
    description="of the views: quaternions w, x, y, z in the axes of a GLB; "
    "null while warming, or if the pipeline does not use the principal pose"
  )
  appearance: bool = Field(
    description="whether colours are compared; a query without them is white"
  )
  image_size: int | None = Field(
    description="pixels of a side, as the network gets them"
  )
  unit: str = Field(description="assumed for files that state none")
  units: list[str]
  formats: list[str]
  limits: Limits
  writable: bool = Field(
    description="whether changes are possible, with a token"
  )
  role: Literal["read", "write", "admin"] | None = Field(
    description="what the token of this request allows; null without one"
  )
  public: bool = Field(description="whether reading needs no token")
  shapes: bool = Field(description="whether shapes between models are drawn")
  protections: list[str] = Field(
    description="what the kernel takes from the processes that read uploads; "
    "empty until one has started"
  )
  version: str
  pipeline: str = Field(description="fingerprint")


def make_url(name: str) -> str:
  """The URL of a model."""
  return f"/api/models/{urllib.parse.quote(name, safe='')}"


def to_data_uri(data: bytes, media_type: str) -> str:
  """Encodes a file as a URI (RFC 2397)."""
  return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def make_model(row: catalogue.Model) -> Model:
  """Describes a row of the catalogue."""
  same = Model.model_fields.keys() - {"model", "url"}
  return Model(
    model=row.name,
    url=make_url(row.name),
    **{name: getattr(row, name) for name in same},
  )


def make_answer(
  name: str,
  shape: Shape | None,
  answer: answer_lib.Answer,
  models: Mapping[str, catalogue.Model],
  *,
  unverified: bool,
  photographs: Sequence[Photograph] = (),
) -> Answer:
  """Describes the answer to a query; `models` has the rows of the matches."""
  return Answer(
    query=name,
    shape=shape,
    photographs=list(photographs),
    prediction=answer.prediction,
    matches=[_make_match(match, models) for match in answer.matches],
    size=answer.size,
    unit_question=answer.unit_question,
    misses=[_make_match(match, models) for match in answer.misses],
    notes=list(answer.notes),
    unverified=unverified,
  )


def make_photograph(cutout: CutOut, *, evidence: bool) -> Photograph:
  """Describes what was seen in a photograph, with a picture if wanted."""
  picture = None
  if evidence:
    file = io.BytesIO()
    Image.fromarray(cutout.draw()).save(file, "JPEG", quality=85)
    picture = to_data_uri(file.getvalue(), "image/jpeg")
  return Photograph(
    name=cutout.name,
    box=cutout.box,
    source=cutout.mask.source,
    picture=picture,
  )


def make_column(column: model_search.Column) -> Column:
  """Describes the values of a column."""
  return Column(
    name=column.name,
    values=[Value(value=one, count=count) for one, count in column.values],
    total=column.total,
  )


def make_overlay(found: Deviation) -> Overlay:
  """Describes a query on a model."""

  def encode(array: Any, kind: str) -> str:
    return base64.b64encode(array.astype(kind).tobytes()).decode()

  return Overlay(
    vertices=encode(found.vertices, "<f4"),
    faces=encode(found.faces, "<i4"),
    distances=encode(found.distances, "<f4"),
    mean=found.mean,
    far=found.far,
    scale=found.scale,
    mirrored=found.mirrored,
  )


def _make_match(
  match: answer_lib.Match, models: Mapping[str, catalogue.Model]
) -> Match:
  model = models[match.model]
  return Match(
    **vars(match),
    url=make_url(match.model),
    radius=model.radius,
    metadata=dict(model.metadata),
  )


def make_group(group: duplicate.Group) -> Group:
  """Describes a group of duplicates."""
  return Group(
    relation=group.relation,
    members=[Member(**vars(m), url=make_url(m.model)) for m in group.members],
  )
