"""Renderer and network of a service, alone."""

import io

import numpy as np
import pytest
from support.mesh_files import wedge
from support.service import TOKEN, WRITE, make_database, serving, stl

from dr3d.client import Client
from dr3d.error import Dr3dError, ServiceError
from dr3d.mesh import load_mesh

NPY = {"Content-Type": "application/octet-stream"}


def npy(array):
  file = io.BytesIO()
  np.save(file, array, allow_pickle=True)
  return file.getvalue()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
  """A database, an HTTP client of its service, and the service."""
  database = make_database(tmp_path_factory.mktemp("network"))
  with serving(database.directory, public_read=False) as (http, service):
    http.headers.update(WRITE)
    yield database, http, service


@pytest.fixture
def client(running):
  with Client(str(running[1].base_url), token=TOKEN) as client:
    yield client


@pytest.fixture
def part(tmp_path):
  path = tmp_path / "wedge.stl"
  path.write_bytes(stl(wedge()))
  return path


def test_vectors_of_file_are_those_of_the_local_pipeline(running, client, part):
  database = running[0]
  mesh = load_mesh(part, face_budget=database.face_budget)
  expected = database.pipeline.embed([mesh, mesh])
  got = client.pipeline.embed([part, mesh])
  assert (got.shape, got.dtype) == (expected.shape, np.float32)
  np.testing.assert_allclose(got, expected, atol=1e-5)
  assert client.pipeline.fingerprint == database.fingerprint


def test_images_of_file_and_their_vectors_come_from_the_service(
  running, client, part
):
  pipeline = running[0].pipeline
  images = client.pipeline.render(part)
  mesh = load_mesh(part, face_budget=running[0].face_budget)
  np.testing.assert_array_equal(images, pipeline.render(mesh))
  np.testing.assert_allclose(
    client.pipeline.embed_images(images[None]),
    pipeline.embed_images(images[None]),
    rtol=1e-6,
  )


def test_response_names_the_pipeline(running, part):
  database, http, _ = running
  response = http.post("/api/embed", files={"file": part.open("rb")})
  assert response.headers["X-Dr3d-Pipeline"] == database.fingerprint
  assert response.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
  ("body", "headers", "status", "reason"),
  [
    (npy(np.zeros((1, 16, 16, 4))), {}, 415, "application/octet-stream"),
    (b"no array", NPY, 422, "not an array of NumPy"),
    (npy(np.array([{}], object)), NPY, 422, "not an array of NumPy"),
    (npy(np.zeros((1, 16, 16, 3))), NPY, 422, "[M, H, W, 4], got [1, 16, 16"),
    (npy(np.zeros((1, 16, 16, 4), int)), NPY, 422, "floats in [0, 1]"),
    (npy(np.full((1, 16, 16, 4), np.nan)), NPY, 422, "must be in [0, 1]"),
    (npy(np.zeros((300, 1, 1, 4))), NPY, 422, "1 to 256 images, got 300"),
    (npy(np.zeros((1, 8, 8, 4))), NPY, 422, "must be of 16 pixels"),
    (npy(np.zeros((200, 32, 32, 4))), NPY, 413, "more than the 1 MiB"),
  ],
)
def test_wrong_images_are_rejected(running, body, headers, status, reason):
  _, http, _ = running
  response = http.post("/api/embed/images", content=body, headers=headers)
  assert (response.status_code, reason in response.json()["detail"]) == (
    status,
    True,
  )


@pytest.mark.parametrize("path", ["/api/render", "/api/embed"])
def test_file_that_is_no_mesh_is_rejected(running, path):
  _, http, _ = running
  response = http.post(path, files={"file": ("a.stl", b"solid nothing")})
  assert response.status_code == 422
  assert "a.stl" in response.json()["detail"]


def test_calls_need_a_token_that_may_read(running, part):
  _, http, _ = running
  response = http.post(
    "/api/embed",
    files={"file": part.open("rb")},
    headers={"Authorization": "Bearer wrong"},
  )
  assert response.status_code == 401


def test_client_explains_what_it_cannot_send(client, tmp_path):
  with pytest.raises(Dr3dError, match=r"none.stl cannot be read"):
    client.pipeline.embed([tmp_path / "none.stl"])
  with pytest.raises(ValueError, match="at least one model"):
    client.pipeline.embed([])
  with pytest.raises(ValueError, match=r"must be \[B, M, H, W, 4\]"):
    client.pipeline.embed_images(np.zeros((1, 16, 16, 4)))
  with pytest.raises(ServiceError, match="must be of 16 pixels"):
    client.pipeline.embed_images(np.zeros((1, 1, 8, 8, 4)))
