import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dr3d.error import PictureError
from dr3d.image.photograph import is_photograph, read_photograph

pytestmark = pytest.mark.fast


def _encode(pixels, kind, **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, kind, **options)
  return file.getvalue()


@pytest.fixture(name="gradient")
def _gradient():
  y, x = np.mgrid[:30, :40]
  return np.stack([6 * x, 8 * y, 200 - x - y], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_picture_of_each_format_is_read(gradient, kind):
  if kind == "HEIF":
    pytest.importorskip("pillow_heif").register_heif_opener()
  found = read_photograph(_encode(gradient, kind, quality=95))
  assert found.shape == (30, 40, 4)
  assert found.dtype == np.uint8
  error = np.abs(found[..., :3].astype(int) - gradient)
  assert error.mean() < 4
  assert (found[..., 3] == 255).all()


def test_rotation_of_exif_is_obeyed(gradient):
  exif = Image.Exif()
  exif[0x0112] = 6  # the camera was held clockwise by a quarter turn
  found = read_photograph(_encode(gradient, "JPEG", quality=95, exif=exif))
  turned = np.rot90(gradient, -1)
  assert found.shape == (40, 30, 4)
  assert np.abs(found[..., :3].astype(int) - turned).mean() < 4


def test_bomb_of_pixels_is_refused_before_it_is_decoded():
  def chunk(kind, data):
    body = kind + data
    return (
      struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    )

  header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
  # There are no pixels at all: decoding would fail with another sentence.
  data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
  with pytest.raises(PictureError, match="12000 x 12000 pixels, but at most"):
    read_photograph(data, name="bomb.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncated_file_is_refused_by_one_sentence(gradient, kind):
  big = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
  data = _encode(big, kind)
  with pytest.raises(PictureError, match=r"^a\.x is damaged or cut off: .*\.$"):
    read_photograph(data[: len(data) // 2], name="a.x")


@pytest.mark.parametrize(
  ("data", "message"),
  [(b"", "is empty"), (b"solid cube", "is not a picture that can be read")],
)
def test_other_content_is_refused(data, message):
  with pytest.raises(PictureError, match=message):
    read_photograph(data, name="cube.jpg")


def test_missing_file_is_named(tmp_path):
  with pytest.raises(PictureError, match=r"no\.jpg does not exist"):
    read_photograph(tmp_path / "no.jpg")


def test_large_picture_is_reduced_and_keeps_transparency(tmp_path):
  pixels = np.zeros((100, 300, 4), np.uint8)
  pixels[:, :150] = 200, 100, 50, 255
  path = tmp_path / "a.png"
  Image.fromarray(pixels).save(path)
  found = read_photograph(path, max_side=30)
  assert found.shape == (10, 30, 4)
  assert (found[:, :14] == (200, 100, 50, 255)).all()
  assert (found[:, 16:, 3] == 0).all()


def test_photographs_are_told_by_their_extension():
  assert is_photograph("a/b.JPG")
  assert not is_photograph("a.stl")
