"""Training pairs: features of scenes and queries, computed once.

The trunk is fixed, so every scene and every cut-out passes through it once.

`N` scenes, `Q` cut-outs, `B` pairs of a batch, `H W` pixels of a scene.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.locate.dataset import ExpandedSet, list_queries
from dr3d.locate.feature import extract, extract_query
from dr3d.locate.network import Features, QueryFeatures
from dr3d.locate.query import frame_cutout
from dr3d.runtime.atomic import atomic_directory

CHUNK = 16  # pictures that pass through the trunk together
MASK_STRIDE = 4
BOX_STRIDE = 8
BOX_UNIT = 16  # pixels
ROLLED_SHARE = 0.25  # of a batch are scenes asked for another scene's target


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
  """B pairs with their targets [0071].

  Attributes:
    query: features of the queries.
    medium: features of the scenes.
    mask: `[B, H / 4, W / 4]`, the target's share of each cell.
    box: `[B, H / 8, W / 8, 4]` distances to left, top, right and bottom of the
      box of the instance that a cell shows, in cells of 16 pixels.
    inside: `[B, H / 8, W / 8]`, whether a cell shows an instance.
    weight: `[B]`, 0 for a pair that does not count.
  """

  query: QueryFeatures
  medium: Features
  mask: Any
  box: Any
  inside: Any
  weight: Any


class FeatureStore:
  """Features of a whole `ExpandedSet`, in half precision in memory."""

  def __init__(
    self,
    data: ExpandedSet,
    trunk: Any,
    *,
    cache: pathlib.Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
  ):
    """Computes the features.

    Args:
      data: the set. It may have grown since the cache was written.
      trunk: variables of `Lite0Maps`.
      cache: folder that keeps the features of this set and trunk; None for
        none.
      progress: called with the pictures done and all.
    """
    self.data = data
    files = [record.file for record in data.cutouts]
    self.rows = {file: row for row, file in enumerate(files)}
    total = len(files) + len(data.scenes)
    self.query = _run_chunks(
      len(files),
      lambda rows: _query_chunk(data, trunk, [files[i] for i in rows]),
      lambda done: progress(done, total),
      cache=cache and cache / "query",
    )
    self.medium = _run_chunks(
      len(data.scenes),
      lambda rows: _medium_chunk(data, trunk, rows),
      lambda done: progress(len(files) + done, total),
      cache=cache and cache / "medium",
    )
    self.targets = [make_targets(data, i) for i in range(len(data.scenes))]
    models = sorted(data.by_model)
    number = {name: i for i, name in enumerate(models)}
    self.model = np.array([number[s.model] for s in data.scenes])
    self.queries = [
      [self.rows[view.file] for view in list_queries(data, s)]
      for s in data.scenes
    ]

  def take(self, scenes: np.ndarray, queries: np.ndarray) -> Batch:
    """Pairs scene i of `scenes` with cut-out i of `queries`, which it shows."""
    targets = [self.targets[i] for i in scenes]
    return Batch(
      query=_take(self.query, queries),
      medium=_take(self.medium, scenes),
      mask=np.stack([t[0] for t in targets]).astype(np.float32),
      box=np.stack([t[1] for t in targets]).astype(np.float32),
      inside=np.stack([t[2] for t in targets]).astype(np.float32),
      weight=np.ones(len(scenes), np.float32),
    )

  def draw(self, step: int, *, size: int, seed: int) -> Batch:
    """Returns the batch of a step: pairs, and pairs rolled by one [0063].

    Args:
      step: number of the step.
      size: B, with the rolled pairs.
      seed: of the run.
    """
    rng = np.random.default_rng([seed, step])
    rolled = int(ROLLED_SHARE * size)
    plain = size - rolled
    scenes = rng.integers(len(self.model), size=plain)
    queries = np.array(
      [self.queries[i][rng.integers(len(self.queries[i]))] for i in scenes]
    )
    other = np.roll(np.arange(plain), 1)[:rolled]
    batch = self.take(
      np.concatenate([scenes, scenes[:rolled]]),
      np.concatenate([queries, queries[other]]),
    )
    batch.mask[plain:] = 0
    batch.inside[plain:] = 0
    same = self.model[scenes[:rolled]] == self.model[scenes[other]]
    batch.weight[plain:] = ~same
    return batch


def make_targets(
  data: ExpandedSet, index: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Fine mask, box distances and the cells that they are of, see `Batch`."""
  record = data.scenes[index]
  _, numbers = data.read_scene(record)
  H, W = numbers.shape
  cells = numbers.reshape(
    H // MASK_STRIDE, MASK_STRIDE, W // MASK_STRIDE, MASK_STRIDE
  )
  mask = (cells > 0).mean(axis=(1, 3)).astype(np.float16)
  middle = BOX_STRIDE // 2
  shown = numbers[middle::BOX_STRIDE, middle::BOX_STRIDE]
  y, x = np.mgrid[middle:H:BOX_STRIDE, middle:W:BOX_STRIDE]
  box = np.zeros((*shown.shape, 4), np.float16)
  for i, (left, top, width, height) in enumerate(record.boxes, start=1):
    sides = np.stack(
      [x - left, y - top, left + width - x, top + height - y], axis=-1
    )
    box = np.where((shown == i)[..., None], sides / BOX_UNIT, box)
  return mask, box.astype(np.float16), (shown > 0).astype(np.float16)


