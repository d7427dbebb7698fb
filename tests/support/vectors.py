"""Unit vectors, and the engines that can hold them."""

import importlib.util
from typing import get_args

import numpy as np
import pytest

from dr3d.index.engine import Engine

needs_scann = pytest.mark.skipif(
  importlib.util.find_spec("scann") is None, reason="ScaNN has no wheel here"
)


needs_milvus = pytest.mark.skipif(
  importlib.util.find_spec("milvus_lite") is None,
  reason="pip install 'dr3d[milvus]'",
)


def engines():
  """All engines, as parameters of a test; see `locate_engine`."""
  marks = {"scann": needs_scann, "milvus": needs_milvus}
  return [
    pytest.param(name, marks=marks[name]) if name in marks else name
    for name in (*get_args(Engine), "milvus")
  ]


def locate_engine(name, directory):
  """The engine as `build_index` takes it; Milvus gets a file of its own."""
  return f"milvus:{directory / 'milvus.db'}" if name == "milvus" else name


def unit(vectors):
  vectors = np.asarray(vectors, np.float64)
  length = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return (vectors / length).astype(np.float32)


def clusters(seed, *, count, size=16, spread=0.3, groups=40):
  rng = np.random.default_rng(seed)
  centers = rng.normal(size=(groups, size))
  noise = spread * rng.normal(size=(count, size))
  return unit(centers[rng.integers(groups, size=count)] + noise)


def sort_all(vectors, query):
  """Independent oracle: plain Python, one pair at a time."""
  cosine = [
    sum(float(a) * float(b) for a, b in zip(vector, query, strict=True))
    for vector in vectors
  ]
  ids = sorted(range(len(vectors)), key=lambda i: (-np.float32(cosine[i]), i))
  return ids, [cosine[i] for i in ids]
