"""Two services of one database in PostgreSQL, each with a cache of its own."""

import threading

import pytest
import trimesh
from support.replica import connect, replica, wait_for
from support.service import BODIES, make_database, stl

pytest.importorskip("psycopg")

from dr3d.database import shared, transfer
from dr3d.error import Dr3dError


@pytest.fixture
def uri(postgresql, tmp_path, monkeypatch):
  """A database that was moved from a folder."""
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  local = make_database(tmp_path)
  made = postgresql.create()
  transfer.copy_database(local.directory, shared.find_directory(made))
  return made


def list_names(client):
  return [model.name for model in client.models()]


def test_services_answer_alike_and_see_changes_of_each_other(uri, tmp_path):
  with (
    replica(uri, tmp_path / "a") as (_, a),
    replica(uri, tmp_path / "b") as (_, b),
  ):
    first, second = connect(a), connect(b)
    path = tmp_path / "query.stl"
    for body in BODIES.values():
      path.write_bytes(stl(body))
      assert first.query(path) == second.query(path)
    cone = tmp_path / "cone.stl"
    cone.write_bytes(stl(trimesh.creation.cone(3, 9)))
    assert not first.add([cone], label="cone").failures
    wait_for(lambda: "cone.stl" in list_names(second))
    assert second.read_file("cone.stl") == cone.read_bytes()
    assert first.query(cone) == second.query(cone)
    second.label("cone.stl", "hat")
    wait_for(lambda: {m.label for m in first.models()} >= {"hat"})
    first.remove(["cone.stl"])
    wait_for(lambda: "cone.stl" not in list_names(second))
    assert first.query(path) == second.query(path)


def test_killed_service_loses_no_accepted_upload(uri, tmp_path):
  accepted = {}

  def add(url, mark):
    client = connect(url, retry_timeout=0)
    for number in range(1000):
      path = tmp_path / "sent" / f"{mark}-{number}.stl"
      path.parent.mkdir(exist_ok=True)
      path.write_bytes(stl(trimesh.creation.box((1, 2, 3 + number))))
      try:
        assert not client.add([path], label=mark).failures
      except Dr3dError:
        return
      accepted[path.name] = path.read_bytes()
      if is_over.is_set():
        return

  is_over = threading.Event()
  with replica(uri, tmp_path / "b") as (_, b):
    with replica(uri, tmp_path / "a") as (process, a):
      threads = [
        threading.Thread(target=add, args=each)
        for each in [(a, "a1"), (a, "a2"), (b, "b1")]
      ]
      for thread in threads:
        thread.start()
      wait_for(lambda: {name[:2] for name in accepted} == {"a1", "a2", "b1"})
      process.kill()
      process.wait()
    count = len(accepted)
    wait_for(lambda: len(accepted) > count)  # the other one continues
    is_over.set()
    for thread in threads:
      thread.join()
    survivor = connect(b)
    rows = {model.name: model for model in survivor.models()}
    for name, data in accepted.items():
      assert rows[name].state == "indexed"
      assert survivor.read_file(name) == data
    query = tmp_path / "sent" / "b1-0.stl"
    with replica(uri, tmp_path / "a") as (_, a):
      restarted = connect(a)
      wait_for(lambda: list_names(restarted) == list_names(survivor))
      assert restarted.query(query) == survivor.query(query)
