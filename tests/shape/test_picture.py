import dataclasses

import numpy as np
import trimesh
from support.shapes import make_model

from dr3d.mesh import make_mesh
from dr3d.render.config import RenderConfig
from dr3d.shape.config import PictureConfig
from dr3d.shape.dataset import load_set, make_set, save_set
from dr3d.shape.dream import DreamConfig, maximize_activations
from dr3d.shape.lift import lift, render_codes
from dr3d.shape.model import ShapeModel
from dr3d.shape.picture import (
  crop,
  draw_pictures,
  level,
  train_pictures,
)
from dr3d.training.log import read_rows
from dr3d.training.loop import LoopConfig

CONFIG = PictureConfig(
  size=32,
  margin=4,
  widths=(8, 16, 16, 32),
  views=4,
  batch=8,
  rate=3e-3,
  loop=LoopConfig(steps=40),
)


def make_shapes():
  boxes = [(8, 7, 2), (3, 3, 8)]
  meshes = [trimesh.creation.box(sides) for sides in boxes]
  return make_set(
    (f"box {i}", "box", "train", make_mesh(mesh.vertices, mesh.faces))
    for i, mesh in enumerate(meshes)
  )


def test_set_survives_the_disk(tmp_path):
  shapes = make_shapes()
  save_set(shapes, tmp_path / "set.npz")
  again = load_set(tmp_path / "set.npz")
  np.testing.assert_array_equal(again.voxels, shapes.voxels)
  np.testing.assert_allclose(again.points, shapes.points, atol=1e-3)
  assert again.names == shapes.names
  assert len(again.split("train")) == 2


def test_pictures_show_the_object_dark_to_the_border_of_the_picture():
  pictures = draw_pictures(make_shapes(), size=36, views=4, seed=0)
  assert pictures.shape == (2, 4, 36, 36)
  shown = pictures > 20
  assert (shown.mean((2, 3)) > 0.1).all()
  assert not shown[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].any()
  spans = shown.any(3).sum(2), shown.any(2).sum(2)
  assert (np.maximum(*spans) > 28).all()


def test_crop_of_the_middle_and_equal_brightness():
  picture = np.zeros((1, 8, 8), np.uint8)
  picture[0, 3:5, 3:5] = 51
  cut = crop(picture, size=4, rng=None)
  expected = np.zeros((1, 4, 4))
  expected[0, 1:3, 1:3] = 0.5
  np.testing.assert_allclose(cut, expected)
  dark = np.float32([[[0, 0.1], [0.2, 0.3]]])
  np.testing.assert_allclose(level(2 * dark), level(dark), rtol=1e-6)
  rng = np.random.default_rng(0)
  many = crop(np.repeat(picture, 40, 0), size=4, rng=rng)
  assert len(np.unique(many.reshape(40, -1), axis=0)) > 5


def test_trained_encoder_lifts_a_photograph_the_same_each_time(tmp_path):
  shapes, model = make_shapes(), make_model()
  trained = train_pictures(
    model, shapes, config=CONFIG, workdir=tmp_path, progress=False
  )
  losses = [row["loss"] for row in read_rows(tmp_path / "log.jsonl")]
  assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])

  photo = np.full((60, 90, 4), 255, np.uint8)
  photo[20:40, 10:80, :3] = 60
  lifted = lift(trained, photo, resolution=32)
  assert 0 <= lifted.confidence <= 1
  assert lifted.mesh.face_count > 12
  assert lifted.picture.shape == (32, 32)
  again = lift(trained, photo, resolution=32)
  assert again.confidence == lifted.confidence


def test_dream_raises_its_number_and_shifted_copies_do(optimized):
  model = ShapeModel.load()  # a tiny encoder hardly reacts to any picture
  units = np.argsort(-model.codes.std(axis=0))[:2].tolist()
  config = DreamConfig(steps=20, octaves=(8, 16))
  dreams = maximize_activations(model, units, config=config)
  assert dreams.shape == (2, 64, 64)
  assert dreams.dtype == np.float32
  for unit, dream in zip(units, dreams, strict=True):
    even = np.full_like(dream, dream.mean())
    shifted = np.roll(dream, (3, -2), axis=(0, 1))
    after, moved, before = model.encode_pictures(
      np.stack([dream, shifted, even])
    )[:, unit]
    assert min(after, moved) > before


def test_codes_are_drawn_as_their_meshes(tmp_path):
  model = make_model()
  config = RenderConfig(size=16)
  renderer = render_codes(model, model.codes, config=config, resolution=32)
  assert renderer.triangles.corners.shape == (2, 1024, 3, 3)
  mesh = model.decode(model.codes[0], resolution=32, face_budget=1024)
  turned = mesh.vertices @ mesh.frame.T
  drawn = renderer.triangles.corners[0].reshape(-1, 3)
  np.testing.assert_allclose(drawn.min(0), turned.min(0), atol=1e-5)
  assert dataclasses.replace(config) == renderer.config
