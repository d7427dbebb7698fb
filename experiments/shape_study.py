"""Search, generation, refinement and dreams of a shape model, as tables.

As in `experiments.shape_measure`: `B` test shapes, `T` training shapes.
"""

import pathlib
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

from dr3d.evaluation.generation import coverage, minimum_matching_distance
from dr3d.evaluation.reconstruction import chamfer_distance
from dr3d.shape import output
from dr3d.shape.dataset import ShapeSet, sample_surface
from dr3d.shape.isosurface import find_surface, sample_dense, sample_refined
from dr3d.shape.model import ShapeModel, interpolate
from experiments.shape_measure import (
  GRID,
  decode_shape,
  format_row,
  interval,
  lift_all,
  mesh_of,
  start_table,
)

_SAMPLES = 200
_DREAMS = 12
_SHOWN = 4  # pictures of a training shape; examples below each dream
_SEED = 0


def measure_search(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  shapes: ShapeSet,
  out: pathlib.Path,
  *,
  fine: int,
) -> Iterator[str]:
  """Label of the first and the first five models found with a picture."""
  from dr3d.retrieval.pipeline import Pipeline
  from dr3d.shape.picture import draw_images

  pipeline = Pipeline.load()
  gallery = [mesh_of(train, i) for i in range(len(train))]
  features = pipeline.embed(gallery)
  named = [i for i, label in enumerate(test.labels) if label in train.labels]
  named = [i for i in named if test.labels[i] != "solid"]
  queries = test.take(named)
  size = pipeline.config.render.size
  images = draw_images(queries, size=size, views=1, seed=_SEED)
  codes, _ = lift_all(model, queries)
  lifted = [decode_shape(model, code) for code in codes]
  found = np.array([mesh is not None for mesh in lifted])
  vectors = np.zeros((len(queries), *features.shape[1:]), np.float32)
  vectors[found] = pipeline.embed([mesh for mesh in lifted if mesh is not None])
  direct = pipeline.embed_images(images)
  # A view of the picture or of the mesh votes for the most similar view.
  by_picture = np.einsum("qmd,bnd->qbmn", direct, features).max(-1).mean(-1)
  by_mesh = np.einsum("qnd,bnd->qbn", vectors, features).mean(-1)
  by_code = -np.linalg.norm(codes[:, None] - model.codes[None], axis=-1)
  # The mean of both similarities, each by its own spread.
  both = by_picture / by_picture.std() + by_mesh / by_mesh.std()
  yield f"{len(queries)} pictures, {found.sum()} lifted, gallery {len(train)}"
  yield ""
  yield start_table("query", "top 1", "top 5")
  labels = np.array(train.labels)
  for name, scores in (
    ("picture itself", by_picture),
    ("lifted mesh", by_mesh),
    ("code of the picture", by_code),
    ("picture and lifted mesh", both),
  ):
    order = labels[np.argsort(-scores, axis=1)[:, :5]]
    hit = order == np.array(queries.labels)[:, None]
    yield format_row(name, interval(hit[:, 0]), interval(hit.any(axis=1)))


