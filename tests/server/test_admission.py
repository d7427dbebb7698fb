"""Requests are stopped before they cost anything."""

import base64
import contextlib
import json
import os
import re
import socket
import threading
import time

import pytest
from support.mesh_files import wedge
from support.service import TOKEN, WRITE, make_database, serving, stl

from dr3d.server import upload
from dr3d.server.admission import find_call
from dr3d.server.limiter import Lanes, RateLimiter, group_address, share
from dr3d.server.token import TokenStore

SLOW_SECONDS = 1.0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
  """A client of a service with short deadlines, and the service."""
  database = make_database(tmp_path_factory.mktemp("admission"))
  with serving(database.directory, stall=SLOW_SECONDS, queue=8) as found:
    yield found


@contextlib.contextmanager
def connected(client, source="127.0.0.1"):
  """Yields a raw connection to a service."""
  address = (client.base_url.host, client.base_url.port)
  with socket.create_connection(
    address, timeout=30, source_address=(source, 0)
  ) as connection:
    yield connection


def exchange(client, data):
  """Sends bytes and returns the response until the service closes."""
  with connected(client) as connection:
    connection.sendall(data)
    return read_all(connection)


def read_all(connection):
  found = b""
  with contextlib.suppress(ConnectionError):
    while chunk := connection.recv(65536):
      found += chunk
  return found


def head(client, method, path, *lines):
  host = client.base_url.netloc.decode()
  return "\r\n".join(
    [f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]
  ).encode()


def ask(client, **options):
  return client.post(
    "/api/query", files={"file": ("a.stl", stl(wedge()))}, **options
  )


def send_chunks(client, first, *, count, size=1 << 20):
  """Sends a chunked body until the service stops reading; returns bytes."""
  sent = 0
  with connected(client) as connection:
    connection.settimeout(5)
    connection.sendall(first)
    try:
      for _ in range(count):
        connection.sendall(b"%x\r\n" % size + bytes(size) + b"\r\n")
        sent += size
    except (ConnectionError, TimeoutError):
      pass
    with contextlib.suppress(ConnectionError, TimeoutError):
      return sent, connection.recv(65536)
  return sent, b""


@pytest.mark.parametrize(
  "kind", ["multipart/form-data; boundary=x", "multipart/x", "text/plain"]
)
def test_body_of_a_change_without_token_is_not_read(served, kind):
  client, _ = served
  request = head(
    client,
    "PATCH",
    "/api/models/box%2Fflat.stl",
    f"Content-Type: {kind}",
    "Transfer-Encoding: chunked",
  )
  start = time.monotonic()
  response = exchange(client, request)  # and no body at all
  assert response.startswith(b"HTTP/1.1 401 ")
  assert time.monotonic() - start < 10


