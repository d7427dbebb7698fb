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
  interval,
  lift_all,
  mesh_of,
)

_SAMPLES = 200
_DREAMS = 12
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
  yield "| query | top 1 | top 5 |"
  yield "|---|---|---|"
  labels = np.array(train.labels)
  for name, scores in (
    ("picture itself", by_picture),
    ("lifted mesh", by_mesh),
    ("code of the picture", by_code),
    ("picture and lifted mesh", both),
  ):
    order = labels[np.argsort(-scores, axis=1)[:, :5]]
    hit = order == np.array(queries.labels)[:, None]
    yield f"| {name} | {interval(hit[:, 0])} | {interval(hit.any(axis=1))} |"


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
  yield "| 200 samples | with a surface | coverage | matching distance |"
  yield "|---|---|---|---|"
  clouds = {name: _points_of(model, codes) for name, codes in rivals.items()}
  real = [p[:256] for p in test.points]
  chosen = rng.choice(len(train), min(_SAMPLES, len(train)), replace=False)
  clouds["training shapes"] = [train.points[i, :256] for i in chosen]
  for name, points in clouds.items():
    distances = np.array(
      [[chamfer_distance(p, q) for q in real] for p in points]
    )
    yield (
      f"| {name} | {len(points)} | {coverage(distances):.3f} |"
      f" {minimum_matching_distance(distances):.5f} |"
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
  yield "| grid 256³ | s | points | vertices |"
  yield "|---|---|---|---|"
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
    yield f"| {name} | {seconds:.1f} | {sum(counts)} | {len(surfaces[-1][0])} |"
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
  """Pictures that make a number of the code as large as possible."""
  from dr3d.shape.picture import maximize_activation

  units = np.argsort(-model.codes.std(axis=0))[:_DREAMS]
  dreams = [maximize_activation(model, int(unit)) for unit in units]
  before = model.encode_pictures(np.full_like(dreams[:1], 0.5))[0, units]
  after = model.encode_pictures(np.stack(dreams))[np.arange(_DREAMS), units]
  rows = np.reshape(dreams, (2, -1, *dreams[0].shape)).transpose(0, 2, 1, 3)
  sheet = np.uint8(255 * (1 - rows.reshape(2 * len(dreams[0]), -1)))
  image = Image.fromarray(sheet)
  image.resize((2 * image.width, 2 * image.height)).save(out / "dream.png")
  yield (
    f"{_DREAMS} numbers of the code with the greatest spread: mean"
    f" {before.mean():.3f} of an even grey, {after.mean():.3f} at the end"
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
