"""Measures a query of many models: two stages beside other engines.

    python -m experiments.benchmark_scale --models=10000,100000,1000000 \
        --dir=work/scale

A model has 12 vectors of 128 numbers, in a file that is made here and removed
afterwards: 6.1 GB for a million. `classes` draws classes of 40 models, each of
which has views that differ. `copies` repeats the models of a database
(--database=parts.db) with noise, so that hundreds of near copies compete for
the first ten. The 32 queries are further models of the same kind.

Each row is measured in a process of its own on one thread. Columns: share of
the true first ten by the view-aligned score that are among the first ten, and
among the proposed models; CPU milliseconds of a query, from its 12 vectors to
ranked candidates with votes, the median; seconds to build; memory of building
and of searching, MiB.

All engines but `exact` propose 640 models by one short vector, 384 numbers, and
are rescored alike. `views` is the look-up of all 12 vectors of each model. What
an engine cannot do within --limit GiB is left out. faiss has 64 bytes of a
product quantiser and takes 2560 by it, then compares the short vectors. milvus
is milvus-lite.
"""

import dataclasses
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags

from dr3d.evaluation.report.table import format_table
from dr3d.index.engine import build_index
from dr3d.index.model_index import SummaryIndex, ViewIndex, summarise
from dr3d.index.projection import fit_projection
from dr3d.index.vector_index import Neighbours
from dr3d.search.gallery import SIMILARITY, Gallery, rank_all

METHODS = ("exact", "views", "scann", "faiss", "usearch", "milvus")
KINDS = ("classes", "copies")
N, D, K = 12, 128, 10
QUERIES = 32
_BLOCK = 8192

MODELS = flags.DEFINE_list("models", ["10000"], "Numbers of models.")
KIND = flags.DEFINE_list("kind", list(KINDS), "Kinds of models.")
METHOD = flags.DEFINE_list("method", list(METHODS), "Methods to measure.")
DIRECTORY = flags.DEFINE_string("dir", "scale", "Where files are made.")
DATABASE = flags.DEFINE_list("database", [], "Databases to repeat.")
LIMIT = flags.DEFINE_float("limit", 6.0, "GiB that a method may take.")
NOISE = flags.DEFINE_float("noise", 0.3, "Length of what is added to a copy.")
ROW = flags.DEFINE_string("row", None, "Measure only this row; internal.")
COMMON = flags.DEFINE_bool(
  "common", False, "Half of the noise is common to the views of a copy."
)

HEADER = ("models", "kind", "method", "first 10", "proposed", "CPU ms",
          "build s", "build MiB", "search MiB")  # fmt: skip


def main(argv: list[str]) -> None:
  del argv
  if ROW.value:
    count, kind, method = json.loads(ROW.value)
    print(json.dumps(measure(count, kind, method)))
    return
  directory = _directory()
  directory.mkdir(parents=True, exist_ok=True)
  cells = []
  for count in map(int, MODELS.value):
    for kind in KIND.value:
      make_files(directory, count, kind)
      for method in METHOD.value:
        row = run([count, kind, method])
        if row is not None:
          cells.append((f"{count}", kind, method, *format_row(row)))
          print("  ".join(cells[-1]), file=sys.stderr, flush=True)
      for path in directory.glob(f"{kind}-{count}*"):
        path.unlink()
  print(format_table(HEADER, cells, right=(0, 3, 4, 5, 6, 7, 8)))


def _directory() -> pathlib.Path:
  return pathlib.Path(DIRECTORY.value or ".")


def format_row(row: dict) -> tuple[str, ...]:
  return (
    f"{row['first']:.3f}",
    f"{row['proposed']:.3f}",
    f"{row['query']:.1f}",
    f"{row['build']:.1f}",
    f"{row['build_memory']:.0f}",
    f"{row['memory']:.0f}",
  )


def run(row: list) -> dict | None:
  """Measures one row in new processes: one builds, another one searches."""
  threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
  command = [sys.executable, "-m", "experiments.benchmark_scale"]
  command += [f"--row={json.dumps(row)}", f"--dir={DIRECTORY.value}"]
  command += [f"--limit={LIMIT.value}"]
  result = subprocess.run(
    command,
    env={**os.environ, **dict.fromkeys(threads, "1")},
    capture_output=True,
    text=True,
    check=False,
  )
  if result.returncode:
    print(f"{row}: {result.stderr.strip()[-300:]}", file=sys.stderr)
    return None
  return json.loads(result.stdout.splitlines()[-1])


