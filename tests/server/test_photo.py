"""A service prepares for photographs before one asks."""

import threading
import types

import pytest
from support import photo
from support.service import make_database

pytest.importorskip("cv2")

from dr3d.server.batch import Batcher
from dr3d.server.photo import PhotoQueries, render_view
from dr3d.server.settings import ServerConfig

pytestmark = pytest.mark.fast


@pytest.fixture(name="batcher")
def _batcher():
  batcher = Batcher(limit=4)
  yield batcher
  batcher.close()


@pytest.fixture(name="database")
def _database(tmp_path):
  return make_database(tmp_path)


@pytest.fixture(name="encoder")
def _encoder(monkeypatch):
  """The stand-in; `asked` is set when it embeds a picture."""
  with photo.standing_in() as encoder:
    asked, embed = threading.Event(), encoder.embed_images

    def embed_images(images):
      asked.set()
      return embed(images)

    monkeypatch.setattr(encoder, "embed_images", embed_images)
    encoder.asked = asked
    yield encoder


def start(database, batcher):
  queries = PhotoQueries(None, batcher, ServerConfig())
  queries.start(types.SimpleNamespace(reader=database))


def test_prepared_database_is_read_and_the_encoder_called_at_the_start(
  database, batcher, encoder
):
  database.prepare_photos()
  encoder.asked.clear()  # by the calibration
  start(database, batcher)
  assert encoder.asked.wait(20)


def test_database_without_vectors_waits_for_a_photograph(
  database, batcher, encoder
):
  start(database, batcher)
  assert not encoder.asked.wait(0.3)
  assert not encoder.embedded


def test_view_of_a_match_is_a_png(database, encoder):
  from dr3d.mesh.packing import unpack_mesh

  (shape,) = database.load_shapes(["box/flat.stl"]).values()
  (one,) = render_view(1, unpack_mesh(shape.mesh))
  (other,) = render_view(5, unpack_mesh(shape.mesh))
  assert one.startswith(b"\x89PNG")
  assert one != other
