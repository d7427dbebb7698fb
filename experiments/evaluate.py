r"""Indexes the train split of a folder and queries its test split.

    python -m experiments.evaluate --data=parts \
      --pipeline=work/part --pipeline=work/part_fixed

Queries are asked as filed, in random orientation, and as imitated scans in
random orientation; the pipelines stand side by side in one table.
"""

import time

from absl import app, flags

from dr3d.cli import environment, report
from dr3d.evaluate import HEADER, evaluate, read_queries, read_splits, tabulate
from dr3d.reading import read_models
from dr3d.table import format_table

PIPELINE = flags.DEFINE_multi_string(
  "pipeline", None, "Trained pipelines.", required=True
)
DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Columns class, file, split. Default: DATA/index.csv."
)
SEED = flags.DEFINE_integer("seed", 0, "Of rotations and scans.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  begin = time.perf_counter()
  splits = read_splits(DATA.value, INDEX.value)
  labels = [file.label for file in splits["test"]]
  results, read = {}, {}
  for name in PIPELINE.value:
    pipeline = report.load_pipeline(name)
    budget = pipeline.face_budget
    if budget not in read:
      gallery = read_models(splits["train"], face_budget=budget)
      queries = read_queries(
        splits["test"], face_budget=budget, seed=SEED.value
      )
      read[budget] = gallery, queries
    results[name] = evaluate(pipeline, *read[budget], labels)
  print(format_table(HEADER, tabulate(results), right=range(2, len(HEADER))))
  print(f"{time.perf_counter() - begin:.0f} s in all")


if __name__ == "__main__":
  app.run(main)
