"""Compares the shipped viewpoints of a pipeline with others, T as it is.

    python -m experiments.measure_viewpoints --data=parts --pipeline=full

No model is trained on. L_G between models chooses viewpoints of 64 random ones
by models of every second class; the models of the other classes, rotated at
random, are queries to each other in original pose (leave-one-out). Rows:

* `shipped`: those of the pipeline;
* `sphere`: the even spread that they were moved from, otherwise as shipped;
* `sphere, one light`: the same, all views with camera and lights of the first;
* `chosen, one light`: chosen by L_G, likewise;
* `random, one light`: the first ones drawn, likewise.

Prints how far each row lies from the sphere, and mAP with its difference from
`sphere, one light`, with the 95 % interval over queries.
"""

import dataclasses
import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import environment, pipeline_flag
from dr3d.evaluation.report.table import format_table
from experiments import unseen

BASE = "sphere, one light"

DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Columns class and file. Default: DATA/index.csv."
)
PIPELINE = flags.DEFINE_string("pipeline", "full", "Pipeline to measure.")
LIMIT = flags.DEFINE_integer("limit", 12, "Models of a class, the first ones.")
CHOOSING = flags.DEFINE_integer("choosing", 4, "Of a class that chooses.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the random viewpoints.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax
  import jax.numpy as jnp

  from dr3d.camera.view import random_views, sphere_views, take_views
  from dr3d.evaluation.average import resample
  from dr3d.retrieval.exploration import find_viewpoints

  pipeline = pipeline_flag.load_pipeline(PIPELINE.value)
  count = pipeline.config.view_count
  seen, others = unseen.split_classes(pathlib.Path(DATA.value), INDEX.value)
  seen = unseen.limit_models(seen, CHOOSING.value)
  others = unseen.limit_models(others, LIMIT.value)
  known = unseen.read_meshes(seen, rotated=False)
  gallery, queries = (
    unseen.read_meshes(others, rotated=rotated) for rotated in (False, True)
  )
  labels = np.array([label for label, _ in others])
  _, classes = np.unique([label for label, _ in seen], return_inverse=True)
  sphere = jnp.asarray(sphere_views(count), jnp.float32)
  one = take_views(pipeline.views, np.zeros(count, int))
  chosen = find_viewpoints(
    pipeline, known, classes, count=count, seed=SEED.value
  )
  drawn = random_views(jax.random.key(SEED.value), count=count)
  rows = {
    "shipped": pipeline.views,
    "sphere": dataclasses.replace(pipeline.views, quaternion=sphere),
    BASE: dataclasses.replace(one, quaternion=sphere),
    "chosen, one light": dataclasses.replace(
      one, quaternion=jnp.asarray(chosen)
    ),
    "random, one light": dataclasses.replace(one, quaternion=drawn),
  }
  found = {
    name: unseen.measure_precision(
      dataclasses.replace(pipeline, views=views), queries, gallery, labels
    )
    for name, views in rows.items()
  }
  draws = resample(len(labels)) / len(labels)
  table = []
  for name, values in found.items():
    gap = 100 * (values - found[BASE])
    low, high = np.percentile(draws @ gap, [2.5, 97.5])
    away = measure_angles(rows[name].quaternion, sphere)
    table.append(
      (
        name,
        f"{np.median(away):.1f} ({away.min():.1f} to {away.max():.1f})",
        f"{100 * values.mean():.1f}",
        f"{gap.mean():+.1f} ({low:+.1f} to {high:+.1f})",
      )
    )
  print(f"{len(seen)} models choose, {len(others)} are searched")
  header = ("viewpoints", "degrees from the sphere", "mAP", "difference")
  print(format_table(header, table))


def measure_angles(quaternion, sphere) -> np.ndarray:
  """Angle of each direction from the nearest of the sphere, degrees: [N]."""
  from dr3d.camera.view import view_directions

  cosine = (
    np.asarray(view_directions(quaternion))
    @ np.asarray(view_directions(sphere)).T
  )
  return np.degrees(np.arccos(np.clip(cosine.max(axis=1), -1, 1)))


if __name__ == "__main__":
  app.run(main)
