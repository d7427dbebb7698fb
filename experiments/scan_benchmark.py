r"""Measures how often a real scan finds the clean model of its very object.

    python -m experiments.scan_benchmark --scans=scans --distractors=psb_train \
      --half=choose --out=work/scans

SCANS is a folder with `index.csv` (kind, object, file): clean meshes, and scans
of the same objects by a depth camera. The gallery holds all clean meshes and
200 distractors: of all files of the other folder, sorted by path, evenly many.
Distractors get a random true size within that of the objects, so that no size
tells them apart.

Objects are sorted by name. The second, fourth and so on are those that settings
are chosen on, the others those that are reported. Rows: by vectors alone; as
`dr3d query` answers, without and with true sizes; by the distance of registered
surfaces alone, all models registered (`--all`); the light field descriptor.
Columns: the share of scans whose object is first, among five, and among ten.
The gallery is indexed once, in OUT.
"""

import pathlib
import time

import numpy as np
from absl import app, flags

from dr3d.cli import pipeline_flag
from dr3d.database.writer import Database
from dr3d.evaluation.report.table import format_table
from dr3d.mesh import load_mesh
from experiments.scan_rank import Rank, ask, make_light_field, make_registration
from experiments.scan_set import read_objects, split_objects, write_gallery

SCANS = flags.DEFINE_string(
  "scans", None, "Folder of the scans.", required=True
)
DISTRACTORS = flags.DEFINE_string(
  "distractors", None, "Folder of other meshes.", required=True
)
COUNT = flags.DEFINE_integer("count", 200, "Distractors.", lower_bound=0)
HALF = flags.DEFINE_enum(
  "half", "choose", ["choose", "report"], "Objects that are asked for."
)
OUT = flags.DEFINE_string("out", None, "Folder of the gallery.", required=True)
PIPELINE = flags.DEFINE_string(
  "pipeline", "pretrained", "Pipeline of the gallery, as for dr3d index."
)
VERIFY = flags.DEFINE_list(
  "verify", [], "More numbers of models to register, each in a row."
)
ALL = flags.DEFINE_bool("all", False, "Register all models, too.")
LIST = flags.DEFINE_bool("list", False, "Print the rank of each object.")

KINDS = ("scan_poisson", "scan_tsdf")


def main(argv: list[str]) -> None:
  del argv
  root = pathlib.Path(SCANS.value)
  objects = read_objects(root)
  half = split_objects(sorted(objects))[HALF.value]
  out = pathlib.Path(OUT.value)
  if not (out / "db").exists():
    write_gallery(
      root,
      objects,
      out / "models",
      others=pathlib.Path(DISTRACTORS.value),
      count=COUNT.value,
    )
    database = Database.create(
      out / "db", pipeline_flag.load_pipeline(PIPELINE.value)
    )
    database.update(out / "models")
  database = Database.open(out / "db")
  ranks: dict[str, Rank] = {
    "vectors": lambda mesh: ask(database, mesh, verify=0),
    "query, without sizes": lambda mesh: ask(database, mesh),
    "query": lambda mesh: ask(database, mesh, size="prefer"),
    **{
      f"query, {count} registered": make_query(database, int(count))
      for count in VERIFY.value
    },
    "light field descriptor": make_light_field(database),
  }
  if ALL.value:
    ranks["all registered"] = make_registration(database)
  rows = []
  for kind in KINDS:
    meshes = [
      load_mesh(root / objects[name][kind], face_budget=database.face_budget)
      for name in half
    ]
    for what, rank in ranks.items():
      begin = time.process_time()
      places = np.array(
        [
          rank(mesh).index(f"clean/{name}.ply") + 1
          for name, mesh in zip(half, meshes, strict=True)
        ]
      )
      seconds = (time.process_time() - begin) / len(half)
      shares = [f"{(places <= k).mean():.3f}" for k in (1, 5, 10)]
      rows.append([kind, what, *shares, f"{seconds:.2f}"])
      if LIST.value:
        print(kind, what, dict(zip(half, places.tolist(), strict=True)))
  print(
    f"{len(half)} objects ({HALF.value}), {len(database.gallery.names)} models"
  )
  header = ["scans", "ranked by", "first", "five", "ten", "CPU s"]
  print(format_table(header, rows, right=range(2, 6)))


def make_query(database: Database, verify: int) -> Rank:
  """Ranks as `dr3d query --verify` does."""
  return lambda mesh: ask(database, mesh, size="prefer", verify=verify)


if __name__ == "__main__":
  app.run(main)
