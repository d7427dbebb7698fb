"""Times nearest-neighbour search beside numpy and faiss.

    python -m experiments.benchmark_index --size=10000,100000,1000000

The vectors have 128 dimensions. They are random, or clustered like those of a
trained network: models form classes, and each model has twelve similar views.
Each row is measured in its own process on one thread. Columns: share of the ten
true neighbours that are found; queries per second of CPU time, one at a time
and 256 at once; CPU seconds to build the index; memory of building and
searching beyond the vectors, MiB.

`dr3d` is `dr3d.index`, which validates, ranks in float64 and never
returns padding. `product` is a matrix product and a partition in numpy. faiss
is timed if it is installed; it probes the same share of lists as ScaNN. With a
million vectors each process stays below 3 GiB.
"""

import functools
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from absl import app, flags

from dr3d.evaluation.report.table import format_table
from dr3d.index.engine import Engine, build_index

METHODS = ("dr3d exact", "dr3d scann", "product", "faiss flat", "faiss ivf")

SIZE = flags.DEFINE_list("size", ["10000", "100000"], "Counts of vectors.")
KIND = flags.DEFINE_list(
  "kind", ["clustered", "random"], "Distribution of the vectors."
)
METHOD = flags.DEFINE_list("method", list(METHODS), "Methods to time.")
ROW = flags.DEFINE_string("row", None, "Measure only this row; prints JSON.")
JSON = flags.DEFINE_bool(
  "json", False, "Print a line of JSON for each row instead."
)

D = 128
K = 10
VIEWS = 12
QUERIES = 256
PROBED_SHARE = 0.1  # of faiss's lists, the same as ScaNN's in dr3d
_PRODUCTS_AT_ONCE = 1 << 25  # float32, 128 MiB
_VECTORS_AT_ONCE = 12 * 10_000
HEADER = ("vectors", "kind", "method", "recall@10", "q/s 1", "q/s 256",
          "build s", "MiB")  # fmt: skip

Search = Callable[[np.ndarray], np.ndarray]


def main(argv: list[str]) -> None:
  del argv
  if ROW.value:
    size, kind, method = json.loads(ROW.value)
    print(json.dumps(measure(size, kind, method)))
    return
  rows = [
    (size, kind, method)
    for size in map(int, SIZE.value)
    for kind in KIND.value
    for method in METHOD.value
  ]
  found = []
  for size, kind, method in rows:
    found.append((size, kind, method, run([size, kind, method])))
    print(f"{len(found)} of {len(rows)} rows", file=sys.stderr, flush=True)
    if JSON.value:
      print(json.dumps(found[-1]), flush=True)
  if not JSON.value:
    cells = [format_row(*row) for row in found]
    print(format_table(HEADER, cells, right=(0, 3, 4, 5, 6, 7)))


def format_row(
  size: int, kind: str, method: str, row: dict | None
) -> tuple[str, ...]:
  """Cells of the table."""
  if row is None:
    return (str(size), kind, method, *("-",) * 5)
  return (
    str(size),
    kind,
    method,
    f"{row['recall']:.3f}",
    f"{row['single']:.0f}",
    f"{row['batched']:.0f}",
    f"{row['build']:.1f}",
    f"{row['memory']:.0f}",
  )


def run(row: list) -> dict | None:
  """Measures one row in a new process; returns None if that fails."""
  threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
  result = subprocess.run(
    [
      *(sys.executable, "-m", "experiments.benchmark_index"),
      f"--row={json.dumps(row)}",
    ],
    env={**os.environ, **dict.fromkeys(threads, "1")},
    capture_output=True,
    text=True,
    check=False,
  )
  if result.returncode:
    print(f"{row}: {result.stderr.strip()[-200:]}", file=sys.stderr)
    return None
  return json.loads(result.stdout.splitlines()[-1])


def measure(size: int, kind: str, method: str) -> dict:
  """Builds and searches an index; compares the hits with the truth."""
  vectors, queries = make_vectors(size, kind)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  begin = time.process_time()
  search = build(vectors, method)
  seconds = time.process_time() - begin
  found = search(queries)
  memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  truth = search_by_product(vectors, queries)
  hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
  return {
    "recall": float(np.mean(hits) / K),
    "single": rate(lambda: [search(q[None]) for q in queries[:32]], 32),
    "batched": rate(lambda: search(queries), len(queries)),
    "build": seconds,
    "memory": memory / 1024,
  }


def build(vectors: np.ndarray, method: str) -> Search:
  """Returns a function: queries [Q, D] → ids [Q, K]."""
  if method.startswith("dr3d"):
    index = build_index(vectors, engine=cast(Engine, method.split()[1]))
    return lambda queries: index.search(queries, K).ids
  if method == "product":
    return functools.partial(search_by_product, vectors)
  import faiss

  other: Any = faiss.IndexFlatIP(D)
  if method == "faiss ivf":
    lists = math.isqrt(len(vectors))
    other = faiss.IndexIVFFlat(other, D, lists, faiss.METRIC_INNER_PRODUCT)
    other.train(vectors)
    other.nprobe = math.ceil(PROBED_SHARE * lists)
  other.add(vectors)
  return lambda queries: other.search(queries, K)[1]


def search_by_product(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
  """Returns rows [Q, K] of the largest products, in blocks that fit memory."""
  found = []
  block = max(1, _PRODUCTS_AT_ONCE // len(vectors))
  for start in range(0, len(queries), block):
    cosine = queries[start : start + block] @ vectors.T
    found.append(np.argpartition(-cosine, K, axis=1)[:, :K])
  return np.concatenate(found)


def rate(function: Callable, count: int) -> float:
  """Queries per second of CPU time, the median of five calls."""
  seconds = []
  for _ in range(5):
    begin = time.process_time()
    function()
    seconds.append(time.process_time() - begin)
  return count / float(np.median(seconds))


def make_vectors(size: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns unit vectors [size, D] and queries [QUERIES, D] of the same kind.

  A query is another view of a stored model, or random.
  """
  rng = np.random.default_rng(0)
  models = -(-size // VIEWS)
  shape = np.zeros((models, D), np.float32)
  spread = 1.0
  if kind == "clustered":
    classes = rng.standard_normal((max(8, models // 40), D), np.float32)
    shape += classes[rng.integers(len(classes), size=models)]
    shape += 0.5 * rng.standard_normal(shape.shape, np.float32)
    spread = 0.5

  def draw(chosen: np.ndarray) -> np.ndarray:
    noise = rng.standard_normal((len(chosen), D), np.float32)
    views = shape[chosen] + np.float32(spread) * noise
    return views / np.linalg.norm(views, axis=1, keepdims=True)

  queries = draw(rng.integers(models, size=QUERIES))
  vectors = np.empty((size, D), np.float32)
  for start in range(
    0, size, _VECTORS_AT_ONCE
  ):  # so that memory does not peak here
    rows = np.arange(start, min(start + _VECTORS_AT_ONCE, size))
    vectors[rows] = draw(rows // VIEWS)
  return vectors, queries


if __name__ == "__main__":
  app.run(main)
