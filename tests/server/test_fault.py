"""Faults of files, processes and disks: said, counted, and survived."""

import dataclasses
import json
import os
import signal
import threading
import time

import pytest
from support.mesh_files import export, wedge
from support.service import BODIES, WRITE, make_database, serving, stl

from dr3d.error import MeshError
from dr3d.runtime import codec
from dr3d.runtime.pool import WorkerError
from dr3d.server import live_state
from dr3d.server.upload import clean_name
from dr3d.server.upload_reader import read_upload


@pytest.fixture
def served(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, running):
    yield database, client, running


def ask(client, data=None, name="query.stl", **parameters):
  data = stl(BODIES["box/flat.stl"]) if data is None else data
  return client.post(
    "/api/query", files={"file": (name, data)}, params=parameters
  )


def wait_for(condition):
  end = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.02)


def find_readers(running):
  children = running._workers._pool._children
  return [child._process.pid for child in children if child.is_running]


def test_reader_killed_while_idle_does_not_fail_the_next_file(served):
  _, client, running = served
  assert ask(client).status_code == 200
  for reader in find_readers(running):
    os.kill(reader, signal.SIGKILL)
  response = ask(client)
  assert response.status_code == 200
  assert not response.json()["unverified"]


def test_registration_is_repeated_if_its_process_dies(served, monkeypatch):
  _, client, running = served
  real, calls = running._workers._pool.call, []

  def call(keywords, **options):
    calls.append(keywords["task"])
    if calls.count("register") == 1 and keywords["task"] == "register":
      return WorkerError("crashes its reader process (SIGSEGV)")
    return real(keywords, **options)

  monkeypatch.setattr(running._workers._pool, "call", call)
  answer = ask(client).json()
  assert calls == ["read", "register", "register"]
  assert not answer["unverified"]
  assert answer["matches"][0]["distance"] is not None


def test_answer_that_cannot_be_verified_says_so_and_is_not_accepted(
  served, monkeypatch, caplog
):
  _, client, running = served
  real = running._workers._pool.call
  before = ask(client).json()

  def call(keywords, **options):
    if keywords["task"] == "register":
      return WorkerError("crashes its reader process (SIGSEGV)")
    return real(keywords, **options)

  monkeypatch.setattr(running._workers._pool, "call", call)
  for response in (
    ask(client),
    client.get("/api/models/box%2Fflat.stl/similar"),
  ):
    answer = response.json()
    assert answer["unverified"]
    assert not answer["prediction"]["accepted"]
    assert answer["prediction"]["reject_reason"]
    assert answer["matches"][0]["distance"] is None
  assert "dr3d_unverified_answers_total 2.0" in running.metrics.write().decode()
  assert "matches cannot be registered" in caplog.text
  monkeypatch.undo()
  assert ask(client).json() == before
  assert not ask(client, verify=0).json()["unverified"]


def test_votes_that_would_be_accepted_are_not_without_verification(
  served, monkeypatch
):
  """The few models here are never enough, so the votes are made enough."""
  _, client, running = served
  reader = running.state.reader
  real_query, real_call = reader.query, running._workers._pool.call

  def query(*arguments, **options):
    answer = real_query(*arguments, **options)
    sure = dataclasses.replace(answer.prediction, reject_reason="")
    return dataclasses.replace(answer, prediction=sure)

  def call(keywords, **options):
    if keywords["task"] == "register":
      return WorkerError("crashes its reader process (SIGSEGV)")
    return real_call(keywords, **options)

  monkeypatch.setattr(reader, "query", query)
  assert ask(client).json()["prediction"]["accepted"]
  monkeypatch.setattr(running._workers._pool, "call", call)
  prediction = ask(client).json()["prediction"]
  assert not prediction["accepted"]
  assert prediction["reject_reason"] == "unverified"


def test_registration_that_answers_with_something_else_is_not_believed(
  served, monkeypatch
):
  _, client, running = served
  real = running._workers._pool.call

  def call(keywords, **options):
    if keywords["task"] == "register":
      return {"box/flat.stl": "text"}
    return real(keywords, **options)

  monkeypatch.setattr(running._workers._pool, "call", call)
  assert ask(client).json()["unverified"]


