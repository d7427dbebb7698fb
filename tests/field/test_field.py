"""A small field of balls: trained, resumed, fitted, sampled and meshed."""

import dataclasses

import jax
import numpy as np
import pytest
from support.system import interrupt_at, read_log

from dr3d.camera.view import make_views, ring_views, take_views
from dr3d.error import FieldError
from dr3d.field import train as train_lib
from dr3d.field.config import BatchConfig, FieldConfig, check_config
from dr3d.field.field import Field
from dr3d.field.fit import FitConfig, fit_codes
from dr3d.field.latent import fit_latents, walk
from dr3d.field.loss import hard_loss
from dr3d.field.picture import PictureSet, draw_pixels, find_near
from dr3d.field.surface import extract_surface, make_renderer
from dr3d.nn.radiance import NetworkConfig
from dr3d.render.config import RenderConfig

SIZE = 16
CONFIG = FieldConfig(
  network=NetworkConfig(
    latent=4, width=16, depth=2, degree=2, background=False
  ),
  batch=BatchConfig(pictures=4, pixels=64, samples=12),
  steps=120,
  rate=1e-2,
  code_rate=2e-2,
  size=SIZE,
  checkpoint_every=40,
  draw_every=1000,
)


def draw_balls(radii):
  """Pictures of red balls on white, each from another side."""
  views = make_views(ring_views(len(radii)), colored=False)
  half = np.tan(float(views.fov[0]) / 2)
  axis = ((np.arange(SIZE) + 0.5) * 2 / SIZE - 1) * half
  slope = axis**2 + axis[:, None] ** 2
  apart = 3 * np.sqrt(slope / (1 + slope))  # of a ray from the origin
  masks = np.float32([np.clip((r - apart) / 0.1 + 0.5, 0, 1) for r in radii])
  red = np.array([0.8, 0.1, 0.1])
  images = masks[..., None] * red + (1 - masks[..., None])
  return PictureSet(
    images=np.float32(images),
    masks=masks,
    seen=np.ones(masks.shape, bool),
    views=views,
    rows=np.arange(len(radii)),
    names=tuple(f"{r:g}" for r in radii),
  )


PICTURES = draw_balls([0.4, 0.5, 0.6, 0.7])


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("field")
  field = train_lib.train(
    PICTURES, config=CONFIG, workdir=workdir, progress=False
  )
  return workdir, field


def test_training_lowers_the_losses(complete):
  workdir, _ = complete
  rows = read_log(workdir)
  assert len(rows) == CONFIG.steps
  first, last = (
    np.mean([row["color"] + row["mask"] for row in part])
    for part in (rows[:5], rows[-5:])
  )
  assert last < 0.2 * first
  assert (workdir / rows[-1]["picture"]).exists()


def test_share_of_the_pixels_is_drawn_in_and_around_the_masks():
  near = find_near(PICTURES)
  assert near[PICTURES.masks > 0].all()
  # Two pixels more on each side of a ball.
  for mask, some in zip(PICTURES.masks, near, strict=True):
    row = len(mask) // 2
    assert some[row].sum() == min((mask[row] > 0).sum() + 4, SIZE)
  batch = draw_pixels(
    PICTURES, 3, count=4, pixels=200, seed=0, near=near, share=0.75
  )
  x, y = np.moveaxis(np.int64(batch.pixel), -1, 0)
  inside = near[batch.picture[:, None], y, x]
  assert inside[:, :150].all()
  anywhere = inside[:, 150:].mean(axis=1)
  expected = near[batch.picture].mean(axis=(1, 2))
  np.testing.assert_allclose(anywhere, expected, atol=0.25)
  with pytest.raises(ValueError, match="near must be"):
    check_config(dataclasses.replace(CONFIG, batch=BatchConfig(near=1.5)))


def test_without_masks_all_pixels_are_near():
  bare = dataclasses.replace(PICTURES, masks=None)
  assert find_near(bare).all()


def test_field_shows_a_ball_from_a_side_that_no_picture_shows(complete):
  _, field = complete
  views = take_views(PICTURES.views, np.array([2, 2, 2, 2]))
  _, alpha, _ = field.draw(field.codes, views)
  areas = (alpha > 0.5).sum((1, 2))
  true = (PICTURES.masks > 0.5).sum((1, 2))
  assert (np.diff(areas) > 0).all()
  np.testing.assert_allclose(areas, true, rtol=0.3)


