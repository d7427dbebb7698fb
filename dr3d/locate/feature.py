"""The trunk: pictures to features, which no training here changes.

Both generators of representations [0035-0036] share it: EfficientNet-Lite0 with
what ImageNet has taught it, up to stride 16.

`I` images, `B` queries, `H W` pixels, `S` pixels of a query's picture.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from dr3d.locate.network import CELL, QUERY_SIZES, Features, QueryFeatures
from dr3d.locate.query import BLANK, Query
from dr3d.nn.lite0 import Lite0Maps

Array = jax.Array


def load_trunk() -> Any:
  """Returns the variables of `Lite0Maps` from the full pipeline that ships."""
  from dr3d.retrieval.pipeline import PRETRAINED_FULL, Pipeline

  weights = Pipeline.load(PRETRAINED_FULL).weights["params"]
  return select_trunk(weights["large"]["lite0"])


def select_trunk(lite0: Any) -> Any:
  """Keeps those variables of `Lite0` that `Lite0Maps` has."""
  image = jax.ShapeDtypeStruct((1, CELL, CELL, 3), jnp.float32)
  shapes = jax.eval_shape(Lite0Maps().init, jax.random.key(0), image)
  return {"params": {name: lite0[name] for name in shapes["params"]}}


@jax.jit
def extract(trunk: Any, images: Array) -> Features:
  """Maps images to features.

  Args:
    trunk: variables of `Lite0Maps`.
    images: `[I, H, W, 3]` in [0, 1]; sides are multiples of `CELL`.

  Returns:
    Stride to `[I, H / stride, W / stride, C]`.
  """
  return cast(Features, Lite0Maps().apply(trunk, images))


@jax.jit
def extract_query(trunk: Any, images: Array, masks: Array) -> QueryFeatures:
  """Maps canonical pictures to features of two scales.

  Args:
    trunk: variables of `Lite0Maps`.
    images: `[B, S, S, 3]`.
    masks: `[B, S, S]`.
  """
  maps, shares = {}, {}
  for size in QUERY_SIZES:
    times = images.shape[1] // size
    small = pool(images, times)
    found = extract(trunk, small)
    maps[size] = {stride: found[stride] for stride in (8, 16)}
    shares[size] = {
      stride: pool(masks[..., None], times * stride)[..., 0]
      for stride in (8, 16)
    }
  return QueryFeatures(maps, shares)


def embed_queries(trunk: Any, queries: Sequence[Query]) -> QueryFeatures:
  """Features of several queries, B of them."""
  images = np.stack([query.image for query in queries])
  masks = np.stack([query.mask for query in queries])
  return extract_query(trunk, jnp.asarray(images), jnp.asarray(masks))


@functools.partial(jax.jit, static_argnums=1)
def pool(x: Array, times: int) -> Array:
  """Means of cells of `times` pixels: `[B, H, W, C]` to a smaller picture."""
  B, H, W, C = x.shape
  cells = (B, H // times, times, W // times, times, C)
  return jnp.mean(x.reshape(cells), axis=(2, 4))


def pad_picture(image: np.ndarray, multiple: int = CELL) -> np.ndarray:
  """Adds grey below and at the right until sides are multiples of a number.

  Args:
    image: float32 `[H, W, 3]`.
    multiple: of both sides.
  """
  height, width = image.shape[:2]
  missing = ((0, -height % multiple), (0, -width % multiple), (0, 0))
  return np.pad(image, missing, constant_values=BLANK)
