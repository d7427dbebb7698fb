"""Lists, words, counts, edits and deviations over HTTP."""

import base64

import numpy as np
import pytest
import trimesh
from support.mesh_files import wedge
from support.service import BODIES, WRITE, make_database, serving, stl

TURN = trimesh.transformations.rotation_matrix(1.0, [0.3, 0.5, 0.8])


@pytest.fixture
def client(tmp_path):
  database = make_database(tmp_path)
  database.edit(
    "box/flat.stl", metadata={"number": "PN-12.34", "colour": "red"}
  )
  database.edit("box/long.stl", metadata={"number": "PN-56.78"})
  with serving(database.directory) as (client, _):
    yield client


def names(client, **parameters):
  answer = client.get("/api/models", params=parameters).json()
  assert answer["total"] == len(answer["models"])
  return [model["model"] for model in answer["models"]]


def test_words_and_filters_are_combined(client):
  assert names(client, text="1234") == ["box/flat.stl"]
  assert set(names(client, text="pn")) == {"box/flat.stl", "box/long.stl"}
  assert names(client, text="pn", where="colour=red") == ["box/flat.stl"]
  assert names(client, text="rod round") == ["round/rod #1.stl"]
  assert names(client, text="pn", smallest=50) == ["box/long.stl"]


def test_columns_are_counted_beside_the_list(client):
  answer = client.get(
    "/api/models",
    params={"columns": True, "limit": 0, "state": "indexed", "label": "box"},
  ).json()
  assert answer["models"] == []
  counts = {
    column["name"]: {one["value"]: one["count"] for one in column["values"]}
    for column in answer["columns"]
  }
  assert counts == {
    "label": {"box": 2, "round": 2},
    "number": {"PN-12.34": 1, "PN-56.78": 1},
    "colour": {"red": 1},
  }


def test_edit_changes_metadata_and_is_found_at_once(client):
  url = "/api/models/round%2Fball.stl"
  response = client.patch(
    url,
    json={"label": "sphere", "metadata": {" Number ": " 9 ", "empty": ""}},
    headers=WRITE,
  )
  assert response.json()["metadata"] == {"number": "9"}
  assert names(client, text="sphere 9") == ["round/ball.stl"]
  client.patch(url, json={"label": "ball"}, headers=WRITE)
  model = client.get(url).json()
  assert (model["label"], model["metadata"]) == ("ball", {"number": "9"})


@pytest.mark.parametrize(
  "metadata",
  [
    {"": "x"},
    {"a\n": "x"},
    {"a": "x" * 1001},
    {str(n): "x" for n in range(101)},
  ],
)
def test_metadata_that_cannot_be_kept_is_rejected(client, metadata):
  response = client.patch(
    "/api/models/round%2Fball.stl", json={"metadata": metadata}, headers=WRITE
  )
  assert response.status_code == 422


def test_columns_to_show_are_chosen_by_who_may_write(client):
  assert client.get("/api/info").json()["shown"] == ["number", "colour"]
  body = {"columns": ["colour"]}
  assert client.put("/api/columns", json=body).status_code == 401
  assert client.put("/api/columns", json=body, headers=WRITE).status_code == 204
  assert client.get("/api/info").json()["shown"] == ["colour"]
  body = {"columns": ["weight"]}
  response = client.put("/api/columns", json=body, headers=WRITE)
  assert (response.status_code, "'weight'" in response.text) == (422, True)


def test_info_tells_the_role_of_the_caller(client):
  assert client.get("/api/info").json()["role"] is None
  assert client.get("/api/info", headers=WRITE).json()["role"] == "admin"


def test_match_has_metadata_and_radius_of_its_model(client):
  answer = client.post(
    "/api/query", files={"file": ("q.stl", stl(BODIES["box/flat.stl"]))}
  ).json()
  best = answer["matches"][0]
  assert best["metadata"]["number"] == "PN-12.34"
  assert best["radius"] == pytest.approx(
    np.hypot(np.hypot(15, 10), 1), rel=1e-4
  )


def read(overlay):
  data = base64.b64decode(overlay["distances"])
  return np.frombuffer(data, "<f4")


def test_overlay_measures_a_file_and_a_model(client):
  body = trimesh.creation.box((30, 20, 3)).apply_transform(TURN)
  found = client.post(
    "/api/overlay",
    params={"model": "box/flat.stl"},
    files={"file": ("q.stl", stl(body))},
  ).json()
  assert found["far"] == pytest.approx(0.5, abs=0.03)
  assert len(read(found)) == len(base64.b64decode(found["vertices"])) / 12
  same = client.get(
    "/api/overlay",
    params={"query": "box/flat.stl", "model": "box/flat.stl"},
  ).json()
  assert read(same).max() < 1e-3


def test_overlay_of_an_unknown_model_is_not_found(client):
  response = client.post(
    "/api/overlay",
    params={"model": "none.stl"},
    files={"file": ("q.stl", stl(wedge()))},
  )
  assert response.status_code == 404


def test_picture_is_larger_than_a_thumbnail(client):
  url = "/api/models/box%2Fflat.stl"
  picture = client.get(f"{url}/picture.png")
  assert picture.headers["content-type"] == "image/png"
  assert picture.content[16:24] == (240).to_bytes(4, "big") * 2