@pytest.mark.parametrize(
  "kind", ["multipart/form-data; boundary=x", "application/json"]
)
def test_body_that_is_no_upload_is_bounded_whatever_its_type(served, kind):
  client, _ = served
  lines = (f"Authorization: Bearer {TOKEN}", f"Content-Type: {kind}")
  request = head(client, "PATCH", "/api/models/box%2Fflat.stl", *lines)
  chunked = request[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
  _, response = send_chunks(client, chunked, count=64)
  assert response.startswith(b"HTTP/1.1 413 ")
  known = request[:-2] + b"Content-Length: 2000000000\r\n\r\n"
  assert exchange(client, known).startswith(b"HTTP/1.1 413 ")


def test_rejected_body_that_keeps_coming_is_cut_off(served):
  client, _ = served
  request = head(
    client, "DELETE", "/api/models/x", "Transfer-Encoding: chunked"
  )
  start = time.monotonic()
  with connected(client) as connection:
    connection.sendall(request)
    with contextlib.suppress(ConnectionError):
      while time.monotonic() < start + 20:
        connection.sendall(b"1\r\nx\r\n")
        time.sleep(0.05)
  assert time.monotonic() - start < 10


def test_upload_beyond_its_limit_is_rejected_by_its_length(served):
  client, _ = served
  request = head(
    client,
    "POST",
    "/api/query",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Length: 2000000000",
  )
  assert exchange(client, request).startswith(b"HTTP/1.1 413 ")


def test_connection_without_a_request_is_closed(served):
  client, _ = served
  for data in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
    start = time.monotonic()
    response = exchange(client, data)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start < SLOW_SECONDS + 5


def test_headers_that_drip_are_closed_also_after_a_request(served):
  client, _ = served
  with connected(client) as connection:
    connection.sendall(head(client, "GET", "/api/health"))
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
      for byte in b"GET /api/health HTTP/1.1" + b"x" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(SLOW_SECONDS / 5)
    assert time.monotonic() - start < SLOW_SECONDS + 5


def test_body_that_stalls_gets_408(served):
  client, _ = served
  for path, kind in (
    ("/api/query", "multipart/form-data; boundary=x"),
    ("/api/models", "multipart/form-data; boundary=x"),
  ):
    request = head(
      client,
      "POST",
      path,
      f"Authorization: Bearer {TOKEN}",
      f"Content-Type: {kind}",
      "Content-Length: 1000",
    )
    response = exchange(client, request + b"--x\r\n")
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in response


def test_slow_uploads_do_not_take_the_place_of_queries(served):
  client, own = served
  request = head(
    client,
    "POST",
    "/api/query",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Length: 1000",
  )
  with contextlib.ExitStack() as stack:
    for _ in range(10):  # more than `queue`
      connection = stack.enter_context(connected(client))
      connection.sendall(request + b"--x\r\n")
    assert ask(client).status_code == 200
  assert own.status == "ready"


def test_uploads_of_one_address_at_once_are_limited(served):
  client, _ = served
  request = head(
    client,
    "POST",
    "/api/query",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Length: 1000",
  )
  with contextlib.ExitStack() as stack:
    for _ in range(share(16)):  # twice the queue
      connection = stack.enter_context(connected(client, "127.0.0.7"))
      connection.sendall(request + b"--x\r\n")
    time.sleep(0.2)
    with connected(client, "127.0.0.7") as connection:
      connection.sendall(request + b"--x\r\n")
      assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")
    assert ask(client).status_code == 200  # from another address


def test_connections_of_one_address_are_limited(tmp_path):
  database = make_database(tmp_path)
  with (
    serving(database.directory, address_connections=5) as (client, own),
    contextlib.ExitStack() as stack,
  ):
    for _ in range(5):
      stack.enter_context(connected(client, "127.0.0.9"))
    time.sleep(0.2)
    with connected(client, "127.0.0.9") as connection:
      assert read_all(connection).startswith(b"HTTP/1.1 429 ")
    assert client.get("/api/health").status_code == 200
    assert "dr3d_connections_rejected_total 1.0" in own.metrics.write().decode()


def test_idle_connections_make_room_for_others(tmp_path):
  database = make_database(tmp_path)
  with (
    serving(database.directory, connections=20) as (client, _),
    contextlib.ExitStack() as stack,
  ):
    for number in range(40):
      source = f"127.0.1.{number + 1}"
      stack.enter_context(connected(client, source))
    for _ in range(5):
      assert client.get("/api/health").status_code == 200


def test_form_of_many_parts_gets_413(served):
  client, _ = served
  parts = b"--x\r\n\r\n\r\n" * 1000
  response = client.post(
    "/api/query",
    content=parts + b"--x--\r\n",
    headers={"content-type": "multipart/form-data; boundary=x"},
  )
  assert response.status_code == 413
  assert "at most" in response.json()["detail"]


def test_long_header_of_a_part_is_rejected(served):
  client, _ = served
  body = b"--x\r\ncontent-disposition: " + b"y" * 100_000
  response = client.post(
    "/api/query",
    content=body + b"\r\n\r\n\r\n--x--\r\n",
    headers={"content-type": "multipart/form-data; boundary=x"},
  )
  # Newer versions of the parser have a limit of their own.
  assert response.status_code in (400, 413)


def test_unknown_form_field_gets_422(served):
  client, _ = served
  response = client.post(
    "/api/models",
    files={"file": ("a.stl", stl(wedge()))},
    data={"label": "worn"},
    headers=WRITE,
  )
  assert response.status_code == 422
  assert "'label'" in response.json()["detail"]


@pytest.mark.parametrize(
  ("path", "words"),
  [
    ("/api/models", "one file a request"),
    ("/api/query", "must all be photographs"),
  ],
)
def test_second_mesh_of_a_form_gets_422(served, path, words):
  client, _ = served
  before = len(client.get("/api/models").json()["models"])
  files = [("file", (name, stl(wedge()))) for name in ("a.stl", "b.stl")]
  response = client.post(path, files=files, headers=WRITE)
  assert response.status_code == 422
  assert words in response.json()["detail"]
  assert len(client.get("/api/models").json()["models"]) == before


@pytest.mark.parametrize(
  "path", ["/api/models", "/api/info", "/metrics", "/api/duplicates"]
)
def test_listings_have_a_rate_too(tmp_path, path):
  database = make_database(tmp_path)
  with serving(database.directory, rate=0.001, burst=2) as (client, _):
    responses = [client.get(path) for _ in range(5)]
    assert [r.status_code for r in responses][-1] == 429
    assert responses[0].status_code == 200
    assert int(responses[-1].headers["retry-after"]) > 0
    assert client.get("/api/health").status_code == 200
    assert client.get("/api/ready").status_code == 200


def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(tmp_path):
  database = make_database(tmp_path)
  with serving(
    database.directory,
    rate=0.001,
    burst=1,
    proxies=("127.0.0.0/8",),
    address_connections=1,
  ) as (client, _):

    def ask_from(address):
      return ask(client, headers={"X-Forwarded-For": address}).status_code

    assert [ask_from("192.0.2.1"), ask_from("192.0.2.1")] == [200, 429]
    assert ask_from("192.0.2.2") == 200
    # What the client itself put in front does not count.
    assert ask_from("198.51.100.1, 192.0.2.2") == 429
    with connected(client), connected(client):  # the proxy may have many
      assert client.get("/api/health").status_code == 200


def test_forwarded_address_of_an_unknown_proxy_is_ignored(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory, rate=0.001, burst=1) as (client, _):
    headers = {"X-Forwarded-For": "192.0.2.1"}
    assert ask(client, headers=headers).status_code == 200
    headers = {"X-Forwarded-For": "192.0.2.2"}
    assert ask(client, headers=headers).status_code == 429


def test_upload_in_progress_does_not_delay_the_end(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, _), connected(client) as slow:
    request = head(
      client,
      "POST",
      "/api/query",
      "Content-Type: multipart/form-data; boundary=x",
      "Content-Length: 1000",
    )
    slow.sendall(request + b"--x\r\n")
    time.sleep(0.3)
    start = time.monotonic()
    client.stop()
    read_all(slow)
    assert time.monotonic() - start < 5


def test_rejection_is_a_problem_document(served):
  client, _ = served
  response = client.get("/api/models/none")
  assert response.headers["content-type"] == "application/problem+json"
  assert response.json() == {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "the database has no model 'none'.",
  }
  foreign = client.get("/api/health", headers={"Host": "a.b"})
  assert foreign.json()["status"] == 421


def test_roles_allow_what_they_say(tmp_path):
  database = make_database(tmp_path)
  tokens = TokenStore(database.directory)
  with serving(database.directory, token=None, public_read=False) as (
    client,
    _,
  ):
    secrets = {role: tokens.add(role, role) for role in ("read", "write")}
    secrets["admin"] = tokens.add("chief", "admin")
    place = "/api/models/box%2Fflat.stl"
    calls = (
      ("GET", "/api/info", {}, "read"),
      ("GET", "/metrics", {}, "read"),
      ("GET", f"{place}/file", {}, "read"),
      ("GET", "/api/openapi.json", {}, "read"),
      ("POST", "/api/query", {"files": {"file": ("a", stl(wedge()))}}, "read"),
      ("PATCH", place, {"json": {"label": "box"}}, "write"),
      ("GET", "/api/audit", {}, "admin"),
      ("GET", "/api/tokens", {}, "admin"),
      ("GET", "/api/scan", {}, "admin"),
    )
    order = ("read", "write", "admin")
    for method, path, options, needed in calls:
      response = client.request(method, path, **options)
      assert response.status_code == 401
      for role in order:
        headers = {"Authorization": f"Bearer {secrets[role]}"}
        response = client.request(method, path, headers=headers, **options)
        may = order.index(role) >= order.index(needed)
        assert response.status_code == (200 if may else 403)
    for path in ("/api/health", "/api/ready"):
      assert client.get(path).status_code == 200
    headers = {"Authorization": f"Bearer {secrets['write']}"}
    tokens.revoke("write")
    assert client.get("/api/info", headers=headers).status_code == 401


def test_page_needs_no_token_because_it_asks_for_it(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory, public_read=False) as (client, _):
    assert client.get("/").status_code == 200
    assert client.get("/static/script/main.js").status_code == 200
    assert client.get("/static/../tokens.json").status_code != 200
    for path in ("/api/info", "/api/models", "/metrics"):
      assert client.get(path).status_code == 401


def test_browser_reads_with_the_token_as_password_and_changes_nothing(
  tmp_path,
):
  database = make_database(tmp_path)
  with serving(database.directory, public_read=False) as (client, _):
    metrics = client.get("/metrics")
    assert metrics.headers["www-authenticate"].startswith("Basic ")
    pair = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}"}
    assert client.get("/metrics", headers=headers).status_code == 200
    assert client.get("/api/info", headers=headers).json()["role"] == "read"
    response = client.delete("/api/models/box%2Fflat.stl", headers=headers)
    assert response.status_code == 403


