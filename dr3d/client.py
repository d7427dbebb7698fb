"""A database behind a service: the calls of `Database` over HTTP.

Needs neither jax nor a database: renderer, network and index run where
`dr3d serve` does.
"""

import contextlib
import dataclasses
import io
import ipaddress
import math
import os
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import IO, Any, Self, TypeVar

import httpx
import numpy as np
import trimesh
from PIL import Image

from dr3d.database.catalogue import Model
from dr3d.database.condition import Condition
from dr3d.database.duplicate import Group, Member
from dr3d.database.ingest import Failure, Report
from dr3d.database.model_search import Filter
from dr3d.error import Dr3dError, ServiceError
from dr3d.image.cutout import Photo
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.mesh.unit import Unit
from dr3d.registration.relation import VERIFIED_COUNT, Relation
from dr3d.search.answer import Answer, Match, Prediction
from dr3d.search.size import QuerySize, SizeMode, UnitQuestion

T = TypeVar("T")

_RETRY_STATUSES = (429, 503)  # with Retry-After: too many requests, busy
_MIN_WAIT = 0.5  # seconds between two tries
# Statuses that blame one file; with others, no other file would do better.
_FILE_STATUSES = (409, 413, 415, 422)
_PAGE_SIZE = 1000  # models; the service allows no more
_POLL_SECONDS = 1.0  # between questions about the progress of a search