# The vectors.


class FileVectors:
  """Vectors of a file, read as a database reads them."""

  def __init__(self, count: int, kind: str):
    path = _directory() / f"{kind}-{count}.f32"
    self._file = path.open("rb", buffering=0)
    self.shape = (count, N, D)

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: Any, /) -> np.ndarray:
    if isinstance(rows, slice):
      start, stop, _ = rows.indices(len(self))
      data = os.pread(
        self._file.fileno(), (stop - start) * N * D * 4, start * N * D * 4
      )
      return np.frombuffer(data, "<f4").reshape(-1, N, D)
    flat = np.atleast_1d(rows)
    found = np.empty((len(flat), N, D), np.float32)
    for array, row in zip(found, flat.tolist(), strict=True):
      data = os.pread(self._file.fileno(), N * D * 4, row * N * D * 4)
      array[:] = np.frombuffer(data, "<f4").reshape(N, D)
    return found[0] if np.ndim(rows) == 0 else found


def make_files(directory: pathlib.Path, count: int, kind: str) -> None:
  """Writes vectors, queries, labels and the true first ten."""
  if (directory / f"{kind}-{count}-truth.npy").exists():
    return  # of a run that was interrupted
  rng = np.random.default_rng(0)
  draw = draw_classes(count, rng) if kind == "classes" else draw_copies(rng)
  labels = []
  with (directory / f"{kind}-{count}.f32").open("wb") as file:
    for start in range(0, count, _BLOCK):
      vectors, label = draw(min(_BLOCK, count - start))
      vectors.tofile(file)
      labels.append(label)
  np.save(directory / f"{kind}-{count}-labels.npy", np.concatenate(labels))
  queries, _ = draw(QUERIES)
  np.save(directory / f"{kind}-{count}-queries.npy", queries)
  begin = time.process_time()
  truth = rank_all(FileVectors(count, kind), queries, K)
  spent = (time.process_time() - begin) / QUERIES * 1000
  np.save(directory / f"{kind}-{count}-truth.npy", truth)
  print(f"{count} {kind}: all pairs {spent:.0f} ms a query", file=sys.stderr)


Draw = Callable[[int], tuple[np.ndarray, np.ndarray]]


