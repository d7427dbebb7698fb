"""A stand-in for the encoder of photographs, which compiles no program."""

import contextlib
import io
import types

import numpy as np
import pytest
from PIL import Image

from dr3d.camera.view import sphere_views, view_directions
from dr3d.descriptor.silhouette import draw_silhouettes
from dr3d.image.frame import cut_square, find_hull, fit_square
from dr3d.retrieval.photo import encoder, probe
from dr3d.search.similarity import TURNS

SIZE = 32
VIEWS = 8


class SilhouetteEncoder:
  """Vectors are silhouettes: those of a model from eight sides."""

  fingerprint = "silhouettes"
  config = types.SimpleNamespace(
    view_count=VIEWS, render=types.SimpleNamespace(size=SIZE)
  )
  views = types.SimpleNamespace(
    count=VIEWS, quaternion=sphere_views(VIEWS), distance=np.full(VIEWS, 3.0)
  )

  def __init__(self):
    self.embedded = 0

  def embed(self, meshes):
    self.embedded += len(meshes)
    return np.stack([_to_vectors(draw_outlines(mesh)) for mesh in meshes])

  def embed_images(self, images):
    return np.stack([_to_vectors(each[..., 3] > 0.5) for each in images])


def draw_outlines(mesh, *, size=SIZE):
  """Silhouettes from eight sides, framed as photographs are."""
  axes = np.asarray(view_directions(sphere_views(VIEWS)))
  drawn = draw_silhouettes(mesh.vertices / 1.05, mesh.faces, axes, size=200)
  squares = [fit_square(find_hull(each)) for each in drawn]
  return (
    np.stack(
      [
        cut_square(each.astype(np.float32), square, size=size, beyond="empty")
        for each, square in zip(drawn, squares, strict=True)
      ]
    )
    > 0.5
  )


def photograph(mesh, *, view=1, turn=45, size=200, color=(30, 60, 160)):
  """A picture of a model on grey paper, uint8 `[size, size, 3]`."""
  outline = draw_outlines(mesh, size=size // 2)[view]
  solid = Image.fromarray(np.pad(255 * outline.astype(np.uint8), size // 4))
  solid = np.asarray(solid.rotate(turn, Image.Resampling.BILINEAR)) > 127
  picture = np.full((size, size, 3), 190, np.uint8)
  picture[:] += np.linspace(0, 25, size).astype(np.uint8)[:, None]
  picture[solid] = color
  return picture


def to_png(pixels):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "PNG")
  return file.getvalue()


@contextlib.contextmanager
def standing_in():
  """Uses the stand-in for the encoder and for the photographs it makes."""
  stand_in = SilhouetteEncoder()

  def embed_probes(meshes, encoder, *, count=1, seed=0):
    del seed, encoder
    views = np.stack(
      [_to_vectors(draw_outlines(mesh))[:count] for mesh in meshes]
    )
    return np.repeat(views[:, :, None], TURNS, axis=2)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(encoder, "load_encoder", lambda: stand_in)
    patch.setattr(probe, "embed_probes", embed_probes)
    yield stand_in


def _to_vectors(images):
  flat = images.reshape(len(images), -1).astype(np.float32) - 0.5
  return flat / np.linalg.norm(flat, axis=1, keepdims=True)
