r"""Fits how much surfaces count beside the vectors of a pipeline.

    python -m experiments.split --data=parts --out=work/parts
    dr3d index --db=work/parts.db --models=work/parts/train --pipeline=full
    python -m experiments.fit_surface_weight --data=parts --db=work/parts.db

Parts of a split ask a database of that split, ten models registered, with
several weights; see `dr3d.search.geometric_score.DEFAULT_WEIGHT`. Queries:

* `original`, `rotated`: parts without themselves. How well is their class
  found? `kicad` are those of classes that no shipped encoder was trained on.
* `noise`, `tsdf`, `poisson`: simulated scans; see `part_scan`. How often is
  the very part first, and how well is its class found without it?

Weight 0 is the ranking by vectors alone.
"""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from absl import app, flags

from dr3d.database.writer import Database
from dr3d.evaluation import metric
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.evaluation.report.table import format_table
from dr3d.mesh import Mesh
from dr3d.mesh.io.reader import read_geometry
from dr3d.registration.surface import Fit
from dr3d.search import verification
from dr3d.search.answer import Answer
from dr3d.search.geometric_score import DEFAULT_WEIGHT
from dr3d.search.matching import find_matches
from experiments.part_scan import FACES, Part, read_parts, scan_part
from experiments.part_scan import KINDS as SCANS

DATA = flags.DEFINE_string("data", None, "Folder of the parts.", required=True)
DB = flags.DEFINE_string("db", None, "Database of the split.", required=True)
SPLIT = flags.DEFINE_string("split", "train", "Split of the parts.")
COUNT = flags.DEFINE_integer("count", 120, "Parts, drawn at random.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw and of the scans.")
KINDS = flags.DEFINE_list(
  "kinds", ["original", "noise", "tsdf", "poisson"], "Queries, see above."
)
WEIGHTS = flags.DEFINE_list(
  "weights", ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.7", "1"], "To compare."
)
MEASURES = ("NN", "DCG", "mAP")


class Asker:
  """Asks a database with several weights; surfaces are measured once."""

  def __init__(self, database: Database, weights: list[float]):
    self._database = database
    self._weights = weights
    self._shapes = database.load_shapes(database.gallery.names)

  def prepare(self, mesh: Mesh) -> Callable[[set[str]], list[Answer]]:
    """Makes a function: models to leave out → answers, one of each weight."""
    query = self._database.embed(mesh)
    gallery = self._database.gallery
    fits: dict[str, Fit] = {}
    near: dict[str, float] = {}

    def register(names: Sequence[str]) -> dict[str, Fit]:
      new = [name for name in names if name not in fits]
      packed = [self._shapes[name].mesh for name in new]
      measured = verification.measure_fits(mesh, packed)
      fits.update(zip(new, measured, strict=True))
      return {name: fits[name] for name in names}

    def compare(names: Sequence[str]) -> dict[str, float]:
      new = {n: self._shapes[n].mesh for n in names if n not in near}
      if new:
        near.update(verification.compare_meshes(mesh, new))
      return {name: near[name] for name in names}

    def ask(exclude: set[str]) -> list[Answer]:
      return [
        find_matches(
          query,
          gallery,
          k=len(gallery.names),
          exclude=exclude,
          register=register if weight else None,
          compare=compare,
          surface_weight=weight or DEFAULT_WEIGHT,
        )
        for weight in self._weights
      ]

    return ask


def main(_) -> None:
  parts, groups = read_parts(pathlib.Path(DATA.value), SPLIT.value)
  drawn = np.random.default_rng(SEED.value).permutation(len(parts))
  database = Database.open(DB.value)
  weights = [float(weight) for weight in WEIGHTS.value]
  asker = Asker(database, weights)
  budget = database.face_budget or FACES
  for kind in KINDS.value:
    found: dict[str, list[np.ndarray]] = {}
    for i in np.sort(drawn[: COUNT.value]).tolist():
      part = parts[i]
      try:
        mesh = make_mesh_of(part, kind, budget)
      except ValueError as error:
        print(f"{part.model}, {kind}: {error}")
        continue
      ask = asker.prepare(mesh)
      lines = [score(a, part.label) for a in ask({part.model})]
      values = np.array([line for line in lines if line is not None])
      if not len(values):
        continue  # the only part of its class
      if kind in SCANS:
        first = [find_first(a, groups[part.group]) for a in ask(set())]
        values = np.concatenate([values, np.array(first, float)], axis=1)
      for source in ("all", part.source):
        found.setdefault(source, []).append(values)
    for source, results in found.items():
      show(f"{kind}, {source}", weights, results)


def make_mesh_of(part: Part, kind: str, budget: int) -> Mesh:
  """The mesh of a query."""
  if kind in SCANS:
    return scan_part(part, kind, seed=SEED.value, budget=budget)
  return make_query(
    *read_geometry(part.path),
    name=part.path.name,
    protocol=Protocol(
      rotation="so3" if kind == "rotated" else "none", seed=SEED.value
    ),
    face_budget=budget,
  )


def find_first(answer: Answer, own: set[str]) -> list[bool]:
  """Whether one of these models is the first, and among five."""
  models = [match.model for match in answer.matches[:5]]
  return [models[0] in own, not own.isdisjoint(models)]


def score(answer: Answer, label: str) -> list[float] | None:
  """How well the class is found; None if it has no other model."""
  hits = np.array([[match.label == label for match in answer.matches]])
  if not hits.any():
    return None
  measured = metric.measure(hits)
  return [float(measured[name][0]) for name in MEASURES]


def show(what: str, weights: list[float], results: list[np.ndarray]) -> None:
  """Prints the table of a set of queries."""
  mean = 100 * np.mean(results, axis=0)
  rows = [
    [f"{weight:g}", *(f"{value:.1f}" for value in line)]
    for weight, line in zip(weights, mean, strict=True)
  ]
  header = ["weight", *MEASURES, "very part first", "among five"][
    : len(rows[0])
  ]
  print(f"{what}, {len(results)} queries")
  print(format_table(header, rows, right=range(len(header))), flush=True)


if __name__ == "__main__":
  app.run(main)
