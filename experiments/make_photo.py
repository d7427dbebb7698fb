r"""Trains the encoder for photographs that ships with dr3d.

    pip install 'dr3d[imagenet,photo,samples,experiments]'
    python -m experiments.make_photo --workdir=work/photo --parts=parts

It learns from drawings alone: moulded parts and other solids that are generated
here (`experiments.synthesis`), the sample catalogue, and the parts of the train
split whose licence allows it (see `experiments.make_general`). No photograph is
seen, besides those by which ImageNet's weights were learned. The pipeline is
`WORKDIR/pipeline`. The same command resumes.
"""

import csv
import pathlib
import tempfile

import numpy as np
from absl import app, flags

from dr3d.cli import console, environment
from dr3d.data import sample
from dr3d.data.folder import ModelFile, find_models
from dr3d.error import MeshError
from experiments.synthesis.family import make_solid
from experiments.synthesis.moulding import make_moulding

WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run.", required=True
)
PARTS = flags.DEFINE_string(
  "parts", None, "Folder with an index.csv that has the column source_set."
)
SOURCE = flags.DEFINE_list(
  "source", ["freecad_parts"], "Source sets of the parts to use."
)
PART_COUNT = flags.DEFINE_integer("part_count", 40, "Parts at most.")
SAMPLE_COUNT = flags.DEFINE_integer(
  "sample_count", 80, "Models of the sample catalogue at most."
)
MOULDINGS = flags.DEFINE_integer("mouldings", 130, "Families of moulded parts.")
SOLIDS = flags.DEFINE_integer("solids", 20, "Families of other solids.")
MEMBERS = flags.DEFINE_integer("members", 3, "Members of each family.")
STEPS = flags.DEFINE_integer("steps", 340, "Steps of the training.")
END = flags.DEFINE_integer(
  "end", None, "Steps after which it ends; all by default."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of everything that is random.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.retrieval.photo.train import PhotoTrainConfig, train_photo

  config = PhotoTrainConfig(steps=STEPS.value, end=END.value, seed=SEED.value)
  meshes, labels = read_models()
  print(f"{len(meshes)} models of {len(set(labels))} classes")
  with console.progress(len(meshes), "drawing") as progress:
    pipeline = train_photo(
      meshes, labels, config=config, workdir=WORKDIR.value, drawing=progress
    )
  print(f"{WORKDIR.value}/pipeline: {pipeline.fingerprint}")


def read_models():
  """The meshes and the classes to learn from."""
  meshes, labels = make_solids()
  with tempfile.TemporaryDirectory() as folder:
    found = draw(find_models(sample.unpack(folder)), SAMPLE_COUNT.value)
    if PARTS.value:
      found = [*found, *choose_parts(pathlib.Path(PARTS.value))]
    reading = console.read_models(found, face_budget=1024)
  return meshes + list(reading.meshes), labels + list(reading.labels)


def make_solids():
  """Generated solids; those that cannot be built are left out."""
  from dr3d.mesh.mesh import make_mesh, simplify_mesh

  meshes, labels = [], []
  for make, count in (
    (make_moulding, MOULDINGS.value),
    (make_solid, SOLIDS.value),
  ):
    for family in range(count):
      for member in range(MEMBERS.value):
        try:
          mesh = make_mesh(*make(family, member, seed=SEED.value))
        except (ValueError, MeshError):  # its cuts removed everything
          continue
        meshes.append(simplify_mesh(mesh, 1024))
        labels.append(f"{make.__name__} {family}")
  return meshes, labels


def choose_parts(folder: pathlib.Path) -> list[ModelFile]:
  """Draws parts of the train split from classes of the allowed sources."""
  with (folder / "index.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  foreign = {
    row["class"] for row in rows if row["source_set"] not in SOURCE.value
  }
  allowed = {
    row["file"]
    for row in rows
    if row["split"] == "train" and row["class"] not in foreign
  }
  found = [
    model
    for model in find_models(folder, labels=folder / "index.csv")
    if model.name in allowed
  ]
  return draw(found, PART_COUNT.value)


def draw(found: list[ModelFile], count: int) -> list[ModelFile]:
  """Draws some of the models."""
  rng = np.random.default_rng(SEED.value)
  return [found[i] for i in sorted(rng.permutation(len(found))[:count])]


if __name__ == "__main__":
  app.run(main)
