"""Two services that share a database in PostgreSQL and a Milvus server."""

import pytest
import trimesh

pytest.importorskip("psycopg")
pytest.importorskip("milvus_lite")

from support import milvus_server
from support.replica import connect, replica, wait_for
from support.service import stl
from support.standin import MeasuringPipeline

from dr3d.database import shared
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import Dr3dError
from dr3d.mesh import load_mesh

COUNT = 90  # models: more than are proposed


@pytest.fixture
def models(tmp_path):
  folder = tmp_path / "models"
  for number in range(COUNT):
    path = folder / f"kind {number % 5}" / f"{number:02d}.stl"
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = 1 + number % 5, 2 + number % 7, 3 + number / 10
    path.write_bytes(stl(trimesh.creation.box(sides)))
  return sorted(folder.rglob("*.stl"))


@pytest.fixture
def milvus(tmp_path):
  with milvus_server.running(tmp_path / "milvus") as server:
    yield server


@pytest.fixture
def uri(postgresql, milvus, models, tmp_path, monkeypatch):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  made = postgresql.create()
  database = Database.create(
    shared.find_directory(made),
    MeasuringPipeline(),
    load_pipeline=MeasuringPipeline.load,
    engine=milvus.engine,
  )
  database.update(tmp_path / "models", reader=FileReader(jobs=0))
  return made


def test_services_outlive_an_outage_of_milvus(uri, milvus, models, tmp_path):
  with (
    replica(uri, tmp_path / "a", engine=milvus.engine) as (_, a),
    replica(uri, tmp_path / "b", engine=milvus.engine) as (_, b),
  ):
    services = [connect(url, retry_timeout=0) for url in (a, b)]

    def ask(service):
      return [service.query(path, verify=0) for path in models[::9]]

    before = ask(services[0])
    assert ask(services[1]) == before
    exact = Database.open(uri, load_pipeline=MeasuringPipeline.load)
    for path, answer in zip(models[::9], before, strict=True):
      mesh = load_mesh(path, face_budget=100)
      expected = exact.query(mesh, verify=0)
      assert answer.matches[0].model == expected.matches[0].model
    milvus.kill()
    for service in services:
      with pytest.raises(Dr3dError, match="cannot be used at present") as error:
        service.query(models[0], verify=0)
      assert str(error.value).count("\n") == 0
      assert len(service.models()) == COUNT  # what needs no Milvus continues
    rod = tmp_path / "rod.stl"
    rod.write_bytes(stl(trimesh.creation.cylinder(1, 20)))
    with pytest.raises(Dr3dError, match="cannot be used at present"):
      services[0].add([rod], label="rod")
    milvus.start()
    wait_for(lambda: answers(services[0], models[0]))
    assert [ask(service) for service in services] == [before, before]
    # What was sent meanwhile was stored before Milvus was asked.
    for service in services:
      wait_for(lambda service=service: len(service.models()) == COUNT + 1)
      assert service.read_file("rod.stl") == rod.read_bytes()
    cone = tmp_path / "cone.stl"
    cone.write_bytes(stl(trimesh.creation.cone(3, 9)))
    assert not services[0].add([cone], label="cone").failures
    wait_for(lambda: len(services[1].models()) == COUNT + 2)
    for path in (rod, cone):
      for service in services:
        answer = service.query(path, verify=0)
        assert answer.matches[0].model == path.name


def answers(service, path):
  try:
    service.query(path, verify=0)
  except Dr3dError:
    return False
  return True
