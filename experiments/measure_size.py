r"""Measures what the true size adds to the answers of a database.

    python -m experiments.measure_size --db=parts.db --models=parts --step=8

Each query is a simulated scan of a model, rotated at random, at its true size.
It is answered with the size and without, and once more without the model
itself. The table counts the queries whose first match is the very model, or has
its label; whose predicted label is right; and whose prediction is accepted.
"""

import collections
import pathlib

from absl import app, flags

from dr3d.database.writer import Database
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report.table import format_table
from dr3d.mesh.io.reader import read_geometry
from dr3d.mesh.unit import ASSUMED, GIVEN
from dr3d.search.answer import Answer
from dr3d.search.size import SizeMode

DB = flags.DEFINE_string("db", None, "Database.", required=True)
MODELS = flags.DEFINE_string("models", None, "Its folder.", required=True)
STEP = flags.DEFINE_integer("step", 1, "Every how many models.", lower_bound=1)
FIRST = flags.DEFINE_integer("first", 0, "The first of them.", lower_bound=0)
STATED = flags.DEFINE_bool("stated", False, "The scans state their unit.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of rotations and scans.")

MODES: tuple[SizeMode, ...] = ("ignore", "prefer")
COLUMNS = (
  *("model first", "label first", "label right", "accepted", "accepted wrong"),
  *("label first, model left out", "label right, model left out"),
)


def main(argv: list[str]) -> None:
  del argv
  database = Database.open(DB.value)
  labels = dict(
    zip(database.gallery.names, database.gallery.labels, strict=True)
  )
  names = database.gallery.names[FIRST.value :: STEP.value]
  protocol = Protocol(rotation="so3", scan=True, seed=SEED.value)
  counts: collections.Counter[tuple[SizeMode, str]] = collections.Counter()
  for name in names:
    mesh = make_query(
      *read_geometry(pathlib.Path(MODELS.value, name)),
      name=name,
      protocol=protocol,
      face_budget=database.face_budget,
    )
    unit = f"mm{GIVEN if STATED.value else ASSUMED}"
    query = database.embed(mesh, unit=unit)
    for mode in MODES:
      found = database.query(query, k=1, size=mode)
      others = database.query(query, k=1, size=mode, exclude=(name,))
      values = [
        found.matches[0].model == name,
        *judge(found, labels[name]),
        *judge(others, labels[name])[:2],
      ]
      for column, value in zip(COLUMNS, values, strict=True):
        counts[mode, column] += value
  rows = [
    (column, *(f"{counts[mode, column]}" for mode in MODES))
    for column in COLUMNS
  ]
  print(format_table((f"of {len(names)} queries", *MODES), rows, right=(1, 2)))


def judge(answer: Answer, label: str) -> list[bool]:
  """Whether the first match, the prediction and its acceptance are right."""
  prediction = answer.prediction
  is_right = prediction.label == label
  return [
    answer.matches[0].label == label,
    is_right,
    prediction.accepted,
    prediction.accepted and not is_right,
  ]


if __name__ == "__main__":
  app.run(main)
