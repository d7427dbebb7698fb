"""A trusted proxy names users; nobody else can."""

import json
import logging

import pytest
from support.mesh_files import wedge
from support.service import WRITE, make_database, serving, stl

from dr3d.server import logs
from dr3d.server.settings import UserHeaders

USERS = UserHeaders(
  "X-User",
  "X-Groups",
  {"write": frozenset({"editors"}), "admin": frozenset({"chiefs"})},
)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
  return make_database(tmp_path_factory.mktemp("proxy"))


@pytest.fixture(scope="module")
def served(database):
  """A service behind a proxy on loopback that names users."""
  with serving(
    database.directory, proxies=("127.0.0.0/8",), users=USERS, public_read=False
  ) as found:
    yield found


def add(client, name, headers):
  return client.post(
    "/api/models",
    files={"file": (name, stl(wedge()))},
    params={"name": name},
    headers=headers,
  )


def test_user_may_read_and_groups_give_roles(served):
  client, _ = served
  assert client.get("/api/models").status_code == 401
  ada = {"X-User": "ada"}
  assert client.get("/api/models", headers=ada).status_code == 200
  assert add(client, "a.stl", ada).status_code == 403
  assert client.get("/api/audit", headers=ada).status_code == 403
  editor = {"X-User": "eva", "X-Groups": "sales, editors"}
  assert add(client, "a.stl", editor).status_code == 201
  assert client.get("/api/audit", headers=editor).status_code == 403
  chief = {"X-User": "ida", "X-Groups": "chiefs"}
  entries = client.get("/api/audit", headers=chief).json()
  added = [entry for entry in entries if entry["what"] == "add"]
  assert [entry["who"] for entry in added] == ["eva"]


def test_wrong_token_is_not_replaced_by_the_header(served):
  client, _ = served
  headers = {"X-User": "ida", "Authorization": "Bearer wrong"}
  assert client.get("/api/models", headers=headers).status_code == 401


def test_headers_of_anybody_else_are_removed(database):
  with serving(
    database.directory, proxies=("192.0.2.1",), users=USERS, public_read=False
  ) as (client, _):
    headers = {"X-User": "ida", "X-Groups": "chiefs", "x-USER": "eve"}
    assert client.get("/api/models", headers=headers).status_code == 401
    token = {**headers, **WRITE}
    entries = client.get("/api/audit", headers=token)
    assert entries.status_code == 200
    assert client.delete("/api/models/no", headers=token).status_code == 404
    last = client.get("/api/audit", headers=token).json()[0]
    assert (last["who"], last["address"]) == ("service", "127.0.0.1")


def test_request_is_logged_with_client_user_status_and_seconds(served, caplog):
  client, _ = served
  with caplog.at_level(logging.INFO, "dr3d.server.request"):
    headers = {"X-User": "ada", "X-Forwarded-For": "192.0.2.7"}
    client.get("/api/models/secret.stl", headers=headers)
    client.get("/api/health")  # the line follows the response
  record = next(r for r in caplog.records if r.name == "dr3d.server.request")
  line = json.loads(logs.JsonFormatter().format(record))
  assert (line["client"], line["user"]) == ("192.0.2.7", "ada")
  assert (line["method"], line["status"]) == ("GET", 404)
  assert line["seconds"] >= 0
  assert "secret" not in json.dumps(line) + record.getMessage()
  assert record.getMessage().startswith("192.0.2.7 ada GET /api/models/")


def test_json_line_of_an_error_has_its_traceback():
  try:
    raise ValueError("torn\nline")
  except ValueError as error:
    record = logging.LogRecord(
      "dr3d.server", logging.ERROR, "", 0, "failed: %s", ("a",), None
    )
    record.exc_info = (type(error), error, error.__traceback__)
  text = logs.JsonFormatter().format(record)
  assert "\n" not in text
  line = json.loads(text)
  assert (line["level"], line["message"]) == ("ERROR", "failed: a")
  assert "torn\nline" in line["error"]
