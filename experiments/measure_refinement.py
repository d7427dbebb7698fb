r"""Measures where the very model stands, by score, laid and refined.

    python -m experiments.measure_refinement --db=all.db --data=parts \
      --split=test --count=100 --scan

The database holds the models that are asked for and many that are nearly alike.
Each is turned at random, or imitated as a scan, and asked for. A row of the
table is an order of the first matches: that of their scores; that of score and
closeness, which is what a query answers; that of the distance of the surfaces,
laid upon each other by points; that of the pictures among the few that are
drawn, aligned by gradient; and the product of both, which is what `refine`
answers. Its columns: the share of queries whose model is the first, and among
the first five; "gain" counts those whose model came first only by that order,
and only by scores. Models whose geometry is that of the one asked for count as
right. Below it the answers that are relied on, and how many of these are right.
Seconds of CPU time of one query are medians.
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
PREFIX = flags.DEFINE_string("prefix", "", "Of their names in the database.")
SPLIT = flags.DEFINE_string("split", "test", "Of the parts that are asked for.")
COUNT = flags.DEFINE_integer("count", 100, "Queries.", lower_bound=1)
SCAN = flags.DEFINE_bool("scan", False, "Imitate scans.")
REFINE = flags.DEFINE_integer("refine", 20, "First matches.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", AlignConfig().steps, "Of the descent.")
SEED = flags.DEFINE_integer("seed", 0, "Of the choice, turns and scans.")

ORDERS: dict[str, Callable[[Match], float]] = {
  "surfaces": lambda m: np.inf if m.distance is None else m.distance,
  "pictures": lambda m: np.inf if m.difference is None else m.difference,
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
  places = []
  told = []
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
    plain, laid = (
      database.query(query, k=REFINE.value, verify=verify)
      for verify in (0, VERIFIED_COUNT)
    )
    matches = plain.matches
    laying = time.process_time() - begin
    told.append(
      [
        value
        for answer in (plain, laid)
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
    seconds.append((laying, time.process_time() - begin))
    same = functools.partial(is_same, geometry, name)
    orders = [
      list(matches),
      list(laid.matches),
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
  for k, what in enumerate(["scores", "laid (query)", *ORDERS]):
    now = table[:, k] == 0
    gain = f"{(now & ~first).sum()} / {(first & ~now).sum()}"
    among = f"{(table[:, k] < 5).mean():.3f}"
    rows.append((what, f"{now.mean():.3f}", among, gain))
  print(
    f"{len(table)} queries of {SPLIT.value}, {protocol}, {STEPS.value} steps;"
    f" {(table[:, 0] < REFINE.value).mean():.3f} have their model among the"
    f" first {REFINE.value}, which are put in order"
  )
  header = ("order", "model first", "among five", "gain")
  print(format_table(header, rows, right=(1, 2, 3)))
  for what, (relied, right) in zip(
    ("votes alone", "models laid"),
    np.array(told).reshape(len(told), 2, 2).transpose(1, 2, 0),
    strict=True,
  ):
    print(
      f"by {what} {relied.mean():.3f} are relied on,"
      f" {(relied & ~right).sum()} wrong"
    )
  laying, refining = np.median(seconds, axis=0)
  print(f"CPU time of one: {laying:.2f} s to lay, {refining:.2f} to refine")


def is_same(geometry: dict[str, str], name: str, match: Match) -> bool:
  """Whether a match is the model asked for, or the very same triangles."""
  return match.model == name or geometry[match.model] == geometry[name]


if __name__ == "__main__":
  app.run(main)