def measure_generation(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  shapes: ShapeSet,
  out: pathlib.Path,
  *,
  fine: int,
) -> Iterator[str]:
  """Coverage and minimum matching distance of samples and of rivals."""
  from dr3d.shape.generator import sample_codes

  made = sample_codes(model, _SAMPLES, seed=_SEED)
  rng = np.random.default_rng(_SEED)
  mean, deviation = model.codes.mean(axis=0), model.codes.std(axis=0)
  rivals = {
    "generator": made,
    "Gaussian of the codes": rng.normal(mean, deviation, made.shape).clip(0, 1),
  }
  yield start_table(
    f"{_SAMPLES} samples", "with a surface", "coverage", "matching distance"
  )
  clouds = {name: _points_of(model, codes) for name, codes in rivals.items()}
  real = [p[:256] for p in test.points]
  chosen = rng.choice(len(train), min(_SAMPLES, len(train)), replace=False)
  clouds["training shapes"] = [train.points[i, :256] for i in chosen]
  for name, points in clouds.items():
    distances = np.array(
      [[chamfer_distance(p, q) for q in real] for p in points]
    )
    yield format_row(
      name,
      len(points),
      f"{coverage(distances):.3f}",
      f"{minimum_matching_distance(distances):.5f}",
    )
  meshes = [
    m for m in (decode_shape(model, c) for c in made[:20]) if m is not None
  ]
  output.draw_sheet(meshes, out / "samples.png", rows_of=2, views=3)
  pairs = [(0, len(train) // 3), (len(train) // 5, 2 * len(train) // 3)]
  rows = []
  for i, j in pairs:
    path = interpolate(model.codes[i], model.codes[j])
    steps = [model.codes[j], *path, model.codes[i]]
    rows += [
      m for m in (decode_shape(model, c) for c in steps) if m is not None
    ]
  output.draw_sheet(rows, out / "interpolation.png", rows_of=5, views=1)


def measure_refinement(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  shapes: ShapeSet,
  out: pathlib.Path,
  *,
  fine: int,
) -> Iterator[str]:
  """Time and result of 256³ by refinement and by the dense grid."""
  field = model.field(model.encode_voxels(test.voxels[:1])[0])
  field(np.zeros((40_000, 3), np.float32))  # compiles
  yield start_table("grid 256³", "s", "points", "vertices")
  surfaces = []
  for name, sample in (("refined", sample_refined), ("dense", sample_dense)):
    counts: list[int] = []

    def counted(points: np.ndarray, counts: list[int] = counts) -> np.ndarray:
      counts.append(len(points))
      return field(points)

    start = time.perf_counter()
    values = sample(counted, resolution=256)
    seconds = time.perf_counter() - start
    surfaces.append(find_surface(values))
    yield format_row(name, f"{seconds:.1f}", sum(counts), len(surfaces[-1][0]))
  same = len(surfaces[0][0]) == len(surfaces[1][0]) and np.allclose(
    surfaces[0][0], surfaces[1][0], atol=1e-6
  )
  yield f"\nequal surfaces: {same}"


def measure_dream(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  shapes: ShapeSet,
  out: pathlib.Path,
  *,
  fine: int,
) -> Iterator[str]:
  """Pictures that raise a number of the code, and real ones that have it."""
  from dr3d.shape.dream import maximize_activations
  from dr3d.shape.picture import crop, draw_pictures

  config = model.config.picture
  assert config is not None
  # A number that an empty picture raises already would not change it.
  empty = model.encode_pictures(np.zeros((1, config.size, config.size)))[0]
  spread = np.where(empty < 0.5, model.codes.std(axis=0), 0)
  units = np.argsort(-spread)[:_DREAMS]
  dreams = maximize_activations(model, units)
  drawn = draw_pictures(
    train, size=config.size + config.margin, views=_SHOWN, seed=_SEED
  )
  size = config.size + config.margin
  pictures = crop(drawn.reshape(-1, size, size), size=config.size, rng=None)
  values = model.encode_pictures(pictures)[:, units]
  # One picture of a shape at most, so that the examples differ.
  best = values.reshape(len(train), _SHOWN, -1)
  winners = np.argsort(-best.max(axis=1), axis=0)[:_SHOWN]
  views = best.argmax(axis=1)
  rows = [dreams]
  for chosen in winners:
    index = chosen * _SHOWN + views[chosen, np.arange(_DREAMS)]
    rows.append(pictures[index])
  sheet = np.stack(rows).transpose(0, 2, 1, 3)
  grey = 255 * (1 - sheet.reshape(-1, _DREAMS * config.size))
  image = Image.fromarray(grey.astype(np.uint8))
  image.resize((2 * image.width, 2 * image.height)).save(out / "dream.png")

  def read(shown: np.ndarray) -> float:
    return model.encode_pictures(shown)[np.arange(_DREAMS), units].mean()

  yield (
    f"{(empty >= 0.5).sum()} of {len(empty)} numbers are above ½ for an empty"
    f" picture. {_DREAMS} others with the greatest spread: mean"
    f" {empty[units].mean():.3f} of an empty picture,"
    f" {values.mean():.3f} of {len(pictures)} pictures of training shapes,"
    f" {values.max(axis=0).mean():.3f} of the best one of each,"
    f" {read(dreams):.3f} of the dream, {read(np.roll(dreams, 4, axis=2)):.3f}"
    " of the dream shifted by 4 pixels"
  )


def _points_of(model: ShapeModel, codes: np.ndarray) -> list[np.ndarray]:
  """Points of the surfaces of codes in the cube, where there is one."""
  points = []
  for code in codes:
    values = sample_refined(model.field(code), resolution=GRID)
    if values.max() > 0:
      surface = find_surface(values)
      points.append(sample_surface(*surface, count=256, seed=_SEED)[0])
  return points
