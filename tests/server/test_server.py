"""The service over HTTP: answers, rejections, limits, and recovery."""

import base64
import dataclasses
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import trimesh
from support.mesh_files import BAD_FILES, export, wedge
from support.service import BODIES, TOKEN, WRITE, make_database, serving, stl
from support.standin import MeasuringPipeline

import dr3d
from dr3d import cli
from dr3d.cli import serve, serve_access
from dr3d.cli.subcommand import UsageError
from dr3d.client import Client
from dr3d.data import folder
from dr3d.data.folder import ModelFile, hash_file
from dr3d.database import journal, sqlite_file
from dr3d.database.condition import Condition
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import Dr3dError, ServiceError
from dr3d.mesh import load_mesh
from dr3d.runtime.pool import Limits
from dr3d.server import upload
from dr3d.server.batch import BATCH, Batcher
from dr3d.server.context import remove_leftovers
from dr3d.server.http_error import HttpError
from dr3d.server.limiter import ConcurrencyLimiter, RateLimiter


@pytest.fixture(scope="module")
def served(tmp_path_factory):
  """A database, a client of its service, and the service."""
  database = make_database(tmp_path_factory.mktemp("served"))
  with serving(database.directory) as (client, running):
    yield database, client, running


def ask(client, data, name="query.stl", **parameters):
  return client.post(
    "/api/query", files={"file": (name, data)}, params=parameters
  )


def test_upload_gets_the_answer_of_the_database(served, tmp_path):
  database, client, _ = served
  body = BODIES["round/rod #1.stl"].copy()
  turn = trimesh.transformations.rotation_matrix(1.0, [0.3, 0.5, 0.8])
  body.apply_transform(turn)
  path = tmp_path / "turned.stl"
  path.write_bytes(stl(body))
  mesh = load_mesh(path, face_budget=database.face_budget)
  expected = database.query(mesh, k=3, verify=2)
  answer = ask(client, path.read_bytes(), k=3, verify=2).json()
  assert answer["prediction"]["label"] == expected.prediction.label == "round"
  assert [match["model"] for match in answer["matches"]] == [
    match.model for match in expected.matches
  ]
  first = answer["matches"][0]
  assert first["model"] == "round/rod #1.stl"
  assert first["distance"] < 0.005
  stored = client.get(first["url"]).json()["extent"]
  assert stored == pytest.approx(first["extent"], rel=1e-5)  # six digits


def test_evidence_has_views_and_glb_at_true_size(served):
  _, client, _ = served
  data = stl(BODIES["box/long.stl"])
  shape = ask(client, data, evidence=True).json()["shape"]
  assert len(shape["views"]) == 2
  assert shape["views"][0].startswith("data:image/png;base64,")
  text = shape["glb"].removeprefix("data:model/gltf-binary;base64,")
  seen = trimesh.load(io.BytesIO(base64.b64decode(text)), file_type="glb")
  sides = np.sort(seen.extents) * 1000
  np.testing.assert_allclose(sides, [6, 8, 90], rtol=1e-4)


def test_similar_models_exclude_the_model_itself(served):
  _, client, _ = served
  answer = client.get("/api/models/box%2Fflat.stl/similar?k=9").json()
  found = [match["model"] for match in answer["matches"]]
  assert sorted(found) == sorted(set(BODIES) - {"box/flat.stl"})


def test_conditions_restrict_matches_and_unknown_ones_get_400(served):
  _, client, _ = served
  data = stl(BODIES["box/flat.stl"])
  found = ask(client, data, label="round").json()["matches"]
  assert {match["label"] for match in found} == {"round"}
  assert ask(client, data, same_size=0.05).json()["matches"][0]["rank"] == 1
  wrong = ask(client, data, label="cone")
  assert wrong.status_code == 400
  assert "'cone'" in wrong.json()["detail"]
  assert ask(client, data, where="steel").status_code == 422
  assert ask(client, data, unit="parsec").status_code == 422


