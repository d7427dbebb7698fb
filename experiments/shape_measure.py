"""Tables of a shape model's quality; `experiments.shape_evaluate` prints them.

`B` test shapes, `T` training shapes, `R` voxels along an axis.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.stats

from dr3d.evaluation.reconstruction import (
  light_field_distance,
  score_occupancy,
  score_surface,
)
from dr3d.mesh import Mesh, make_mesh
from dr3d.shape import output
from dr3d.shape.dataset import ShapeSet, sample_surface
from dr3d.shape.isosurface import find_surface
from dr3d.shape.lift import agreement
from dr3d.shape.model import ShapeModel
from dr3d.shape.voxel import RESOLUTION, place_mesh, shrink_voxels

GRID = 32
_RIVALS = ("mean of class", "nearest by code", "best training")
_MEASURES = {
  "squared error": 4,
  "precision": 3,
  "recall": 3,
  "F1": 3,
  "IoU": 3,
  "Chamfer": 5,
  "normal": 3,
  "unsigned": 3,
  "light field": 1,
}
"""Columns at 64³, with the digits that are printed."""
_SEED = 0


def start_table(*names: str) -> str:
  """The first two lines of a table of Markdown."""
  return f"{format_row(*names)}\n{'|---' * len(names)}|"


def format_row(*cells: str | int) -> str:
  """A line of a table of Markdown."""
  return f"| {' | '.join(map(str, cells))} |"


def choose(shapes: ShapeSet, count: int) -> ShapeSet:
  """Returns shapes that are spread evenly over the set, in its order."""
  if len(shapes) <= count:
    return shapes
  return shapes.take(np.linspace(0, len(shapes) - 1, count).astype(int))


def overlap(one: np.ndarray, many: np.ndarray) -> np.ndarray:
  """IoU of voxels [R, R, R] with each of [T, R, R, R]."""
  flat, rows = one.reshape(-1), many.reshape(len(many), -1)
  both = rows[:, flat].sum(axis=1)
  return both / (flat.sum() + rows.sum(axis=1) - both)


def interval(values: Sequence[float]) -> str:
  """Mean and its 95 % interval, by 1 000 bootstrap samples."""
  numbers = np.asarray(values)
  rng = np.random.default_rng(_SEED)
  rows = rng.integers(0, len(numbers), (1000, len(numbers)))
  means = numbers[rows].mean(axis=1)
  low, high = np.percentile(means, [2.5, 97.5])
  return f"{numbers.mean():.3f} ({low:.3f}-{high:.3f})"


def find_groups(shapes: ShapeSet) -> dict[str, list[int]]:
  """Indices of the generated solids, standard parts and each foreign class."""
  groups: dict[str, list[int]] = {}
  for i, label in enumerate(shapes.labels):
    if shapes.splits[i] == "foreign":
      group = f"never seen: {label}"
    else:
      group = "generated solids" if label == "solid" else "standard parts"
    groups.setdefault(group, []).append(i)
  return groups


def measure_reconstruction(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  shapes: ShapeSet,
  out: pathlib.Path,
  *,
  fine: int,
) -> Iterator[str]:
  """IoU at 32³ of all, and all measures at 64³ of some."""
  yield start_table("shapes", "n", *_RIVALS, "decoded", "refined")
  yield from _compare_training(model, train)
  for split in (test, choose(shapes.split("foreign"), len(test) // 3)):
    for group, rows in find_groups(split).items():
      some = split.take(rows)
      codes = model.encode_voxels(some.voxels)
      refined = model.refine_voxels(codes, some.voxels)
      drawn = (
        [decode_grid(model, c) for c in each] for each in (codes, refined)
      )
      yield _tell_rivals(group, model, train, some, codes, *drawn)
  yield ""
  chosen = choose(test, fine)
  codes = model.encode_voxels(chosen.voxels)
  refined = model.refine_voxels(codes, chosen.voxels)
  yield from _score_fine(model, train, chosen, codes, refined=refined)
  meshes = [decode_shape(model, c) for c in refined]
  true = [_surface_of(voxels) for voxels in chosen.voxels]
  shown = [
    mesh
    for pair in zip(true, meshes, strict=True)
    if pair[1] is not None
    for mesh in pair
    if mesh is not None
  ]
  output.draw_sheet(shown[:20], out / "reconstruction.png", rows_of=2, views=3)


def measure_lifting(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  shapes: ShapeSet,
  out: pathlib.Path,
  *,
  fine: int,
) -> Iterator[str]:
  """One picture of each test shape, from a view of its own."""
  codes, pictures = lift_all(model, test)
  yield start_table("shapes", "n", *_RIVALS, "lifted")
  for group, rows in find_groups(test).items():
    decoded = [decode_grid(model, codes[i]) for i in rows]
    yield _tell_rivals(
      group, model, train, test.take(rows), codes[rows], decoded
    )
  yield ""
  chosen = np.linspace(0, len(test) - 1, fine).astype(int)
  yield from _score_fine(model, train, test.take(chosen), codes[chosen])
  lifted = [(decode_shape(model, codes[i]), pictures[i]) for i in chosen]
  shown = [(mesh, picture) for mesh, picture in lifted if mesh is not None]
  output.draw_sheet(
    [mesh for mesh, _ in shown],
    out / "lifting.png",
    pictures=[picture for _, picture in shown],
    rows_of=2,
  )
  yield from _judge_confidence(model, test, pictures, codes)


def _compare_training(model: ShapeModel, train: ShapeSet) -> Iterator[str]:
  chosen = choose(train, 30)
  codes = model.encode_voxels(chosen.voxels)
  true = shrink_voxels(chosen.voxels, resolution=GRID)
  cells = [
    interval(
      [
        overlap(decode_grid(model, c), v[None])[0]
        for c, v in zip(each, true, strict=True)
      ]
    )
    for each in (codes, model.refine_voxels(codes, chosen.voxels))
  ]
  yield format_row("training shapes", len(chosen), "", "", "", *cells)


def _tell_rivals(
  group: str,
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  codes: np.ndarray,
  *drawn: Sequence[np.ndarray],
) -> str:
  """A row of IoU at 32³: rivals from the training set, and what is drawn."""
  gallery = shrink_voxels(train.voxels, resolution=GRID)
  true = shrink_voxels(test.voxels, resolution=GRID)
  labels = np.array(train.labels)
  mean, nearest, best = [], [], []
  for label, voxels, code in zip(test.labels, true, codes, strict=True):
    scores = overlap(voxels, gallery)
    fellow = gallery[labels == label] if label in train.labels else gallery
    mean.append(overlap(voxels, (fellow.mean(axis=0) > 0.5)[None])[0])
    far = np.linalg.norm(model.codes - code, axis=1)
    nearest.append(scores[far.argmin()])
    best.append(scores.max())
  own = [
    [
      overlap(voxels, shape[None])[0]
      for voxels, shape in zip(true, each, strict=True)
    ]
    for each in drawn
  ]
  cells = map(interval, (mean, nearest, best, *own))
  return format_row(group, len(test), *cells)


def _score_fine(
  model: ShapeModel,
  train: ShapeSet,
  test: ShapeSet,
  codes: np.ndarray,
  *,
  refined: np.ndarray | None = None,
) -> Iterator[str]:
  """All measures at 64³ of what is decoded and of the nearest by code."""
  from dr3d.descriptor import lightfield

  yield start_table(f"{len(test)} shapes, 64³", *_MEASURES)
  drawn = {"decoded": codes}
  if refined is not None:
    drawn["refined"] = refined
  rows: dict[str, list[list[float]]] = {
    name: [] for name in (*drawn, "nearest by code")
  }
  for i, code in enumerate(codes):
    near = int(np.linalg.norm(model.codes - code, axis=1).argmin())
    truth = mesh_of(test, i)
    field = lightfield.describe(truth)[None]
    shapes: dict[str, tuple[np.ndarray, Mesh | None]] = {
      name: (
        model.decode_voxels(each[i], resolution=64),
        decode_shape(model, each[i]),
      )
      for name, each in drawn.items()
    }
    shapes["nearest by code"] = train.voxels[near], mesh_of(train, near)
    for name, (voxels, shape) in shapes.items():
      if shape is None:
        continue
      o = score_occupancy(voxels, test.voxels[i])
      points = sample_surface(
        place_mesh(shape, pose="file"), shape.faces, count=2048, seed=i
      )
      if name == "nearest by code":
        points = train.points[near], train.normals[near]
      s = score_surface(*points, test.points[i], test.normals[i])
      far = light_field_distance(lightfield.describe(shape)[None], field)
      rows[name].append(
        [*dataclasses.astuple(o), *dataclasses.astuple(s), float(far[0, 0])]
      )
  for name, values in rows.items():
    mean = np.mean(values, axis=0)
    digits = _MEASURES.values()
    yield format_row(
      name, *(f"{x:.{n}f}" for x, n in zip(mean, digits, strict=True))
    )


def lift_all(
  model: ShapeModel, shapes: ShapeSet
) -> tuple[np.ndarray, np.ndarray]:
  """Codes and pictures, one of each shape from a view of its own."""
  from dr3d.shape.picture import crop, draw_pictures

  config = model.config.picture
  assert config is not None
  size = config.size + config.margin
  large = draw_pictures(shapes, size=size, views=1, seed=1_000_000)[:, 0]
  pictures = crop(large, size=config.size, rng=None)
  return model.encode_pictures(pictures), pictures


def _judge_confidence(
  model: ShapeModel, test: ShapeSet, pictures: np.ndarray, codes: np.ndarray
) -> Iterator[str]:
  """Rank correlation of the confidence with the true IoU at 32³."""
  true = shrink_voxels(test.voxels, resolution=GRID)
  rows = np.linspace(0, len(test) - 1, min(len(test), 40)).astype(int)
  flipped = model.encode_pictures(pictures[rows][:, :, ::-1])
  shifted = model.encode_pictures(np.roll(pictures[rows], 2, axis=1))
  told, real = [], []
  for i, *others in zip(rows, flipped, shifted, strict=True):
    told.append(agreement(model, np.stack([codes[i], *others])))
    real.append(overlap(true[i], decode_grid(model, codes[i])[None])[0])
  found = scipy.stats.spearmanr(told, real)
  yield (
    f"\nconfidence: rank correlation with the IoU {found.statistic:.2f}"
    f" (p = {found.pvalue:.3f}, {len(rows)} pictures)"
  )


def decode_grid(model: ShapeModel, code: np.ndarray) -> np.ndarray:
  """Voxels of a code, bool [R, R, R], by the rule of the true ones.

  A voxel is full if any of its voxels of 64³ is. The decoder's values at the
  centres of coarse voxels would leave out what is thinner than a coarse one.
  """
  fine = model.decode_voxels(code, resolution=RESOLUTION)
  return shrink_voxels(fine, resolution=GRID)


def decode_shape(model: ShapeModel, code: np.ndarray) -> Mesh | None:
  from dr3d.error import MeshError

  try:
    return model.decode(code, face_budget=2048)
  except MeshError:
    return None


def _surface_of(voxels: np.ndarray) -> Mesh:
  return make_mesh(*find_surface(voxels.astype(np.float32), level=0.5))


def mesh_of(shapes: ShapeSet, index: int) -> Mesh:
  """The simplified mesh of a shape, from its triangles."""
  corners = shapes.corners[index].astype(np.float64)
  corners = corners[np.abs(corners).sum((1, 2)) > 0]
  faces = np.arange(3 * len(corners)).reshape(-1, 3)
  return make_mesh(corners.reshape(-1, 3), faces)