def _query_chunk(data: ExpandedSet, trunk: Any, files: list[str]) -> Any:
  framed = [frame_cutout(data.read_cutout(file)) for file in files]
  images = jnp.asarray(np.stack([query.image for query in framed]))
  masks = jnp.asarray(np.stack([query.mask for query in framed]))
  return extract_query(trunk, images, masks)


def _medium_chunk(data: ExpandedSet, trunk: Any, rows: list[int]) -> Any:
  images = [data.read_scene(data.scenes[i])[0] for i in rows]
  return extract(trunk, jnp.asarray(np.stack(images), jnp.float32) / 255)


def _run_chunks(
  count: int,
  call: Callable[[list[int]], Any],
  progress: Callable[[int], None],
  *,
  cache: pathlib.Path | None,
) -> Any:
  """Concatenates a call's trees over chunks, in half precision.

  The last chunk repeats its last row, so that one program serves all.

  Args:
    count: rows.
    call: numbers of rows to their features.
    progress: called with the rows done.
    cache: folder of one array for each leaf; missing rows are added to it.
  """
  result: Any = None
  start = 0
  while start < count or result is None:
    rows = list(range(start, min(start + CHUNK, count)))
    padded = rows + [rows[-1] if rows else 0] * (CHUNK - len(rows))
    if result is None and cache is not None and cache.exists():
      shapes = jax.eval_shape(functools.partial(call, padded))
      result, start = _read_cache(cache, shapes, count)
      continue
    part = jax.tree.map(np.asarray, call(padded))
    if result is None:
      result = jax.tree.map(
        lambda x: np.zeros((count, *x.shape[1:]), np.float16), part
      )
    start += len(rows)
    for whole, piece in zip(
      jax.tree.leaves(result), jax.tree.leaves(part), strict=True
    ):
      whole[rows] = piece[: len(rows)]
    progress(start)
  if cache is not None:
    cache.parent.mkdir(exist_ok=True)
    with atomic_directory(cache) as partial:
      for number, leaf in enumerate(jax.tree.leaves(result)):
        np.save(partial / f"{number}.npy", leaf)
  return result


def _read_cache(
  cache: pathlib.Path, shapes: Any, count: int
) -> tuple[Any, int]:
  """Arrays of `count` rows, the first of which are kept, and their number."""
  leaves, structure = jax.tree.flatten(shapes)
  kept = [np.load(cache / f"{i}.npy") for i in range(len(leaves))]
  known = min(len(kept[0]), count)
  whole = [np.zeros((count, *x.shape[1:]), np.float16) for x in kept]
  for new, old in zip(whole, kept, strict=True):
    new[:known] = old[:known]
  return jax.tree.unflatten(structure, whole), known


def _take(tree: Any, rows: np.ndarray) -> Any:
  return jax.tree.map(lambda x: x[rows].astype(np.float32), tree)
