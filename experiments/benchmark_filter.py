"""Measures conditions on a query: where the filter runs, and what it costs.

    python -m experiments.benchmark_filter --models=20000 --dir=work/filter

Models of 12 vectors form classes of 40. Their metadata has values that half of
them share, a tenth, a hundredth and a thousandth. Rows: ScaNN with a mask of
the allowed models; milvus-lite with the condition as its own filter, and with
the mask alone, for which it must propose as many more as the mask drops.
Columns: share of the true first ten among the allowed that are proposed, CPU
milliseconds of the look-up, and milliseconds to mark the allowed models, by
column as `Condition` does and model by model as it did before.
"""

import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from dr3d.database.condition import Columns, Condition
from dr3d.database.model import Model
from dr3d.evaluation.report.table import format_table
from dr3d.index.milvus_filter import make_fields
from dr3d.index.model_index import MIN_MODELS, SummaryIndex, index_models
from dr3d.search.gallery import rank_all

MODELS = flags.DEFINE_integer("models", 20_000, "Number of models.")
DIRECTORY = flags.DEFINE_string("dir", "filter", "Where Milvus keeps its file.")

N, D, K = 12, 128, 10
QUERIES = 16
SHARES = {"half": 0.5, "tenth": 0.1, "hundredth": 0.01, "thousandth": 0.001}
HEADER = ("allowed", "engine", "filter", "first 10", "CPU ms", "mark ms",
          "one by one ms")  # fmt: skip


def main(_) -> None:
  rng = np.random.default_rng(0)
  count = MODELS.value
  classes = rng.standard_normal((count // 40, N, D), np.float32)

  def draw(some: int) -> np.ndarray:
    vectors = classes[rng.integers(len(classes), size=some)]
    vectors = vectors + 0.7 * rng.standard_normal((some, N, D), np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / length).astype(np.float32)

  features, queries = draw(count), draw(QUERIES)
  chance = rng.random(count)
  models = [
    Model(
      f"{i:07d}.stl",
      f"{i % 50}",
      "",
      "indexed",
      "",
      "",
      metadata={k: "yes" for k, share in SHARES.items() if chance[i] < share},
    )
    for i in range(count)
  ]
  directory = pathlib.Path(DIRECTORY.value or ".")
  directory.mkdir(parents=True, exist_ok=True)
  engine = f"milvus:{directory / 'milvus.db'}"
  fields = [make_fields(m.label, m.metadata, m.extent) for m in models]
  milvus = index_models(features, engine=engine, fields=fields)
  scann = index_models(features, engine="scann")
  assert isinstance(milvus, SummaryIndex)
  assert isinstance(scann, SummaryIndex)
  columns = Columns(models)
  cells = []
  for key in SHARES:
    condition = Condition(where={key: ["yes"]})
    allowed, mark = clock(condition.mark, columns, extent=())
    _, slow = clock(mark_one_by_one, models, key)
    rows = np.flatnonzero(allowed)
    best = rows[rank_all(features[rows], queries, K)]
    ways = {
      ("scann", "mask"): scann,
      ("milvus", "mask"): milvus,
      ("milvus", "milvus"): milvus.within(condition.express(())),
    }
    for (name, way), index in ways.items():
      hits, seconds = [], []
      for query, true in zip(queries, best, strict=True):
        found, spent = clock(
          index.propose, query, MIN_MODELS, allowed=allowed, is_aligned=True
        )
        hits.append(np.isin(true, found).mean())
        seconds.append(spent)
      cells.append(
        (
          f"{len(rows)}",
          name,
          way,
          f"{np.mean(hits):.3f}",
          f"{np.median(seconds) * 1e3:.1f}",
          f"{mark * 1e3:.2f}",
          f"{slow * 1e3:.1f}",
        )
      )
      print("  ".join(cells[-1]), file=sys.stderr, flush=True)
  print(format_table(HEADER, cells, right=(0, 3, 4, 5, 6)))


def mark_one_by_one(models: Sequence[Model], key: str) -> list[bool]:
  """Which models have a value, as it was found before."""
  return [model.metadata.get(key) == "yes" for model in models]


def clock(
  function: Callable[..., Any], *given: Any, **options: Any
) -> tuple[Any, float]:
  """The result of a call and its CPU seconds."""
  begin = time.process_time()
  result = function(*given, **options)
  return result, time.process_time() - begin


if __name__ == "__main__":
  app.run(main)
