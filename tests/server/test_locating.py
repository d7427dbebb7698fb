"""POST /api/locate, with a stand-in for the locator."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from support.service import make_database, serving

from dr3d.locate.instance import make_instance
from dr3d.mesh.mesh import Mesh
from dr3d.server import locating

BOX = (30, 20, 40, 24)
MODEL = "box/flat.stl"


class _Finder:
  """Finds one box in every wide picture, and keeps what it was asked."""

  def __init__(self):
    self.queries = []

  def prepare(self, query, *, box=None):
    self.queries.append((query, box))
    return len(self.queries)

  def search(self, query, medium):
    heat = np.zeros(medium.shape[:2], np.float32)
    if medium.shape[1] <= medium.shape[0]:
      return [], heat
    x, y, w, h = BOX
    mask = np.zeros(medium.shape[:2], bool)
    mask[y : y + h, x : x + w] = True
    return [make_instance(mask, 0.875, 0)], heat


@pytest.fixture(scope="module")
def finder():
  finder = _Finder()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(locating, "load_locator", lambda: finder)
    yield finder


@pytest.fixture(scope="module")
def client(tmp_path_factory, finder):
  folder = tmp_path_factory.mktemp("locating")
  make_database(folder)
  with serving(folder / "parts.db", byte_limit=8 << 20) as (client, _):
    yield client


def picture(width=120, height=80, kind="PNG"):
  file = io.BytesIO()
  pixels = np.full((height, width, 3), 200, np.uint8)
  Image.fromarray(pixels).save(file, kind)
  return file.getvalue()


def ask(client, data, **parameters):
  return client.post(
    "/api/locate",
    params=parameters,
    files={"file": ("bench.png", data, "application/octet-stream")},
  )


def test_model_is_found_with_its_box_and_a_lit_picture(client, finder):
  response = ask(client, picture(), model=MODEL)
  assert response.status_code == 200, response.text
  found = response.json()
  assert (found["width"], found["height"]) == (120, 80)
  assert found["instances"] == [
    {"box": list(BOX), "score": 0.875, "area": BOX[2] * BOX[3]}
  ]
  data = base64.b64decode(found["highlight"].split(",")[1])
  lit = np.asarray(Image.open(io.BytesIO(data)))
  assert lit.shape == (80, 120, 3)
  assert lit[30, 50].mean() > 150 > 80 > lit[70, 110].mean()
  assert isinstance(finder.queries[-1][0], Mesh)


def test_features_of_a_model_are_kept(client, finder):
  ask(client, picture(), model=MODEL)
  before = len(finder.queries)
  ask(client, picture(130), model=MODEL)
  assert len(finder.queries) == before


def test_boxes_are_in_pixels_of_the_upload_and_regions_in_those_searched(
  client, finder
):
  wide = 2 * locating.SIDE
  response = ask(
    client, picture(wide, wide // 2, "JPEG"), region="100,200,80,60"
  )
  found = response.json()
  assert found["width"] == wide
  assert found["instances"][0]["box"] == [2 * side for side in BOX]
  assert finder.queries[-1][1] == (50, 100, 40, 30)


def test_picture_without_the_model_has_no_instance(client):
  response = ask(client, picture(60, 80), model=MODEL)
  assert response.json()["instances"] == []


@pytest.mark.parametrize(
  ("data", "parameters", "status", "message"),
  [
    (picture(), {}, 422, "give either model or region"),
    (picture(), {"model": "no.stl"}, 404, "no.stl"),
    (picture(), {"region": "1,2,3"}, 422, "region must be x,y,width,height"),
    (b"solid nothing\nendsolid", {"model": MODEL}, 415, ""),
    (picture()[:60], {"model": MODEL}, 422, "bench.png is damaged"),
  ],
)
def test_wrong_requests_are_rejected(client, data, parameters, status, message):
  response = ask(client, data, **parameters)
  assert response.status_code == status, response.text
  assert message in response.json()["detail"]