def test_interrupted_run_resumes_to_the_same_field(
  complete, tmp_path, monkeypatch
):
  with monkeypatch.context() as patch:
    interrupt_at(patch, 50)
    with pytest.raises(KeyboardInterrupt):
      train_lib.train(PICTURES, config=CONFIG, workdir=tmp_path, progress=False)
  field = train_lib.train(
    PICTURES, config=CONFIG, workdir=tmp_path, progress=False
  )
  assert field.fingerprint == complete[1].fingerprint
  assert read_log(tmp_path) == read_log(complete[0])


def test_saved_field_draws_the_same(complete):
  workdir, field = complete
  loaded = Field.load(workdir)
  assert loaded.fingerprint == field.fingerprint
  assert loaded.config == CONFIG
  for one, two in zip(
    field.draw(field.codes, field.views),
    loaded.draw(loaded.codes, loaded.views),
    strict=True,
  ):
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_damaged_field_raises(complete, tmp_path):
  _, field = complete
  field.save(tmp_path / "field")
  with (tmp_path / "field" / "weights.msgpack").open("r+b") as file:
    file.seek(200)
    file.write(b"x")
  with pytest.raises(FieldError, match="is damaged"):
    Field.load(tmp_path)


def test_fit_of_a_new_ball_finds_its_size(complete):
  _, field = complete
  new = draw_balls([0.45, 0.65])
  fitted = fit_codes(field, new, config=FitConfig(steps=80, pixels=64))
  _, alpha, _ = field.draw(fitted.codes, new.views)
  areas = (alpha > 0.5).sum((1, 2))
  np.testing.assert_allclose(areas, (new.masks > 0.5).sum((1, 2)), rtol=0.25)


def test_fit_of_one_does_not_depend_on_the_others(complete):
  _, field = complete
  new = draw_balls([0.45, 0.65])
  config = FitConfig(steps=10, pixels=64)
  both = fit_codes(field, new, config=config)
  same = dataclasses.replace(
    new, images=np.float32(new.images * [[[[1]]], [[[0]]]])
  )
  other = fit_codes(field, same, config=config)
  np.testing.assert_allclose(both.codes[0], other.codes[0], atol=1e-4)
  assert np.abs(both.codes[1] - other.codes[1]).max() > 1e-3


def test_surface_is_a_ball(complete):
  _, field = complete
  vertices, _ = extract_surface(field, field.codes[2], grid=32, level=2.0)
  radius = np.linalg.norm(vertices, axis=1)
  assert abs(radius.mean() - 0.6) < 0.12
  assert radius.std() < 0.1


def test_surface_that_the_density_does_not_reach_raises(complete):
  _, field = complete
  with pytest.raises(FieldError, match="no surface at a density of 1e"):
    extract_surface(field, field.codes[0], grid=8, level=1e9)


def test_code_renders_at_the_views_of_a_pipeline(complete):
  _, field = complete
  volume = make_renderer(
    field,
    field.codes[:1],
    config=RenderConfig(size=SIZE, framing="object"),
    pose="principal",
    grid=24,
    level=2.0,
  )
  views = make_views(ring_views(2))
  images, usage = volume.render(views, budget=volume.fit_budget(views))
  alpha = np.asarray(images[0, ..., 3])
  # A ball that fills the image covers π/4 of it.
  assert abs((alpha > 0.5).mean() - np.pi / 4) < 0.15
  assert usage == ()


def test_samples_spread_with_the_truncation():
  rng = np.random.default_rng(0)
  table = rng.normal(size=(200, 3)) * [3, 1, 0.1] + [1, 2, 3]
  latents = fit_latents(table)
  np.testing.assert_allclose(latents.deviation, [3, 1, 0.1], rtol=0.15)
  full = latents.draw(4000)
  half = latents.draw(4000, truncation=0.5)
  np.testing.assert_allclose(full.std(0), table.std(0), rtol=0.1)
  np.testing.assert_allclose(half.std(0), full.std(0) / 2, rtol=1e-3)
  np.testing.assert_allclose(latents.draw(3, truncation=0), [latents.mean] * 3)


def test_walk_passes_its_codes():
  codes = np.float32([[0, 0], [1, 0], [1, 2]])
  steps = walk(codes, count=5)
  np.testing.assert_allclose(steps[[0, 2, 4]], codes)
  np.testing.assert_allclose(steps[3], [1, 1])


def test_hard_loss_has_the_range_of_the_text():
  found = hard_loss(np.array([0.0, 0.5, 1.0]))
  np.testing.assert_allclose(found, [-0.313, -0.193, -0.313], atol=1e-3)
  slope = jax.grad(hard_loss)(0.3)
  assert slope > 0  # towards 0
