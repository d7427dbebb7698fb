"""A database that is served elsewhere: the calls of `Database` over HTTP.

Needs neither jax nor a database: the renderer, the network and the index run
where `dr3d serve` does.
"""

import contextlib
import dataclasses
import os
import pathlib
import time
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from dr3d.database.catalogue import Model
from dr3d.database.condition import Condition
from dr3d.database.duplicate import Group, Member
from dr3d.database.ingest import Failure, Report
from dr3d.error import Dr3dError, ServiceError
from dr3d.registration.relation import VERIFIED_COUNT, Relation
from dr3d.search.answer import Answer, Match, Prediction

T = TypeVar("T")

_JSON = "application/json"
_LATER = (429, 503)  # statuses that tell when to come again
_PAGE = 1000  # models of a list that are asked for at a time


class Client:
  """Asks a service.

  Every call raises a ServiceError, with the sentence that the service
  answered, where it refuses or cannot be reached.
  """

  def __init__(
    self,
    url: str,
    *,
    token: str | None = None,
    timeout: float = 120.0,
    patience: float = 60.0,
  ):
    """Makes a client; nothing is asked yet.

    Args:
      url: of the service, such as "http://127.0.0.1:8000".
      token: that allows changes.
      timeout: seconds for an answer to begin.
      patience: seconds for which a service that is busy or warming up is asked
        again.

    Raises:
      ServiceError: the URL is none of HTTP.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
      raise ServiceError(f"{url!r} must begin with http:// or https://.")
    self.url = url.rstrip("/")
    self._patience = patience
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    self._http = httpx.Client(
      base_url=self.url, headers=headers, timeout=timeout
    )

  def __enter__(self) -> "Client":
    return self

  def __exit__(self, *details: Any) -> None:
    self.close()

  def close(self) -> None:
    """Closes the connection."""
    self._http.close()

  def query(
    self,
    path: str | os.PathLike[str],
    *,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
    unit: str | None = None,
  ) -> Answer:
    """Answers which models a file looks like.

    Args:
      path: of a mesh file, which is sent as it is.
      k: matches wanted, at least 1.
      condition: which models are searched.
      min_score: of a match.
      verify: matches that are laid upon the file.
      unit: of a file that states none.

    Returns:
      What `Database.query` returns.
    """
    parameters = _write_ask(k, condition, min_score, verify)
    if unit:
      parameters.append(("unit", unit))
    answer = self._send_file("/api/query", pathlib.Path(path), parameters)
    return _read_answer(answer)

  def query_similar(
    self,
    model: str,
    *,
    k: int = 10,
    condition: Condition | None = None,
    min_score: float = -1.0,
    verify: int = VERIFIED_COUNT,
  ) -> Answer:
    """Answers which other models a known one looks like; else as `query`."""
    parameters = _write_ask(k, condition, min_score, verify)
    place = f"{_place(model)}/similar"
    return _read_answer(self._call("GET", place, params=parameters))

  def models(self) -> list[Model]:
    """All models with label, state, reason and size, by name."""
    found: list[Model] = []
    while True:
      parameters = {"offset": len(found), "limit": _PAGE}
      part = self._call("GET", "/api/models", params=parameters)
      found += map(_read_model, part["models"])
      if len(found) >= part["total"] or not part["models"]:
        return found

  def read_file(self, model: str) -> bytes:
    """The file of a model, as it was indexed."""
    return self._call("GET", f"{_place(model)}/file")

  def inspect(self) -> dict[str, Any]:
    """What the service answers at /api/info: counts, labels, limits."""
    return self._call("GET", "/api/info")

  def find_duplicates(self, *, weakest: Relation = "similar") -> list[Group]:
    """Finds models that are one shape; see `Database.find_duplicates`."""
    while True:
      parameters = {"weakest": weakest}
      found = self._call("GET", "/api/duplicates", params=parameters)
      if found["ready"]:
        return [
          Group(
            group["relation"],
            tuple(_pick(Member, member) for member in group["members"]),
          )
          for group in found["groups"]
        ]
      time.sleep(1)

  def add(
    self,
    paths: Sequence[str | os.PathLike[str]],
    *,
    label: str | None = None,
    metadata: Mapping[str, str] | None = None,
    unit: str | None = None,
  ) -> Report:
    """Adds files, called by their names; the database keeps copies of them.

    Args:
      paths: the files.
      label: of all of them.
      metadata: text by name.
      unit: of files that state none.

    Returns:
      How many were added, and why others were not.
    """
    options = {"label": label, "unit": unit}
    parameters = [(name, text) for name, text in options.items() if text]
    for key, value in (metadata or {}).items():
      parameters.append(("set", f"{key}={value}"))
    failures = []
    for path in map(pathlib.Path, paths):
      try:
        self._send_file("/api/models", path, parameters)
      except ServiceError as error:
        if error.status not in (409, 413, 415, 422):
          raise  # no other file would fare better
        failures.append(Failure(path.name, str(error)))
    return Report(len(paths) - len(failures), 0, 0, 0, tuple(failures))

  def label(self, name: str, label: str) -> None:
    """Gives a model another label."""
    self._call("PATCH", _place(name), json={"label": label})

  def remove(self, names: Collection[str]) -> None:
    """Takes models out, one after the other."""
    for name in names:
      self._call("DELETE", _place(name))

  def _send_file(
    self, place: str, path: pathlib.Path, parameters: list[tuple[str, str]]
  ) -> Any:
    try:
      with path.open("rb") as file:
        upload = {"file": (path.name, file)}
        return self._call("POST", place, params=parameters, files=upload)
    except OSError as error:
      raise Dr3dError(f"{path} cannot be read ({error.strerror}).") from error

  def _call(self, method: str, place: str, **options: Any) -> Any:
    """Asks, again where the service says so, and reads the answer."""
    end = time.monotonic() + self._patience
    while True:
      for _, file in options.get("files", {}).values():
        file.seek(0)
      with _explain(self.url):
        response = self._http.request(method, place, **options)
      wait = _read_wait(response)
      if wait is None or time.monotonic() + wait > end:
        break
      time.sleep(wait)
    if response.is_success:
      kind = response.headers.get("Content-Type", "")
      return response.json() if kind == _JSON else response.content
    try:
      message = response.json()["error"]
    except (ValueError, LookupError, TypeError):
      message = f"{self.url} answers {response.status_code}: is it dr3d serve?"
    raise ServiceError(message, status=response.status_code)


@contextlib.contextmanager
def _explain(url: str) -> Iterator[None]:
  """Turns what the network does into sentences."""
  try:
    yield
  except httpx.TimeoutException as error:
    raise ServiceError(f"{url} does not answer in time: try again.") from error
  except (httpx.HTTPError, httpx.InvalidURL) as error:
    raise ServiceError(
      f"{url} cannot be reached ({error}): is dr3d serve running there?"
    ) from error


def _read_wait(response: httpx.Response) -> float | None:
  """Seconds after which to ask again; None where that is of no use."""
  text = response.headers.get("Retry-After", "")
  if response.status_code not in _LATER or not text.isdigit():
    return None
  return max(0.5, float(text))


def _place(model: str) -> str:
  return f"/api/models/{urllib.parse.quote(model, safe='')}"


def _write_ask(
  k: int, condition: Condition | None, min_score: float, verify: int
) -> list[tuple[str, str]]:
  """The parameters of a query."""
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


def _read_answer(answer: Mapping[str, Any]) -> Answer:
  return Answer(
    _pick(Prediction, answer["prediction"]),
    tuple(_pick(Match, match) for match in answer["matches"]),
  )


def _read_model(model: Mapping[str, Any]) -> Model:
  return _pick(
    Model, {**model, "name": model["model"], "hash": "", "fingerprint": ""}
  )


def _pick(kind: type[T], values: Mapping[str, Any]) -> T:
  """Makes a dataclass of those values that are fields of it."""
  known = dataclasses.fields(kind)  # type: ignore[arg-type]
  names = {field.name for field in known if field.init}
  fields = {name: values[name] for name in names & values.keys()}
  if fields.get("extent") is not None:
    fields["extent"] = tuple(fields["extent"])
  return kind(**fields)