def test_models_have_rows_previews_and_files(served):
  database, client, _ = served
  listed = client.get("/api/models", params={"text": "ROUND"}).json()
  assert listed["total"] == 2
  place = listed["models"][1]["url"]
  assert listed["models"][1]["model"] == "round/rod #1.stl"
  for path, kind, head in (
    ("thumbnail.png", "image/png", b"\x89PNG"),
    ("views/2.png", "image/png", b"\x89PNG"),
    ("model.glb", "model/gltf-binary", b"glTF"),
    ("file", "application/octet-stream", stl(BODIES["round/rod #1.stl"])),
  ):
    response = client.get(f"{place}/{path}")
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    assert response.content.startswith(head)
  assert client.get(f"{place}/views/3.png").status_code == 404
  big = client.get("/api/models", params={"smallest": 41, "limit": 1}).json()
  assert [model["model"] for model in big["models"]] == ["box/long.stl"]
  failures = client.get("/api/failures").json()["failures"]
  assert failures == [{"model": "empty.stl", "reason": "empty.stl is empty."}]
  assert client.get("/api/models/empty.stl/thumbnail.png").status_code == 404
  info = client.get("/api/info").json()
  assert info["counts"] == database.count_states()
  assert info["labels"] == [
    {"label": "box", "count": 2},
    {"label": "round", "count": 2},
  ]