def test_wrong_tokens_are_limited_logged_and_audited(tmp_path, caplog):
  database = make_database(tmp_path)
  generated = TokenStore(database.directory).add("robot", "write")
  caplog.set_level("WARNING", logger="dr3d.server")
  with serving(database.directory) as (client, own):
    statuses = []
    for number in range(30):
      headers = {"Authorization": f"Bearer a guess number {number}"}
      response = client.get("/api/info", headers=headers)
      statuses.append(response.status_code)
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    assert int(response.headers["retry-after"]) > 0
    # Not even the right one may be tried now, but one that nobody can guess.
    assert client.get("/api/info", headers=WRITE).status_code == 429
    headers = {"Authorization": f"Bearer {generated}"}
    assert client.get("/api/info", headers=headers).status_code == 200
    entries = own.audit.read_last(100)
    metrics = own.metrics.write().decode()
  rejected = [entry for entry in entries if entry["what"] == "token rejected"]
  assert 5 <= len(rejected) <= 12
  assert rejected[0]["address"] == "127.0.0.1"
  assert "guess" not in str(entries)
  assert "a wrong token came from 127.0.0.1" in caplog.text
  assert re.search(r"dr3d_tokens_rejected_total 3[01]\.0", metrics)


def test_changes_are_audited_with_who_what_when_and_from_where(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, _own):
    client.post(
      "/api/models",
      files={"file": ("new.stl", stl(wedge()))},
      params={"label": "wedge"},
      headers=WRITE,
    )
    client.patch("/api/models/new.stl", json={"label": "x"}, headers=WRITE)
    client.delete("/api/models/new.stl", headers=WRITE)
    client.delete("/api/models/new.stl", headers=WRITE)
    ask(client)
    found = client.get("/api/audit", headers=WRITE).json()
  lines = (database.directory / "audit.jsonl").read_text().splitlines()
  entries = [json.loads(line) for line in lines]
  assert [entry["what"] for entry in entries] == [
    "start", "add", "label", "remove", "remove", "stop",
  ]  # fmt: skip
  assert [entry["status"] for entry in entries[1:5]] == [200, 200, 200, 404]
  assert {entry["model"] for entry in entries[1:5]} == {"new.stl"}
  assert {entry["who"] for entry in entries[1:5]} == {"service"}
  assert {entry["address"] for entry in entries[1:5]} == {"127.0.0.1"}
  assert all(entry["time"].endswith("+00:00") for entry in entries)
  assert found == entries[4::-1]


