"""Shapes between two models, over HTTP."""

import io

import numpy as np
import pytest
import trimesh
from support.service import make_database, serving
from support.shapes import make_model

from dr3d.server import blending

FLAT, LONG = "box/flat.stl", "box/long.stl"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
  database = make_database(tmp_path_factory.mktemp("blending"))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(blending, "load_model", make_model)
    with serving(database.directory) as (client, _):
      yield client


def ask(client, model=FLAT, **parameters):
  path = f"/api/models/{model.replace('/', '%2F')}/blend.glb"
  return client.get(path, params={"other": LONG, **parameters})


def read(response):
  assert response.status_code == 200, response.text
  assert response.headers["content-type"] == "model/gltf-binary"
  file = io.BytesIO(response.content)
  return trimesh.load(file, file_type="glb", force="mesh")


def test_size_of_the_shape_lies_between_those_of_the_models(client):
  radii = []
  for share in (0, 0.5, 1):
    mesh = read(ask(client, share=share))
    radii.append(1000 * np.linalg.norm(mesh.vertices, axis=1).max())
  flat = np.linalg.norm([30, 20, 2]) / 2
  long = np.linalg.norm([90, 8, 6]) / 2
  expected = [flat, (flat + long) / 2, long]
  # Centred on the sphere, whose radius is that of the farthest vertex.
  np.testing.assert_allclose(radii, expected, rtol=0.02)


def test_shape_changes_with_the_share_and_is_kept(client):
  first, second, again = (ask(client, share=s).content for s in (0, 1, 0))
  assert first != second
  assert first == again


def test_wrong_requests_are_told(client):
  assert client.get("/api/info").json()["shapes"] is True
  assert ask(client, other="none.stl").status_code == 404
  assert ask(client, model="none.stl").status_code == 404
  assert ask(client, other="empty.stl").status_code == 404
  assert ask(client, share=1.5).status_code == 422


def test_service_without_the_network_says_what_is_missing(client, monkeypatch):
  monkeypatch.setattr(blending, "is_available", lambda: False)
  assert client.get("/api/info").json()["shapes"] is False
  response = ask(client)
  assert response.status_code == 404
  assert "pip install 'dr3d[shape]'" in response.json()["detail"]