@pytest.mark.parametrize("error", [RuntimeError, OSError, MemoryError])
def test_watcher_survives_any_error_and_ready_turns_false(
  served, monkeypatch, caplog, error
):
  database, client, running = served

  def read_state(*args, **options):
    raise error("unexpected")

  monkeypatch.setattr(live_state, "read_state", read_state)
  database.remove(["box/flat.stl"])
  wait_for(lambda: client.get("/api/ready").status_code == 503)
  assert client.get("/api/ready").json()["status"] == "stale"
  assert ask(client).status_code == 200  # from the former state
  metrics = running.metrics.write().decode()
  assert "dr3d_refreshes_failed_total 0.0" not in metrics
  assert "dr3d_ready 0.0" in metrics
  failures = running.metrics.refreshes_failed._value.get()
  lines = caplog.text.count("changes of the database cannot be read")
  assert lines in (1 + (failures - 1) // 30, 1 + failures // 30)
  assert failures >= 5
  monkeypatch.undo()
  wait_for(lambda: client.get("/api/ready").status_code == 200)
  assert client.get("/api/models/box/flat.stl").status_code == 404


def test_info_names_the_protections_of_readers(served):
  _, client, running = served
  found = client.get("/api/info").json()["protections"]
  assert found == running.protections
  assert found[:1] == ["no new privileges"]


def test_uploads_that_refer_to_other_files_are_rejected_by_structure(tmp_path):
  secret = tmp_path / "secret.bin"
  secret.write_bytes(bytes(100))
  trees = [
    {"buffers": [{"uri": secret.name, "byteLength": 36}]},
    {"buffers": [{"uri": "missing.bin", "byteLength": 36}]},
    {"buffers": [{"uri": secret.name}], "images": 5},
    {"buffers": 5, "images": [{"uri": secret.name}]},
    {"buffers": [{"uri": 5}]},
    {"buffers": [{"uri": "/dev/stdin"}]},
    {"extensions": {"any": {"deep": [{"uri": "../a"}]}}},
  ]
  messages = set()
  for tree in trees:
    path = tmp_path / "upload.gltf"
    path.write_text(json.dumps({"asset": {"version": "2.0"}, **tree}))
    with pytest.raises(MeshError, match="refers to other files") as caught:
      read_upload(path, face_budget=99, unit="mm", face_limit=99, preview=False)
    messages.add(str(caught.value))
  assert len(messages) == 1  # whether or not the file exists


def test_deeply_nested_upload_is_rejected(tmp_path):
  path = tmp_path / "upload.gltf"
  path.write_bytes(b'{"a":' + b"[" * 200_000)
  with pytest.raises(MeshError, match="is damaged"):
    read_upload(path, face_budget=99, unit="mm", face_limit=99, preview=False)


def test_step_with_external_parts_is_rejected(tmp_path):
  path = tmp_path / "upload.step"
  path.write_text(
    "ISO-10303-21;\nDATA;\n#1=APPLIED_EXTERNAL_IDENTIFICATION_ASSIGNMENT"
    "('other.stp',#2,#3,(#4));\nENDSEC;\nEND-ISO-10303-21;\n"
  )
  with pytest.raises(MeshError, match="one STEP file"):
    read_upload(path, face_budget=99, unit="mm", face_limit=99, preview=False)


def test_message_names_no_folder_of_the_service(served):
  _, client, _running = served

  for data, name in (
    (b'{"buffers":[{"uri":"/etc/passwd"}]}', "a.gltf"),
    (b"ISO-10303-21;garbage", "a.step"),
    (b"ply\nformat ascii 1.0\nelement vertex 9\nend_header\n", "a.ply"),
  ):
    response = ask(client, data, name)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(name)
    assert "/tmp" not in response.text
    assert "dr3d-uploads" not in response.text


def test_four_bombs_of_one_address_leave_a_reader_to_others(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory, readers=2) as (client, running):
    held, real = threading.Event(), running._workers._pool._call

    def call(encoded):  # by now it has a reader
      keywords = codec.decode(encoded)
      if keywords["task"] == "read" and "bomb" in keywords["path"].name:
        held.wait(15)
      return real(encoded)

    running._workers._pool._call = call
    # Another address than that of the honest client.
    bombs = [
      threading.Thread(
        target=running._workers.read,
        args=(write(tmp_path / f"bomb{i}.stl"), "bomb.stl"),
        kwargs={
          "reader": running.state.reader,
          "unit": None,
          "preview": False,
          "address": "192.0.2.1",
        },
      )
      for i in range(4)
    ]
    for bomb in bombs:
      bomb.start()
    wait_for(lambda: running._workers._pool._places._value < 2)
    time.sleep(0.2)
    start = time.monotonic()
    assert ask(client, verify=0).status_code == 200
    assert time.monotonic() - start < 10
    held.set()
    for bomb in bombs:
      bomb.join()


def write(path):
  path.write_bytes(stl(wedge()))
  return path


@pytest.mark.parametrize(
  ("name", "cleaned"),
  [
    ("a\u202elts.exe", "alts.exe"),
    ("\x1b[31mred\x1b[0m.stl", "[31mred[0m.stl"),
    ("a\u2066b\u200f.stl", "ab.stl"),
    ("C:\\parts\\Keil ü.stl", "Keil ü.stl"),
  ],
)
def test_name_of_an_upload_has_no_control_characters(name, cleaned):
  assert clean_name(name) == cleaned


@pytest.mark.parametrize("name", ["a\u202eb.stl", "a\x1bb.stl", "a\u2067.stl"])
def test_name_and_label_with_control_characters_get_422(served, name):
  _, client, _ = served
  files = {"file": ("a.stl", stl(wedge()))}
  for parameters in ({"name": name}, {"label": name}, {"set": f"k={name}"}):
    response = client.post(
      "/api/models", files=files, params=parameters, headers=WRITE
    )
    assert response.status_code == 422


def test_model_of_every_format_is_read_without_rights(served):
  _, client, _ = served
  for kind in ("glb", "ply", "off", "3mf", "stl", "dae", "obj"):
    data = export(BODIES["box/long.stl"], kind)
    response = ask(client, data, f"a.{kind}", evidence=True)
    assert response.status_code == 200, response.text