def test_changed_file_gets_404(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, _):
    place = "/api/models/box%2Fflat.stl/file"
    assert client.get(place).status_code == 200
    (tmp_path / "models/box/flat.stl").write_bytes(b"something else")
    assert client.get(place).status_code == 404
    for name in ("..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "%00"):
      assert client.get(f"/api/models/{name}/file").status_code == 404
    for path in ("/static/../app.py", "/static/%2e%2e/app.py"):
      assert client.get(path).status_code == 404


@pytest.mark.parametrize(
  ("name", "data", "reason"), BAD_FILES, ids=[case[0] for case in BAD_FILES]
)
def test_bad_file_gets_one_sentence_with_its_name(served, name, data, reason):
  _, client, _ = served
  data = data.encode() if isinstance(data, str) else data
  for place, headers in (("/api/query", {}), ("/api/models", WRITE)):
    response = client.post(place, files={"file": (name, data)}, headers=headers)
    assert response.status_code in (413, 415, 422)
    error = response.json()["detail"]
    assert error.startswith(name)
    assert error.endswith(".")
    assert "/upload" not in error
    assert "\n" not in error


def test_upload_over_a_limit_gets_413(served):
  _, client, _ = served
  heavy = ask(client, bytes(2 << 20))
  assert heavy.status_code == 413
  assert "1 MiB" in heavy.json()["detail"]
  unsaid = client.post(
    "/api/query",
    content=iter([b"--x\r\n", bytes(2 << 20)]),
    headers={"content-type": "multipart/form-data; boundary=x"},
  )
  assert unsaid.status_code in (400, 413)
  fine = ask(client, stl(trimesh.creation.icosphere(4)))
  assert fine.status_code == 413
  assert "5120 faces" in fine.json()["detail"]


def test_json_body_over_the_limit_gets_413(served):
  _, client, _ = served
  place = "/api/models/box%2Fflat.stl"
  response = client.patch(
    place, content=b'{"label": "' + b"x" * 100_000, headers=WRITE
  )
  assert response.status_code == 413
  assert response.json()["detail"].endswith("bytes.")
  assert client.get(place).json()["label"] == "box"


def test_uploads_of_a_killed_service_are_removed(tmp_path):
  ended = subprocess.Popen([sys.executable, "-c", ""])
  ended.wait()
  left = tmp_path / f"dr3d-uploads-{ended.pid}-x"
  used = tmp_path / f"dr3d-uploads-{os.getpid()}-x"
  other = tmp_path / "dr3d-uploads-x"
  for path in (left, used, other):
    path.mkdir()
    (path / "upload").write_bytes(b"data")
  remove_leftovers(tmp_path)
  assert sorted(tmp_path.iterdir()) == sorted([used, other])


def test_external_references_and_zip_bombs_get_422(served):
  _, client, _ = served
  tree = {
    "asset": {"version": "2.0"},
    "buffers": [{"uri": "/etc/passwd", "byteLength": 36}],
  }
  outside = ask(client, json.dumps(tree), "part.gltf")
  assert outside.status_code == 422
  assert "export it as GLB" in outside.json()["detail"]
  bomb = io.BytesIO()
  with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("3D/3dmodel.model", bytes(600 << 20))
  response = ask(client, bomb.getvalue(), "part.3mf")
  assert response.status_code == 422
  assert "needs more memory" in response.json()["detail"]


def test_content_decides_the_format_not_the_name(served, tmp_path):
  _, client, _ = served
  body = BODIES["box/long.stl"]
  for name in ("model.obj", "../../model", "model.exe", 'a"b.glb'):
    answer = ask(client, stl(body), name).json()
    assert answer["matches"][0]["model"] == "box/long.stl"
    assert "/" not in answer["query"]
  for kind in ("glb", "ply", "off", "3mf", "stl", "dae", "stl_ascii"):
    path = tmp_path / "part"
    path.write_bytes(export(body, kind))
    assert upload.recognize(path, "part.step") == kind.split("_")[0]


@pytest.mark.parametrize(
  ("content", "kind", "status"),
  [
    (b"", "multipart/form-data; boundary=x", 400),
    (b"hello", "multipart/form-data; boundary=x", 400),
    (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
    (b"hello", "multipart/form-data", 415),
    (b"hello", "application/json", 415),
    (
      b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\nhal',
      "multipart/form-data; boundary=x",
      400,
    ),
  ],
)
def test_malformed_form_is_rejected(served, content, kind, status):
  _, client, _ = served
  response = client.post(
    "/api/query", content=content, headers={"content-type": kind}
  )
  assert response.status_code == status
  assert response.json()["detail"].endswith(".")


def test_change_without_token_is_rejected(served, tmp_path):
  database, client, _ = served
  calls = [
    ("POST", "/api/models", {"files": {"file": ("a.stl", stl(wedge()))}}),
    ("PATCH", "/api/models/box%2Fflat.stl", {"json": {"label": "x"}}),
    ("DELETE", "/api/models/box%2Fflat.stl", {}),
  ]
  for method, place, options in calls:
    for header in ({}, {"Authorization": "Bearer no"}, {"Authorization": "x"}):
      response = client.request(method, place, headers=header, **options)
      assert response.status_code == 401
      assert response.headers["www-authenticate"] == "Bearer"
  with serving(make_database(tmp_path).directory, token=None) as (other, _):
    for method, place, options in calls:
      response = other.request(method, place, headers=WRITE, **options)
      assert response.status_code == 401
      response = other.request(method, place, **options)
      assert response.status_code == 403
      assert "DR3D_TOKEN" in response.json()["detail"]
  assert database.count_states()["indexed"] == len(BODIES)


def test_model_is_added_labelled_and_removed(tmp_path):
  database = make_database(tmp_path)
  data = stl(wedge())
  with serving(database.directory) as (client, _):
    added = client.post(
      "/api/models",
      files={"file": ("C:\\parts\\Keil ü.stl", data)},
      params={"label": "wedge", "set": ["material=steel", "mass=3"]},
      headers=WRITE,
    )
    assert added.status_code == 201
    model = added.json()
    assert model["model"] == "Keil ü.stl"
    assert model["metadata"] == {"material": "steel", "mass": "3"}
    found = ask(client, data, where="material=steel").json()["matches"]
    assert [match["label"] for match in found] == ["wedge"]
    place = model["url"]
    assert client.get(f"{place}/file").content == data
    again = client.post(
      "/api/models", files={"file": ("Keil ü.stl", data)}, headers=WRITE
    )
    assert again.status_code == 200
    assert again.json() == model
    other = client.post(
      "/api/models",
      files={"file": ("x.stl", stl(BODIES["round/ball.stl"]))},
      params={"name": "Keil ü.stl"},
      headers=WRITE,
    )
    assert other.status_code == 409
    renamed = client.patch(place, json={"label": "Keil"}, headers=WRITE)
    assert renamed.json()["label"] == "Keil"
    assert ask(client, data).json()["prediction"]["label"] == "Keil"
    named = client.post(
      "/api/models",
      files={"file": ("x.glb", export(wedge(), "glb"))},
      params={"name": "a b/model.glb"},
      headers=WRITE,
    ).json()
    assert client.get(named["url"]).json() == named
    glb = client.get(f"{named['url']}/model.glb")
    assert glb.content.startswith(b"glTF")
    assert client.delete(named["url"], headers=WRITE).status_code == 204
    assert client.delete(place, headers=WRITE).status_code == 204
    assert client.get(place).status_code == 404
    assert client.delete(place, headers=WRITE).status_code == 404
  assert not list((database.directory / journal.FILES).iterdir())
  database.refresh()
  assert database.count_states()["indexed"] == len(BODIES)


def test_added_upload_is_hashed_only_while_it_arrives(tmp_path, monkeypatch):
  database = make_database(tmp_path)
  data = stl(wedge())
  with serving(database.directory) as (client, _):

    def hash_again(path):
      raise AssertionError(f"{path} is hashed again")

    monkeypatch.setattr(folder, "hash_file", hash_again)
    response = client.post(
      "/api/models", files={"file": ("new.stl", data)}, headers=WRITE
    )
  assert response.status_code == 201
  assert response.json()["hash"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
  "name", ["", "a//b", "../a", "a/./b", "a\x07", "x" * 300]
)
def test_invalid_name_gets_422(served, name):
  _, client, _ = served
  response = client.post(
    "/api/models",
    files={"file": ("ok.stl", b"" if not name else stl(wedge()))},
    params={"name": name},
    headers=WRITE,
  )
  assert response.status_code == 422


def test_model_accepted_before_a_crash_is_indexed_afterwards(tmp_path):
  database = make_database(tmp_path)
  path = tmp_path / "new.stl"
  path.write_bytes(stl(wedge()))
  with sqlite_file.writer_lock(database.directory):  # as `store` does, and ends
    journal.accept(
      database.directory,
      ModelFile(path, "in/new.stl", "wedge", {"a": "b"}, hash_file(path), "cm"),
    )
  (database.directory / journal.FILES / "0.stl").write_bytes(b"left behind")
  path.unlink()
  with serving(database.directory) as (client, _):
    model = client.get("/api/models/in/new.stl").json()
    assert model["state"] == "indexed"
    assert (model["label"], model["metadata"]) == ("wedge", {"a": "b"})
    assert model["unit"] == "cm, assumed"
    before = ask(client, stl(wedge())).json()
  assert before["matches"][0]["model"] == "in/new.stl"
  assert not journal.read_pending(database.directory)
  assert len(list((database.directory / journal.FILES).iterdir())) == 1
  with serving(database.directory) as (client, _):
    assert ask(client, stl(wedge())).json() == before


def test_rebuild_reads_kept_files_for_a_new_pipeline(tmp_path):
  database = make_database(tmp_path)
  path = tmp_path / "new.stl"
  path.write_bytes(stl(wedge()))
  database.store(path, name="in/new.stl", label="wedge", unit="cm")
  (before,) = (m for m in database.models() if m.name == "in/new.stl")
  path.unlink()
  better = MeasuringPipeline("two")
  better.face_budget = 50  # so that stored meshes serve until files are read
  assert database.rebuild(better) == len(BODIES) + 1
  assert database.count_states()["outdated"] == 0
  (model,) = (m for m in database.models() if m.name == "in/new.stl")
  assert (model.state, model.fingerprint) == ("indexed", "two")
  assert (model.unit, model.extent) == ("cm, assumed", before.extent)


def test_reader_over_its_time_limit_is_ended(tmp_path):
  database = make_database(tmp_path)
  limits = Limits(seconds=0.001, memory=1 << 30)
  with serving(database.directory, reading=limits) as (client, _):
    response = ask(client, stl(wedge()), "slow.stl")
    assert response.status_code == 422
    error = response.json()["detail"]
    assert error.startswith("slow.stl is not done after 0.001 seconds")
    assert client.get("/api/ready").status_code == 200


def test_locked_database_answers_queries_and_rejects_changes(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, _):
    with sqlite_file.writer_lock(database.directory):
      response = client.post(
        "/api/models", files={"file": ("a.stl", stl(wedge()))}, headers=WRITE
      )
      assert response.status_code == 503
      assert int(response.headers["retry-after"]) > 0
      assert "another process is writing" in response.json()["detail"]
      assert ask(client, stl(wedge())).status_code == 200
    assert not journal.read_pending(database.directory)
    assert client.get("/api/models/a.stl").status_code == 404


def test_change_by_another_process_is_seen(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, _):
    database.remove(["box/flat.stl"])
    end = time.monotonic() + 60
    while client.get("/api/models/box/flat.stl").status_code == 200:
      assert time.monotonic() < end
      time.sleep(0.05)
    answer = ask(client, stl(BODIES["box/flat.stl"]), k=9).json()
    assert len(answer["matches"]) == len(BODIES) - 1


def test_empty_database_gets_409_and_accepts_a_model(tmp_path):
  database = Database.create(
    tmp_path / "parts.db", MeasuringPipeline(),
    load_pipeline=MeasuringPipeline.load,
  )  # fmt: skip
  with serving(database.directory) as (client, _):
    response = ask(client, stl(wedge()))
    assert response.status_code == 409
    assert "no indexed model" in response.json()["detail"]
    client.post(
      "/api/models", files={"file": ("a.stl", stl(wedge()))}, headers=WRITE
    )
    assert ask(client, stl(wedge())).json()["matches"][0]["model"] == "a.stl"


def test_waiting_queries_share_one_call():
  pipeline = MeasuringPipeline()
  taken, held, seen = threading.Event(), threading.Event(), []

  def pause():
    taken.set()
    held.wait(90)

  pipeline.pause = pause
  batcher = Batcher(limit=BATCH, observe=seen.append)
  ball = load_mesh_of("round/ball.stl")
  flat = load_mesh_of("box/flat.stl")
  meshes = [ball, *[flat, ball] * (BATCH // 2)]
  results = {}

  def embed(number):
    results[number] = batcher.embed(pipeline, meshes[number], timeout=90)

  threads = [
    threading.Thread(target=embed, args=(i,)) for i in range(len(meshes))
  ]
  threads[0].start()
  assert taken.wait(90)  # or the others might join its call
  for thread in threads[1:]:
    thread.start()
  while batcher.pending() < BATCH:
    time.sleep(0.001)
  with pytest.raises(HttpError, match="busy") as rejected:
    batcher.embed(pipeline, ball, timeout=1)
  assert rejected.value.status == 503
  held.set()
  for thread in threads:
    thread.join()
  batcher.close()
  assert seen == [1, BATCH]
  for number, mesh in enumerate(meshes):
    np.testing.assert_array_equal(results[number], pipeline.embed([mesh])[0])


def load_mesh_of(name):
  body = BODIES[name]
  return dr3d.make_mesh(np.array(body.vertices), np.array(body.faces))


def test_damaged_database_gets_503_without_its_folders(tmp_path, caplog):
  database = make_database(tmp_path)
  with serving(database.directory) as (client, _):
    place = client.get("/api/models").json()["models"][0]["url"]
    (database.directory / "catalogue.sqlite").write_bytes(b"no database" * 99)
    response = client.get(f"{place}/thumbnail.png")
    assert response.status_code == 503
    assert "log says why" in response.json()["detail"]
    assert str(tmp_path) not in response.text
  assert "catalogue.sqlite is damaged" in caplog.text


def test_bad_mesh_fails_alone_in_its_batch():
  class Picky(MeasuringPipeline):
    def embed(self, meshes):
      if "bad" in meshes:
        raise ValueError("bad")
      return super().embed(meshes)

  batcher = Batcher(limit=9)
  taken, held = threading.Event(), threading.Event()
  ball = load_mesh_of("round/ball.stl")
  pipeline = Picky()
  outcome = {}

  def embed(number, mesh):
    try:
      outcome[number] = batcher.embed(pipeline, mesh, timeout=90)
    except ValueError as error:
      outcome[number] = str(error)

  def hold():
    taken.set()
    held.wait(90)

  first = threading.Thread(
    target=batcher.call, args=(hold,), kwargs={"timeout": 90}
  )
  first.start()
  assert taken.wait(90)  # or a mesh might be embedded before the others arrive
  threads = [
    threading.Thread(target=embed, args=(i, mesh))
    for i, mesh in enumerate([ball, "bad", ball])
  ]
  for thread in threads:
    thread.start()
  while batcher.pending() < 3:
    time.sleep(0.001)
  held.set()
  for thread in [first, *threads]:
    thread.join()
  batcher.close()
  assert outcome[1] == "bad"
  np.testing.assert_array_equal(outcome[0], outcome[2])


def test_rate_limiter_allows_bursts_then_a_rate():
  now = [100.0]
  rate = RateLimiter(2.0, 3, clock=lambda: now[0])
  for _ in range(3):
    rate.take("a")
  with pytest.raises(HttpError) as rejected:
    rate.take("a")
  assert (rejected.value.status, rejected.value.retry_after) == (429, 1)
  rate.take("b")
  now[0] += 0.5  # seconds for one more token
  rate.take("a")
  with pytest.raises(HttpError):
    rate.take("a")


def test_concurrency_limiter_counts_failed_requests_too():
  counts = []
  limiter = ConcurrencyLimiter(1, counts.append)
  with (
    pytest.raises(HttpError) as rejected,
    limiter.enter("a"),
    limiter.enter("b"),
  ):
    pass
  assert rejected.value.status == 503
  with limiter.enter("a"):
    assert limiter.active == 1
  assert counts == [1, 0, 1, 0]


def test_too_many_requests_get_503_or_429(tmp_path):
  database = make_database(tmp_path)
  with serving(database.directory, queue=2, burst=9, rate=0.001) as (
    client,
    own,
  ):
    held = threading.Event()
    own.state.reader.pipeline.pause = held.wait
    answers = []

    def query():
      answers.append(ask(client, stl(wedge())).status_code)

    threads = [threading.Thread(target=query) for _ in range(2)]
    for thread in threads:
      thread.start()
    measured = ""
    while "dr3d_queries_inside 2.0" not in measured:
      measured = own.metrics.write().decode()
      time.sleep(0.01)
    busy = ask(client, stl(wedge()))
    assert busy.status_code == 503
    assert busy.headers["retry-after"]
    held.set()
    for thread in threads:
      thread.join()
    assert answers == [200, 200]
    statuses = {ask(client, stl(wedge())).status_code for _ in range(12)}
    assert statuses == {200, 429}
    text = client.get("/metrics").text
    assert re.search(r'dr3d_requests_total{.*"/api/query",status="429"}', text)
    assert 'dr3d_models{state="indexed"} 4.0' in text


def test_foreign_hosts_and_origins_are_rejected(served):
  _, client, _ = served
  assert client.get("/api/health", headers={"Host": "a.b"}).status_code == 421
  for host in ("127.0.0.1:8000", "localhost", "[::1]:80", "192.168.1.9"):
    assert client.get("/api/health", headers={"Host": host}).is_success
  files = {"file": ("a.stl", stl(wedge()))}
  for origin, status in (
    ("http://evil.example", 403),
    ("null", 403),
    (f"http://{client.base_url.netloc.decode()}", 200),
  ):
    response = client.post(
      "/api/query", files=files, headers={"Origin": origin}
    )
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers
  page = client.get("/")
  assert page.status_code == 200
  assert "default-src 'none'" in page.headers["content-security-policy"]
  assert page.headers["x-content-type-options"] == "nosniff"


def test_log_contains_nothing_of_a_query(served, caplog):
  _, client, _ = served
  with caplog.at_level("INFO", logger="dr3d.server"):
    ask(client, stl(wedge()), "secret name.stl", label="box")
    client.get("/api/models/round/ball.stl")
    end, text = time.monotonic() + 60, ""  # the log follows the response
    while "GET /api/models/{model:path} 200" not in text:
      assert time.monotonic() < end
      text = "\n".join(record.getMessage() for record in caplog.records)
  assert "POST /api/query 200" in text
  assert not re.search("secret|box|ball", text)


def test_duplicates_are_reported_in_groups(tmp_path):
  database = make_database(tmp_path)
  (tmp_path / "models/box/copy.stl").write_bytes(stl(BODIES["box/flat.stl"]))
  database.update(tmp_path / "models", reader=FileReader(jobs=0))
  with serving(database.directory) as (client, _):
    found = {"ready": False}
    for _ in range(20):  # each waits for 5 s
      if not found["ready"]:
        found = client.get("/api/duplicates").json()
    assert found["ready"]
    (group,) = found["groups"]
    assert group["relation"] == "identical"
    assert [member["model"] for member in group["members"]] == [
      "box/copy.stl",
      "box/flat.stl",
    ]


def test_client_errors_have_the_status_and_name_the_file(served, tmp_path):
  _, http, _ = served
  with Client(str(http.base_url), token=TOKEN) as client:
    with pytest.raises(ServiceError, match="no model 'none'") as rejected:
      client.remove(["none"])
    assert rejected.value.status == 404
    with pytest.raises(Dr3dError, match=r"gone\.stl cannot be read"):
      client.query(tmp_path / "gone.stl")


def test_query_command_prints_the_answer_of_a_service(tmp_path, capsys):
  database = make_database(tmp_path)
  path, bad = tmp_path / "Keil.stl", tmp_path / "bad.stl"
  path.write_bytes(stl(wedge()))
  bad.write_bytes(b"solid")
  with serving(database.directory) as (http, _):
    server = f"--server={http.base_url}"
    arguments = [os.fspath(path), os.fspath(bad), "--label=box", "--k=1"]
    assert cli.main(["query", server, "--json", *arguments]) == 1
    printed = json.loads(capsys.readouterr().out)
    mesh = load_mesh(path, face_budget=database.face_budget)
    answer = database.query(
      mesh, k=1, condition=Condition(labels=["box"]), verify=3
    )
    assert printed[0] == {
      "query": os.fspath(path),
      **json.loads(json.dumps(dataclasses.asdict(answer))),
    }
    assert printed[1]["error"].startswith(f"{bad} ")
    assert cli.main(["query", server, "--label=box", *arguments[:1]]) == 0
    assert "box/" in capsys.readouterr().out
  assert cli.main(["query", server, os.fspath(path)]) == 1
  assert "cannot be reached" in capsys.readouterr().err


def test_client_without_service_raises(tmp_path):
  path = tmp_path / "part.stl"
  path.write_bytes(b"")
  with pytest.raises(ServiceError, match="is dr3d serve running there"):
    Client("http://127.0.0.1:9").query(path)
  with pytest.raises(ServiceError, match="must begin with http"):
    Client("ftp://127.0.0.1")


def test_service_finishes_active_requests_before_it_ends(tmp_path):
  database = make_database(tmp_path)
  path = tmp_path / "part.stl"
  path.write_bytes(stl(wedge()))
  started, held = threading.Event(), threading.Event()

  def pause():
    started.set()
    held.wait(90)

  with serving(database.directory) as (http, running):
    running.state.reader.pipeline.pause = pause
    client = Client(str(http.base_url))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(client.query(path)))
    asking.start()
    assert started.wait(90)
    http.stop()
    time.sleep(0.2)
    assert not answers
    held.set()
    asking.join()
  assert answers[0].matches
  with pytest.raises(ServiceError, match="cannot be reached"):
    client.query(path)


def test_bad_address_or_token_is_rejected_before_start(tmp_path, monkeypatch):
  def check(host, *, is_proxied=False, has_token=False, public_read=False):
    return serve_access.check_address(
      host,
      is_proxied=is_proxied,
      has_token=has_token,
      public_read=public_read,
    )

  for host in ("127.0.0.1", "localhost", "::1", "127.0.0.9"):
    assert check(host)
    assert not check(host, is_proxied=True, has_token=True)
    with pytest.raises(UsageError, match="other machines reach"):
      check(host, is_proxied=True)
  for host in ("0.0.0.0", "::", "192.168.1.2", "parts.example"):
    with pytest.raises(UsageError, match="other machines reach"):
      check(host)
    assert not check(host, has_token=True)
    assert check(host, public_read=True)
  monkeypatch.delenv("DR3D_TOKEN", raising=False)
  assert serve_access.read_token(None) is None
  monkeypatch.setenv("DR3D_TOKEN", TOKEN)
  assert serve_access.read_token(None) == TOKEN
  path = tmp_path / "token"
  with pytest.raises(Dr3dError, match="cannot be read"):
    serve_access.read_token(os.fspath(path))
  path.write_text("short\n")
  with pytest.raises(Dr3dError, match="at least 16"):
    serve_access.read_token(os.fspath(path))
  taken = serve.listen("127.0.0.1", 0)
  with pytest.raises(Dr3dError, match="choose another --port"):
    serve.listen("127.0.0.1", taken.getsockname()[1])
  taken.close()
