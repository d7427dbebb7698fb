r"""Compares settings of the ranking by common neighbours, by vectors alone.

    dr3d index --db=parts.db --models=parts
    python -m experiments.measure_neighbours --db=parts.db --count=200

Models of a database are queries to the others. Each row changes one setting of
`dr3d.search.reciprocal`.
"""

import dataclasses
import time

import numpy as np
from absl import app, flags

from dr3d.database.writer import Database
from dr3d.evaluation import metric
from dr3d.evaluation.report.table import format_table
from dr3d.evaluation.similarity import compare_vectors
from dr3d.search.candidate import DECIMALS
from dr3d.search.reciprocal import (
  AVERAGED,
  COMMON_COUNT,
  NEIGHBOURS,
  TEMPERATURE,
  WEIGHT,
  rank_by_neighbours,
  rate_neighbours,
)

DB = flags.DEFINE_string("db", None, "Database.", required=True)
COUNT = flags.DEFINE_integer("count", 200, "Queries, drawn at random.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw.")
SHIPPED = flags.DEFINE_bool("shipped", False, "Only the first two rows.")


@dataclasses.dataclass(frozen=True)
class Setting:
  """See `dr3d.search.reciprocal`."""

  name: str = "shipped"
  candidates: int = COMMON_COUNT
  neighbours: int = NEIGHBOURS
  averaged: int = AVERAGED
  temperature: float = TEMPERATURE
  weight: float = WEIGHT


SETTINGS = (
  Setting("similarity alone", weight=0.0),
  Setting(),
  *(Setting(f"{n} candidates", candidates=n) for n in (64, 256)),
  *(Setting(f"{n} neighbours", neighbours=n) for n in (8, 25)),
  *(Setting(f"{n} averaged", averaged=n) for n in (1, 2, 6)),
  *(Setting(f"temperature {t}", temperature=t) for t in (0.1, 0.6)),
  *(Setting(f"weight {w}", weight=w) for w in (0.5, 1.0, 4.0)),
)


def main(_) -> None:
  gallery = Database.open(DB.value).gallery
  features = np.asarray(gallery.features)
  labels = np.array(gallery.labels)
  _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
  fits = np.flatnonzero(counts[index] > 1)
  own = np.random.default_rng(SEED.value).permutation(fits)
  own = np.sort(own[: COUNT.value])
  score = np.concatenate(
    [
      compare_vectors(features[[i]], features, kind="view_aligned").whole
      for i in own
    ]
  ).astype(np.float64)
  score[np.arange(len(own)), own] = -np.inf
  relevant = labels[own][:, None] == labels
  relevant[np.arange(len(own)), own] = False
  rows = []
  for setting in SETTINGS[: 2 if SHIPPED.value else None]:
    begin = time.process_time()
    ranked = rank(features, own, score, setting)
    seconds = (time.process_time() - begin) / len(own)
    order = metric.rank_models(ranked, relevant, excluded=own)
    found = metric.measure(metric.take_hits(relevant, order))
    values = [
      f"{100 * found[name].mean():.1f}" for name in ("NN", "DCG", "mAP")
    ]
    rows.append([setting.name, *values, f"{1000 * seconds:.1f}"])
  print(f"{len(own)} queries among {len(labels)} models")
  print(
    format_table(["", "NN", "DCG", "mAP", "CPU ms"], rows, right=range(1, 5))
  )


def rank(
  features: np.ndarray, own: np.ndarray, score: np.ndarray, setting: Setting
) -> np.ndarray:
  """What ranks the models: [Q, B]."""
  ranked = np.empty(score.shape)
  for row, model in enumerate(own):
    order = np.argsort(-np.round(score[row], DECIMALS), kind="stable")
    first = order[: min(setting.candidates, len(order) - 1)]
    common = np.zeros(len(order))
    common[first] = rate_neighbours(
      features[model],
      features[first],
      neighbours=setting.neighbours,
      averaged=setting.averaged,
      temperature=setting.temperature,
    )
    ranked[row] = rank_by_neighbours(
      np.round(score[row], DECIMALS), common, weight=setting.weight
    )
  return ranked


if __name__ == "__main__":
  app.run(main)
