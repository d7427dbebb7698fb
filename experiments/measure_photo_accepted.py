r"""Counts the answers to photographs that are accepted, and the right ones.

    dr3d index --models=bricks/models --labels=labels.csv --db=bricks.db
    python -m experiments.measure_photo_accepted --data=bricks --db=bricks.db

The database holds the models of the folder, labelled by their names. Three
kinds of queries ask:

- photographs that cameras took, of half the parts, as in `measure_photo`;
- photographs that are made of models which the calibration has not asked for,
  with another seed: `--made` of each;
- the same while their model is left out, so that every answer is wrong.
"""

import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments import measure_photo

DB = flags.DEFINE_string("db", None, "Database of the models.", required=True)
MADE = flags.DEFINE_integer("made", 8, "Photographs made of a model.")
MADE_SEED = flags.DEFINE_integer("made_seed", 1, "Seed of these.")
TARGETS = flags.DEFINE_list("targets", ["0.99", "0.95", "0.9"], "Precisions.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.database.writer import Database

  database = Database.open(DB.value)
  gallery = database.prepare_photos()
  queries = [
    *list_taken(pathlib.Path(measure_photo.DATA.value)),
    *list_made(database, gallery),
  ]
  rows = []
  for target in map(float, TARGETS.value):
    for name, asked in queries:
      rows.append((f"{target:.2f}", name, *count(gallery, asked, target)))
  header = ("promise", "queries", "asked", "label right", "accepted")
  print(format_table((*header, "of these right"), rows))


def list_taken(folder):
  """Yields the photographs of each camera: vectors, part, nothing left out."""
  from dr3d.database.photo_search import embed_photos

  _, photos = measure_photo.read_table(folder)
  photos = measure_photo.choose_half(photos)
  cutouts, _ = measure_photo.cut_photographs(folder, photos)
  for camera in ("front", "back", "bottom"):
    yield (
      camera,
      [
        (embed_photos(cutout), row["part"], ())
        for cutout, row in zip(cutouts, photos, strict=True)
        if row["camera"] == camera
      ],
    )


def list_made(database, gallery):
  """Yields made photographs, with their model in the database and without."""
  from dr3d.database.photo_search import PROBES
  from dr3d.mesh.packing import unpack_mesh
  from dr3d.retrieval.photo.encoder import load_encoder
  from dr3d.retrieval.photo.probe import embed_probes
  from dr3d.search.calibration import choose_models
  from dr3d.search.query import Query

  asked = choose_models(gallery.names, gallery.labels, count=PROBES)
  rest = np.setdiff1d(np.arange(len(gallery.names)), asked)
  names = [gallery.names[i] for i in rest]
  shapes = database.load_shapes(names)
  probes = embed_probes(
    [unpack_mesh(shapes[name].mesh) for name in names],
    load_encoder(),
    count=MADE.value,
    seed=MADE_SEED.value,
  )
  queries = [
    (
      Query(vectors, is_view_aligned=False, is_photograph=True),
      gallery.labels[i],
      gallery.names[i],
    )
    for i, several in zip(rest, probes, strict=True)
    for vectors in several
  ]
  yield "made", [(query, label, ()) for query, label, _ in queries]
  yield "made, unknown", [(query, "", (name,)) for query, _, name in queries]


def count(gallery, asked, target):
  """Cells of a row: queries, right labels, accepted and right ones."""
  from dr3d.search.matching import find_matches

  right, accepted = [], []
  for query, label, left_out in asked:
    answer = find_matches(
      query, gallery, k=1, target_precision=target, exclude=left_out
    )
    right.append(answer.prediction.label == label)
    accepted.append(answer.prediction.accepted)
  both = np.logical_and(right, accepted)
  return [
    str(int(n)) for n in (len(asked), sum(right), sum(accepted), both.sum())
  ]


if __name__ == "__main__":
  app.run(main)