def test_full_disk_gets_507(tmp_path, monkeypatch):
  database = make_database(tmp_path)

  def is_full(self, data):
    raise OSError(28, os.strerror(28))

  with serving(database.directory) as (client, _):
    monkeypatch.setattr(upload._Form, "take_data", lambda *a: is_full(*a[:2]))
    response = ask(client)
    assert response.status_code == 507
    assert "disk of the service is full" in response.json()["detail"]
    response = client.delete("/api/models/box%2Fflat.stl", headers=WRITE)
    assert response.status_code == 204


def test_addresses_of_one_network_count_as_one():
  assert group_address("2001:db8::1") == group_address("2001:db8::ffff:2")
  assert group_address("2001:db8::1") != group_address("2001:db8:0:1::1")
  assert group_address("::ffff:192.0.2.1") == "192.0.2.1"
  assert group_address("fe80::1%eth0") == group_address("fe80::2")
  assert group_address("testclient") == "testclient"


def test_lane_makes_one_address_wait_and_not_another():
  lanes = Lanes(1)
  with lanes.enter("a", timeout=1):
    with pytest.raises(TimeoutError), lanes.enter("a", timeout=0.05):
      pass
    with lanes.enter("b", timeout=0):
      pass
  entered = threading.Event()

  def enter():
    with lanes.enter("a", timeout=30):
      entered.set()

  with lanes.enter("a", timeout=0):
    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.05)
  assert entered.wait(30)
  thread.join()


def test_rate_limiter_remembers_a_bounded_number_of_addresses():
  rate = RateLimiter(1.0, 1)
  for number in range(12_000):
    rate.take(str(number))
  assert len(rate._buckets) == 10_000


@pytest.mark.parametrize(
  ("method", "path", "role"),
  [
    ("GET", "/api/models/a/similar", "read"),
    ("GET", "/api/models/a\nb", "read"),
    ("PATCH", "/api/models/a\nb", "write"),
    ("PUT", "/api/query", "write"),
    ("TRACE", "/", "write"),
    ("POST", "/", "write"),
    ("GET", "/api/audit", "admin"),
    ("HEAD", "/metrics", "read"),
    ("HEAD", "/", None),
    ("GET", "/static/script/main.js", None),
    ("POST", "/api/overlay", "read"),
    ("GET", "/api/map", "read"),
    ("POST", "/api/render", "read"),
    ("POST", "/api/embed", "read"),
    ("POST", "/api/embed/images", "read"),
    ("PUT", "/api/columns", "write"),
    ("GET", "/api/tokens", "admin"),
    ("DELETE", "/api/tokens/a\nb", "admin"),
    ("POST", "/api/scan", "admin"),
    ("POST", "/api/backups", "admin"),
  ],
)
def test_call_needs_a_role(method, path, role):
  assert find_call(method, path).role == role
