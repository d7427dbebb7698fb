"""A database behind a service: the calls of `Database` over HTTP.

Needs neither jax nor a database: renderer, network and index run where
`dr3d serve` does.
"""

import io
import os
import pathlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import IO, Any, Self

from dr3d.client.connection import Connection
from dr3d.client.message import (
  filter_parameters,
  model_url,
  open_file,
  pack_photograph,
  pick,
  query_parameters,
  read_answer,
  read_model,
  write_stl,
)
from dr3d.client.pipeline import RemotePipeline
from dr3d.database.catalogue import Model
from dr3d.database.condition import Condition
from dr3d.database.duplicate import Group, Member
from dr3d.database.ingest import Failure, Report
from dr3d.database.model_search import Filter
from dr3d.error import ServiceError
from dr3d.image.cutout import Photo
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.mesh.unit import Unit
from dr3d.registration.relation import VERIFIED_COUNT, Relation
from dr3d.search.answer import Answer
from dr3d.search.size import SizeMode

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
    self._connection = Connection(
      url, token=token, timeout=timeout, retry_timeout=retry_timeout
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *details: object) -> None:
    self.close()

  def close(self) -> None:
    """Closes the connections."""
    self._connection.close()

  @property
  def url(self) -> str:
    """Address of the service."""
    return self._connection.url

  @property
  def pipeline(self) -> RemotePipeline:
    """Renderer and network of the service alone."""
    return RemotePipeline(self._connection.send)

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
    parameters = query_parameters(k, condition, min_score, verify)
    if (model is None) == (photo is None):
      raise ValueError("a query needs either a model or a photograph")
    if photo is not None:
      return self._query_photo(photo, region, parameters)
    assert model is not None
    parameters.append(("size", size))
    if isinstance(model, Mesh):
      mesh_file = io.BytesIO(write_stl(model))
      parameters.append(("unit", "mm"))  # STL states none
      return self._query("mesh.stl", mesh_file, parameters)
    if unit:
      parameters.append(("unit", unit))
    with open_file(model) as (name, file):
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
    parameters = query_parameters(k, condition, min_score, verify)
    url = f"{model_url(name)}/similar"
    return read_answer(self._get(url, parameters))

  def models(self) -> list[Model]:
    """All models by name, without their vectors and pictures."""
    return self.find_models()

  def find_models(
    self, text: str = "", condition: Filter | None = None
  ) -> list[Model]:
    """Finds models by words; see `Database.find_models`."""
    wanted = filter_parameters(text, condition or Filter())
    found: list[Model] = []
    while True:
      parameters = [
        *wanted,
        ("offset", str(len(found))),
        ("limit", str(_PAGE_SIZE)),
      ]
      page = self._get("/api/models", parameters)
      found += map(read_model, page["models"])
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
    return self._connection.send("GET", f"{model_url(name)}/file").content

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
            tuple(pick(Member, member) for member in group["members"]),
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
    with open_file(path) as (file_name, file):
      try:
        response = self._connection.send(
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
    self._connection.send("PATCH", model_url(name), json=changes)

  def show_columns(self, keys: Sequence[str]) -> None:
    """Chooses which metadata is shown with a model, in this order."""
    self._connection.send("PUT", "/api/columns", json={"columns": list(keys)})

  def remove(self, names: Collection[str]) -> None:
    """Removes models; none is removed if a name is unknown.

    They are removed one by one, so others are gone if the service fails.
    """
    for name in names:
      self._get(model_url(name))
    for name in names:
      self._connection.send("DELETE", model_url(name))

  def _get(self, url: str, parameters: Sequence[tuple[str, str]] = ()) -> Any:
    return self._connection.send("GET", url, params=list(parameters)).json()

  def _query(
    self, name: str, file: IO[bytes], parameters: list[tuple[str, str]]
  ) -> Answer:
    response = self._connection.send(
      "POST", "/api/query", params=parameters, files=[("file", (name, file))]
    )
    return read_answer(response.json())

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
      ("file", pack_photograph(photo, f"photograph-{i}"))
      for i, photo in enumerate(several, start=1)
    ]
    response = self._connection.send(
      "POST", "/api/query", params=parameters, files=files
    )
    return read_answer(response.json())
