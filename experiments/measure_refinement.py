r"""Measures the rank of the exact model by score, verified and refined.

    python -m experiments.measure_refinement --db=all.db --data=parts \
      --split=test --count=100 --scan

The database holds the models of the queries and many similar ones. Each query
is a model rotated at random, or with `--scan` a simulated scan. A row of the
table is an order of the first matches:

* scores;
* score and geometric score, as a query answers ("verified");
* distance of the surfaces after registration by points;
* difference of the images, registered by gradient, among the few rendered;
* the product of both, as `refine` answers.

Columns: the share of queries whose model is first, and among the first five;
"gain" counts the queries whose model is first only in that order, and only by
scores. A model with the same geometry as the query's counts as right. Below
the table: the accepted predictions, and how many of them are wrong. CPU seconds
of one query are medians.
"""

import functools
import pathlib
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags

from dr3d.database.setting import find_pipeline_folder
from dr3d.database.writer import Database
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report.table import format_table
from dr3d.mesh.io.reader import read_geometry
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.image import AlignConfig
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.retrieval.pipeline import Pipeline
from dr3d.search.answer import Match
from dr3d.search.refinement import refine_matches
from experiments.partition import read_splits

DB = flags.DEFINE_string("db", None, "Database.", required=True)
DATA = flags.DEFINE_string("data", None, "Folder of the parts.", required=True)
PREFIX = flags.DEFINE_string(
  "prefix", "", "Prefix of their names in the database."
)
SPLIT = flags.DEFINE_string("split", "test", "Split of the queries.")
COUNT = flags.DEFINE_integer("count", 100, "Queries.", lower_bound=1)
SCAN = flags.DEFINE_bool("scan", False, "Simulate scans.")
REFINE = flags.DEFINE_integer(
  "refine", 20, "First matches to refine.", lower_bound=1
)
STEPS = flags.DEFINE_integer(
  "steps", AlignConfig().steps, "Steps of the descent."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of choice, rotations and scans.")

ORDERS: dict[str, Callable[[Match], float]] = {
  "surfaces": lambda m: np.inf if m.distance is None else m.distance,
  "images": lambda m: np.inf if m.difference is None else m.difference,
  "both (refine)": lambda m: m.rank,
}


def main(argv: list[str]) -> None:
  del argv
  database = Database.open(DB.value)
  geometry = {model.name: model.geometry for model in database.models()}
  files = read_splits(DATA.value)[SPLIT.value]
  rng = np.random.default_rng(SEED.value)
  chosen = rng.permutation(len(files))[: COUNT.value]
  protocol = Protocol(rotation="so3", scan=SCAN.value, seed=SEED.value)
  config = AlignConfig(steps=STEPS.value)
  pipeline = Pipeline.load(
    database.directory / find_pipeline_folder(database.settings)
  )
  places = []  # of the exact model in each order, from 0
  decisions = []
  seconds = []
  for i in np.sort(chosen):
    name = PREFIX.value + files[i].name
    mesh = make_query(
      *read_geometry(pathlib.Path(files[i].path)),
      name=files[i].name,
      protocol=protocol,
      face_budget=database.face_budget,
    )
    query = database.embed(mesh)
    begin = time.process_time()
    plain, verified = (
      database.query(query, k=REFINE.value, verify=verify, size="ignore")
      for verify in (0, VERIFIED_COUNT)
    )
    matches = plain.matches
    verifying = time.process_time() - begin
    decisions.append(
      [
        value
        for answer in (plain, verified)
        for value in (
          answer.prediction.accepted,
          answer.prediction.label == files[i].label,
        )
      ]
    )
    shapes = database.load_shapes([match.model for match in matches])
    begin = time.process_time()
    meshes = {key: unpack_mesh(shape.mesh) for key, shape in shapes.items()}
    refined = refine_matches(
      mesh, matches, meshes, pipeline=pipeline, config=config
    )
    seconds.append((verifying, time.process_time() - begin))
    same = functools.partial(is_same, geometry, name)
    orders = [
      list(matches),
      list(verified.matches),
      *(sorted(refined, key=key) for key in ORDERS.values()),
    ]
    places.append(
      [
        next((i for i, match in enumerate(order) if same(match)), len(order))
        for order in orders
      ]
    )
  table = np.array(places)
  first = table[:, 0] == 0
  rows = []
  for k, what in enumerate(["scores", "verified (query)", *ORDERS]):
    now = table[:, k] == 0
    gain = f"{(now & ~first).sum()} / {(first & ~now).sum()}"
    among = f"{(table[:, k] < 5).mean():.3f}"
    rows.append((what, f"{now.mean():.3f}", among, gain))
  print(
    f"{len(table)} queries of {SPLIT.value}, {protocol}, {STEPS.value} steps;"
    f" {(table[:, 0] < REFINE.value).mean():.3f} have their model among the"
    f" first {REFINE.value}, which are refined"
  )
  header = ("order", "model first", "among five", "gain")
  print(format_table(header, rows, right=(1, 2, 3)))
  for what, (accepted, right) in zip(
    ("votes alone", "votes and verified models"),
    np.array(decisions).reshape(len(decisions), 2, 2).transpose(1, 2, 0),
    strict=True,
  ):
    print(
      f"by {what} {accepted.mean():.3f} are accepted,"
      f" {(accepted & ~right).sum()} of them wrong"
    )
  verifying, refining = np.median(seconds, axis=0)
  print(
    f"CPU seconds of a query: {verifying:.2f} to verify,"
    f" {refining:.2f} to refine"
  )


def is_same(geometry: dict[str, str], name: str, match: Match) -> bool:
  """Whether a match is the query's model, or has the same triangles."""
  return match.model == name or geometry[match.model] == geometry[name]


if __name__ == "__main__":
  app.run(main)