class Client:
  """Calls a service.

  Every call raises a ServiceError if the service rejects it or cannot be
  reached; the message is the sentence that the service sent.
  """

  def __init__(
    self,
    url: str,
    *,
    token: str | None = None,
    timeout: float = 120.0,
    retry_timeout: float = 60.0,
  ):
    """Makes a client; no request is sent yet.

    Args:
      url: of the service, such as "http://127.0.0.1:8000".
      token: allows changes, and queries if the service is not public. Without
        TLS it is sent to this machine only.
      timeout: seconds until a response begins.
      retry_timeout: seconds for which a request is repeated while the service
        is busy or warming up.

    Raises:
      ServiceError: the URL is not an HTTP URL, or a token would be sent to
        another machine without TLS.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
      raise ServiceError(f"{url!r} must begin with http:// or https://.")
    if token and parts.scheme == "http" and not _is_loopback(parts.hostname):
      raise ServiceError(
        f"a token is not sent to {url}, because everyone on the way could read"
        " it: put a proxy with TLS in front of the service and use https://."
      )
    self.url = url.rstrip("/")
    self._retry_timeout = retry_timeout
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    self._http = httpx.Client(
      base_url=self.url, headers=headers, timeout=timeout
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *details: object) -> None:
    self.close()

  def close(self) -> None:
    """Closes the connections."""
    self._http.close()

  def query(
    self,
    model: Mesh | str | os.PathLike[str] | None = None,
    *,
    photo: Photo | Sequence[Photo] | None = None,
    region: Box | None = None,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
    unit: Unit | None = None,
    size: SizeMode = "prefer",
  ) -> Answer:
    """Answers which models a mesh looks like.

    Args:
      model: a mesh file, which is sent as it is, or a Mesh in millimetres; None
        if a photograph asks.
      photo: a photograph of one thing, or several of the same: files, their
        contents, or uint8 pixels `[H, W, 3]`. They are sent as they are.
      region: a box around the thing; see `Database.query`.
      k: matches wanted, at least 1.
      condition: which models are searched.
      min_score: of a match.
      verify: how many of the first matches are registered to the query.
      unit: of a file that states none; None for that of the database.
      size: how the true size takes part; see `size.SIZE_MODES`.

    Returns:
      What `Database.query` returns.
    """
    parameters = _query_parameters(k, condition, min_score, verify)
    if (model is None) == (photo is None):
      raise ValueError("a query needs either a model or a photograph")
    if photo is not None:
      return self._query_photo(photo, region, parameters)
    assert model is not None
    parameters.append(("size", size))
    if isinstance(model, Mesh):
      mesh_file = io.BytesIO(_write_stl(model))
      parameters.append(("unit", "mm"))  # STL states none
      return self._query("mesh.stl", mesh_file, parameters)
    if unit:
      parameters.append(("unit", unit))
    with _open(model) as (name, file):
      return self._query(name, file, parameters)

  def query_similar(
    self,
    name: str,
    *,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
  ) -> Answer:
    """Answers which other models a model of the database looks like."""
    parameters = _query_parameters(k, condition, min_score, verify)
    url = f"{_model_url(name)}/similar"
    return _read_answer(self._get(url, parameters))

  def models(self) -> list[Model]:
    """All models by name, without their vectors and pictures."""
    return self.find_models()

  def find_models(
    self, text: str = "", condition: Filter | None = None
  ) -> list[Model]:
    """Finds models by words; see `Database.find_models`."""
    wanted = _filter_parameters(text, condition or Filter())
    found: list[Model] = []
    while True:
      parameters = [
        *wanted,
        ("offset", str(len(found))),
        ("limit", str(_PAGE_SIZE)),
      ]
      page = self._get("/api/models", parameters)
      found += map(_read_model, page["models"])
      if len(found) >= page["total"] or not page["models"]:
        return found

  def count_states(self) -> dict[str, int]:
    """How many models are in each of `catalogue.STATES`."""
    return self.describe_service()["counts"]

  def inspect(self) -> dict[str, Any]:
    """What the database holds; see `Database.inspect`."""
    return self._get("/api/inspection")

  def describe_service(self) -> dict[str, Any]:
    """What the service answers at /api/info: labels, formats, limits."""
    return self._get("/api/info")

  def read_file(self, name: str) -> bytes:
    """The file of a model, as it was indexed."""
    return self._request("GET", f"{_model_url(name)}/file").content

  def find_duplicates(
    self,
    *,
    weakest: Relation = "similar",
    progress: Callable[[int, int], None] | None = None,
  ) -> list[Group]:
    """Finds indexed models that are one shape; nothing is changed.

    Args:
      weakest: relation that is still reported.
      progress: called with the models compared and all models.
    """
    while True:
      found = self._get("/api/duplicates", [("weakest", weakest)])
      if progress is not None:
        progress(found["done"], found["total"])
      if found["ready"]:
        return [
          Group(
            group["relation"],
            tuple(_pick(Member, member) for member in group["members"]),
          )
          for group in found["groups"]
        ]
      time.sleep(_POLL_SECONDS)

  def add(
    self,
    paths: Sequence[str | os.PathLike[str]],
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
    unit: Unit | None = None,
  ) -> Report:
    """Adds files under their names without folders; the database copies them.

    Args:
      paths: the files.
      label: of all of them.
      metadata: text by name.
      unit: of files that state none.

    Returns:
      How many were added, and why others were not; a file whose name another
      model has counts as failed.
    """
    counts = {"new": 0, "unchanged": 0}
    failures: list[Failure] = []
    for path in map(pathlib.Path, paths):
      try:
        report = self.store(
          path, name=path.name, label=label or "", metadata=metadata, unit=unit
        )
      except ServiceError as error:
        if error.status not in _FILE_STATUSES:
          raise
        failures.append(Failure(path.name, str(error)))
        continue
      counts["new"] += report.new
      counts["unchanged"] += report.unchanged
      failures += report.failures
    return Report(
      new=counts["new"],
      changed=0,
      unchanged=counts["unchanged"],
      missing=0,
      failures=tuple(failures),
    )

  def store(
    self,
    path: str | os.PathLike[str],
    *,
    name: str,
    label: str = "",
    metadata: Mapping[str, str] | None = None,
    unit: Unit | None = None,
  ) -> Report:
    """Adds a model whose file the database copies.

    Args:
      path: the file.
      name: of the model.
      label: of the model.
      metadata: of the model, text by name.
      unit: of a file that states none.

    Returns:
      What has been done; see `Database.store`.
    """
    options = {"name": name, "label": label, "unit": unit}
    parameters = [(key, text) for key, text in options.items() if text]
    for key, value in (metadata or {}).items():
      parameters.append(("set", f"{key}={value}"))
    with _open(path) as (file_name, file):
      try:
        response = self._request(
          "POST",
          "/api/models",
          params=parameters,
          files=[("file", (file_name, file))],
        )
      except ServiceError as error:
        if error.status != 422:
          raise
        return Report(0, 0, 0, 0, (Failure(name, str(error)),))
    is_new = response.status_code == 201
    return Report(int(is_new), 0, int(not is_new), 0, ())

  def label(self, name: str, label: str) -> None:
    """Gives a model another label."""
    self.edit(name, label=label)

  def edit(
    self,
    name: str,
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
  ) -> None:
    """Changes what is known of a model; see `Database.edit`."""
    changes = {
      "label": label,
      "metadata": None if metadata is None else dict(metadata),
    }
    self._request("PATCH", _model_url(name), json=changes)

  def show_columns(self, keys: Sequence[str]) -> None:
    """Chooses which metadata is shown with a model, in this order."""
    self._request("PUT", "/api/columns", json={"columns": list(keys)})

  def remove(self, names: Collection[str]) -> None:
    """Removes models; none is removed if a name is unknown.

    They are removed one by one, so others are gone if the service fails.
    """
    for name in names:
      self._get(_model_url(name))
    for name in names:
      self._request("DELETE", _model_url(name))

  def _get(self, url: str, parameters: Sequence[tuple[str, str]] = ()) -> Any:
    return self._request("GET", url, params=list(parameters)).json()

  def _query(
    self, name: str, file: IO[bytes], parameters: list[tuple[str, str]]
  ) -> Answer:
    response = self._request(
      "POST", "/api/query", params=parameters, files=[("file", (name, file))]
    )
    return _read_answer(response.json())

  def _query_photo(
    self,
    photos: Photo | Sequence[Photo],
    region: Box | None,
    parameters: list[tuple[str, str]],
  ) -> Answer:
    several: list[Any] = (
      list(photos) if isinstance(photos, list | tuple) else [photos]
    )
    if region is not None:
      if len(several) > 1:
        raise ValueError("a region needs one photograph")
      parameters.append(("region", ",".join(map(str, region))))
    files = [
      ("file", _pack_photograph(photo, f"photograph-{i}"))
      for i, photo in enumerate(several, start=1)
    ]
    response = self._request(
      "POST", "/api/query", params=parameters, files=files
    )
    return _read_answer(response.json())

  def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
    """Sends a request, again while the service is busy.

    Raises:
      ServiceError: the service rejects it, or cannot be reached.
    """
    end = time.monotonic() + self._retry_timeout
    while True:
      for _, (_, file) in options.get("files", ()):
        file.seek(0)
      with _explain(self.url):
        response = self._http.request(method, url, **options)
      wait = _read_wait(response)
      if wait is None or time.monotonic() + wait > end:
        break
      time.sleep(wait)
    if response.is_success:
      return response
    try:
      message = response.json()["detail"]
    except (ValueError, LookupError, TypeError):
      message = f"{self.url} answers {response.status_code}: is it dr3d serve?"
    raise ServiceError(message, status=response.status_code)


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[tuple[str, IO[bytes]]]:
  """Yields the name of a file and the open file."""
  path = pathlib.Path(path)
  try:
    with path.open("rb") as file:
      yield path.name, file
  except OSError as error:
    raise Dr3dError(f"{path} cannot be read ({error.strerror}).") from error


def _pack_photograph(photo: Photo, name: str) -> tuple[str, IO[bytes]]:
  """Name and content of a photograph, as it is sent."""
  if isinstance(photo, bytes):
    return name, io.BytesIO(photo)
  if isinstance(photo, np.ndarray):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    return f"{name}.png", file
  if isinstance(photo, str | os.PathLike):
    with _open(photo) as (file_name, opened):
      return file_name, io.BytesIO(opened.read())
  raise ValueError("a service takes photographs as files, bytes or pixels")


@contextlib.contextmanager
def _explain(url: str) -> Iterator[None]:
  """Turns errors of the network into sentences."""
  try:
    yield
  except httpx.TimeoutException as error:
    raise ServiceError(f"{url} does not answer in time: try again.") from error
  except (httpx.HTTPError, httpx.InvalidURL) as error:
    raise ServiceError(
      f"{url} cannot be reached ({error}): is dr3d serve running there?"
    ) from error


def _is_loopback(host: str | None) -> bool:
  """Whether a host is this machine."""
  try:
    return ipaddress.ip_address(host or "").is_loopback
  except ValueError:
    return host == "localhost"


def _read_wait(response: httpx.Response) -> float | None:
  """Seconds until the next try; None if there should be none."""
  text = response.headers.get("Retry-After", "")
  if response.status_code not in _RETRY_STATUSES or not text.isdigit():
    return None
  return max(_MIN_WAIT, float(text))


def _model_url(name: str) -> str:
  return f"/api/models/{urllib.parse.quote(name, safe='')}"


def _filter_parameters(text: str, condition: Filter) -> list[tuple[str, str]]:
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


def _query_parameters(
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


def _write_stl(mesh: Mesh) -> bytes:
  """Writes a mesh at its true size, in millimetres."""
  vertices = mesh.vertices * mesh.radius
  body = trimesh.Trimesh(vertices, mesh.faces, process=False)
  return trimesh.exchange.stl.export_stl(body)


def _read_answer(answer: Mapping[str, Any]) -> Answer:
  size, question = answer.get("size"), answer.get("unit_question")
  return Answer(
    _pick(Prediction, answer["prediction"]),
    tuple(_pick(Match, match) for match in answer["matches"]),
    None if size is None else _pick(QuerySize, size),
    None if question is None else _pick(UnitQuestion, question),
    tuple(_pick(Match, match) for match in answer.get("misses", ())),
    tuple(answer.get("notes", ())),
  )


def _read_model(model: Mapping[str, Any]) -> Model:
  return _pick(Model, {**model, "name": model["model"]})


def _pick(kind: type[T], values: Mapping[str, Any]) -> T:
  """Makes a dataclass of the values that are fields of it."""
  known = dataclasses.fields(kind)  # type: ignore[arg-type]
  names = {field.name for field in known if field.init}
  fields = {name: values[name] for name in names & values.keys()}
  for name in ("extent", "box", "smallest_box"):
    if fields.get(name) is not None:
      fields[name] = tuple(fields[name])
  return kind(**fields)
