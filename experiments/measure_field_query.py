r"""Does a fitted field find the right model more often than its photograph?

    python -m experiments.measure_field_query --set=work/chairs \
      --workdir=work/field --db=work/chairs.db

The database is one that `dr3d index` made of chairs of `models/`, those that
ask among them. Each held-out chair asks in four ways: its one picture as a
photograph, its fitted code drawn at all learned views, the mean code, and, for
comparison, the mesh itself drawn at those views. The prior of the fit and the
level of the surface are those that `experiments.measure_field` chose.
"""

import json
import pathlib
import time
from typing import Any

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments.field_truth import make_set

SET = flags.DEFINE_string("set", None, "Of make_field_set.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Of the run.", required=True)
DB = flags.DEFINE_string("db", None, "Database of chairs.", required=True)
TRAIN = flags.DEFINE_integer("train", 200, "First chair that asks.")
QUERIES = flags.DEFINE_integer("queries", 40, "Chairs that ask.")
SHOWN = 5


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.database.writer import Database
  from dr3d.error import Dr3dError
  from dr3d.field.field import Field
  from dr3d.field.fit import FitConfig, fit_codes
  from dr3d.field.query import make_query
  from dr3d.mesh import load_mesh

  folder = pathlib.Path(SET.value)
  field = Field.load(WORKDIR.value)
  truth = dict(np.load(folder / "truth.npz"))
  asking = np.arange(TRAIN.value, TRAIN.value + QUERIES.value)
  chosen = json.loads(
    (pathlib.Path(WORKDIR.value) / "measures.json").read_text()
  )
  config = FitConfig(steps=150, pixels=64, code=chosen["prior"])
  fitted = fit_codes(field, make_set(truth, asking), config=config)
  database = Database.open(DB.value)
  mean = field.codes.mean(axis=0)
  pipeline: Any = database.pipeline

  def ask_photo(i):
    image = truth["images"][asking[i], 0]
    alpha = truth["masks"][asking[i], 0]
    pixels = np.concatenate([image, alpha[..., None]], axis=-1)
    photo = np.rint(255 * pixels).astype(np.uint8)
    return database.query(photo=photo, k=SHOWN)

  def ask_code(code):
    query = make_query(field, code, pipeline, level=chosen["level"])
    return database.query(query, k=SHOWN, size="ignore")

  def ask_mesh(i):
    path = folder / "models" / f"chair_{asking[i]:03d}.ply"
    return database.query(load_mesh(path), k=SHOWN, verify=0, size="ignore")

  middle = ask_code(mean)  # the same for all
  ways = {
    "one picture, as a photograph": ask_photo,
    "fitted code at the learned views": lambda i: ask_code(fitted.codes[i]),
    "mean code": lambda i: middle,
    "the mesh itself": ask_mesh,
  }
  rows = []
  for way, ask in ways.items():
    first, five, failed = 0, 0, 0
    begin = time.process_time()
    for i, k in enumerate(asking):
      try:
        names = [pathlib.Path(m.model).stem for m in ask(i).matches]
      except Dr3dError as error:
        print(f"{way}, chair {k}: {error}")
        failed += 1
        continue
      first += names[:1] == [f"chair_{k:03d}"]
      five += f"chair_{k:03d}" in names
    seconds = (time.process_time() - begin) / len(asking)
    share = [f"{100 * n / len(asking):.0f}" for n in (first, five)]
    rows.append([way, *share, f"{failed}", f"{seconds:.1f}"])
    print(f"{way}: done", flush=True)
  header = ["query", "top-1 %", "top-5 %", "failed", "CPU s"]
  print(format_table(header, rows, right=range(1, 5)))


if __name__ == "__main__":
  app.run(main)