def draw_classes(count: int, rng: np.random.Generator) -> Draw:
  """Classes of 40 models; a class, a model and a view each add numbers."""
  classes = rng.standard_normal((max(8, count // 40), N, D), np.float32)

  def draw(some: int) -> tuple[np.ndarray, np.ndarray]:
    label = rng.integers(len(classes), size=some)
    vectors = classes[label]
    vectors += 0.5 * rng.standard_normal((some, 1, D), np.float32)
    vectors += 0.5 * rng.standard_normal((some, N, D), np.float32)
    return _normalise(vectors), label

  return draw


def draw_copies(rng: np.random.Generator) -> Draw:
  """Models of databases, repeated with noise."""
  from dr3d.database.reader import DatabaseReader

  stored = np.concatenate(
    [
      np.asarray(DatabaseReader.open(path).gallery.features)
      for path in DATABASE.value
    ]
  )

  def draw(some: int) -> tuple[np.ndarray, np.ndarray]:
    label = rng.integers(len(stored), size=some)
    vectors = stored[label]
    scale = np.float32(NOISE.value / D**0.5)
    if COMMON.value:
      scale *= np.float32(0.5**0.5)
      vectors = vectors + scale * rng.standard_normal((some, 1, D), np.float32)
    vectors = vectors + scale * rng.standard_normal((some, N, D), np.float32)
    return _normalise(vectors), label

  return draw


def _normalise(vectors: np.ndarray) -> np.ndarray:
  length = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return (vectors / length).astype("<f4")


# The methods.


def measure(count: int, kind: str, method: str) -> dict:
  """Builds and searches; compares the hits with the truth."""
  directory = _directory()
  prefix = directory / f"{kind}-{count}"
  queries = np.load(f"{prefix}-queries.npy")
  truth = np.load(f"{prefix}-truth.npy")
  label = np.load(f"{prefix}-labels.npy")
  names = tuple(f"{i:07d}" for i in range(count))
  labels = tuple(f"{each}" for each in label)
  features: Any = FileVectors(count, kind)
  before = read_memory()
  begin = time.process_time()
  if method in ("exact", "views"):
    if 2.2 * count * N * D * 4 > LIMIT.value * 2**30:
      raise MemoryError(f"{method} would exceed {LIMIT.value} GiB")
    features = features[:]
    vectors = features.reshape(-1, D)
    held = build_index(
      vectors, engine="exact" if method == "exact" else "scann"
    )
    index: Any = ViewIndex(held, N)
  else:
    projection = fit_projection(features)
    short = summarise(features, projection)
    index = SummaryIndex(build(method, short, directory), projection)
  build_seconds = time.process_time() - begin
  build_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  gallery = Gallery(names, labels, features, index)
  allowed = np.ones(count, bool)
  seconds, first, proposed = [], [], []
  for repeat in range(2):  # the second time, files are in the page cache
    for query, best in zip(queries, truth, strict=True):
      begin = time.process_time()
      found = gallery.find_candidates(
        query, k=K, allowed=allowed, similarity=SIMILARITY
      )
      gallery.weigh(found, similarity=SIMILARITY)
      if repeat:
        seconds.append(time.process_time() - begin)
        first.append(np.isin(best, found.models[found.order[:K]]).mean())
        some = index.find_models(query, K, allowed=allowed, is_aligned=True)
        proposed.append(1.0 if some is None else np.isin(best, some).mean())
  return {
    "first": float(np.mean(first)),
    "proposed": float(np.mean(proposed)),
    "query": float(np.median(seconds)) * 1000,
    "build": build_seconds,
    "build_memory": build_memory - before,
    "memory": read_memory() - before,
  }


def read_memory() -> float:
  """Resident MiB of this process."""
  for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmRSS"):
      return int(line.split()[1]) / 1024
  raise OSError("/proc/self/status has no VmRSS")


@dataclasses.dataclass(eq=False)
class Wrapped:
  """Another library's index as a `VectorIndex` without filters."""

  find: Callable[[np.ndarray, int], np.ndarray]
  vectors: np.ndarray
  engine: str
  is_exhaustive: bool = False

  @property
  def count(self) -> int:
    """B."""
    return len(self.vectors)

  @property
  def size(self) -> int:
    """E."""
    return self.vectors.shape[1]

  def search(
    self, queries: np.ndarray, k: int, *, allowed: np.ndarray | None = None
  ) -> Neighbours:
    """Finds ids; the similarities are not needed."""
    ids = self.find(queries, k)
    return Neighbours(ids.astype(np.int32), np.zeros(ids.shape, np.float32))


def build(method: str, short: np.ndarray, directory: pathlib.Path) -> Any:
  """Builds an index of short vectors [B, E]."""
  if method == "scann":
    return build_index(short, engine="scann")
  if method == "milvus":
    return build_index(short, engine=f"milvus:{directory / 'milvus.db'}")
  if method == "faiss":
    return build_faiss(short)
  if method == "usearch":
    from usearch.index import Index

    graph = Index(
      ndim=short.shape[1], metric="ip", dtype="f16", expansion_search=1024
    )
    graph.add(np.arange(len(short)), short, threads=1)
    return Wrapped(
      lambda queries, k: np.stack(
        [graph.search(query, k).keys for query in queries]
      ),
      short,
      method,
    )
  raise ValueError(f"no method {method!r}")


def build_faiss(short: np.ndarray) -> Wrapped:
  """IVF-PQ, whose first 2048 are compared by the short vectors themselves."""
  import faiss

  lists = int(4 * len(short) ** 0.5)
  index = faiss.IndexIVFPQ(
    faiss.IndexFlatIP(short.shape[1]),
    short.shape[1],
    lists,
    64,
    8,
    faiss.METRIC_INNER_PRODUCT,
  )
  sample = short[:: max(1, len(short) // 100_000)]
  index.train(sample)
  for start in range(0, len(short), _BLOCK):
    index.add(short[start : start + _BLOCK])
  index.nprobe = max(1, min(lists, 50_000 * lists // len(short)))
  if len(short) < 50_000:
    index.nprobe = max(1, lists // 2)

  def find(queries: np.ndarray, k: int) -> np.ndarray:
    found = index.search(queries, 4 * k)[1]
    rows = []
    for query, ids in zip(queries, found, strict=True):
      ids = np.sort(ids[ids >= 0])
      order = np.argsort(-(short[ids] @ query), kind="stable")[:k]
      rows.append(ids[order])
    return np.stack(rows)

  return Wrapped(find, short, "faiss")


if __name__ == "__main__":
  app.run(main)
