"""What a client and a service send each other: parameters, files, answers."""

import contextlib
import dataclasses
import io
import math
import os
import pathlib
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import IO, Any, TypeVar

import numpy as np
import trimesh
from PIL import Image

from dr3d.database.catalogue import Model
from dr3d.database.condition import Condition
from dr3d.database.model_search import Filter
from dr3d.error import Dr3dError
from dr3d.image.cutout import Photo
from dr3d.mesh import Mesh
from dr3d.search.answer import Answer, Match, Prediction
from dr3d.search.size import QuerySize, UnitQuestion

T = TypeVar("T")


@contextlib.contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[tuple[str, IO[bytes]]]:
  """Yields the name of a file and the open file."""
  path = pathlib.Path(path)
  try:
    with path.open("rb") as file:
      yield path.name, file
  except OSError as error:
    raise Dr3dError(f"{path} cannot be read ({error.strerror}).") from error


def write_stl(mesh: Mesh) -> bytes:
  """Writes a mesh at its true size, in millimetres."""
  vertices = mesh.vertices * mesh.radius
  body = trimesh.Trimesh(vertices, mesh.faces, process=False)
  return trimesh.exchange.stl.export_stl(body)


def pack_photograph(photo: Photo, name: str) -> tuple[str, IO[bytes]]:
  """Name and content of a photograph, as it is sent."""
  if isinstance(photo, bytes):
    return name, io.BytesIO(photo)
  if isinstance(photo, np.ndarray):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    return f"{name}.png", file
  if isinstance(photo, str | os.PathLike):
    with open_file(photo) as (file_name, opened):
      return file_name, io.BytesIO(opened.read())
  raise ValueError("a service takes photographs as files, bytes or pixels")


def model_url(name: str) -> str:
  """Path of a model."""
  return f"/api/models/{urllib.parse.quote(name, safe='')}"


def filter_parameters(text: str, condition: Filter) -> list[tuple[str, str]]:
  """Parameters of a list of models."""
  bounds = {"smallest": condition.smallest, "largest": condition.largest}
  return [
    *([("text", text)] if text else []),
    *(("label", label) for label in condition.labels),
    *(
      ("where", f"{key}={value}")
      for key, values in condition.where.items()
      for value in values
    ),
    *([("state", condition.state)] if condition.state else []),
    *(
      (name, str(bound))
      for name, bound in bounds.items()
      if 0 < bound < math.inf
    ),
  ]


def query_parameters(
  k: int, condition: Condition | None, min_score: float, verify: int
) -> list[tuple[str, str]]:
  """Writes the parameters of a query."""
  parameters = [
    ("k", str(k)),
    ("min_score", str(min_score)),
    ("verify", str(verify)),
  ]
  if condition is not None:
    parameters += [("label", label) for label in condition.labels]
    for key, values in condition.where.items():
      parameters += [("where", f"{key}={value}") for value in values]
    if condition.same_size is not None:
      parameters.append(("same_size", str(condition.same_size)))
  return parameters


def read_answer(answer: Mapping[str, Any]) -> Answer:
  """Reads the answer to a query."""
  size, question = answer.get("size"), answer.get("unit_question")
  return Answer(
    pick(Prediction, answer["prediction"]),
    tuple(pick(Match, match) for match in answer["matches"]),
    None if size is None else pick(QuerySize, size),
    None if question is None else pick(UnitQuestion, question),
    tuple(pick(Match, match) for match in answer.get("misses", ())),
    tuple(answer.get("notes", ())),
  )


def read_model(model: Mapping[str, Any]) -> Model:
  """Reads a model of a list."""
  return pick(Model, {**model, "name": model["model"]})


def pick(kind: type[T], values: Mapping[str, Any]) -> T:
  """Makes a dataclass of the values that are fields of it."""
  known = dataclasses.fields(kind)  # type: ignore[arg-type]
  names = {field.name for field in known if field.init}
  fields = {name: values[name] for name in names & values.keys()}
  for name in ("extent", "box", "smallest_box"):
    if fields.get(name) is not None:
      fields[name] = tuple(fields[name])
  return kind(**fields)
