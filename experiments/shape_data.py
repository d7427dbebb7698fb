r"""Writes the set of shapes that the shape model learns from.

    python -m experiments.shape_data --parts=parts --out=work/shapes.npz

The set holds the catalogue that ships with dr3d, families of random solids and,
by flag, real meshes. Two models of each class of the catalogue, one member of
each of some families and the parts' own test split are held out as `test`.
With `--foreign`, a folder of folders, models of classes that the training never
sees become the split `foreign`.
"""

import pathlib
import tempfile
from collections.abc import Iterator

import tqdm
from absl import app, flags

from dr3d.data import sample
from dr3d.data.folder import ModelFile, find_models
from dr3d.error import MeshError
from dr3d.mesh import Mesh, load_mesh, make_mesh
from dr3d.shape.dataset import make_set, save_set
from experiments.partition import read_splits
from experiments.synthesis.family import make_solid

OUT = flags.DEFINE_string("out", None, "File to write, .npz.", required=True)
FAMILIES = flags.DEFINE_integer("families", 300, "Families of solids.")
MEMBERS = flags.DEFINE_integer("members", 2, "Solids of each to train on.")
HELD_OUT = flags.DEFINE_integer(
  "held_out", 60, "Families of which one more member is held out."
)
SEED = flags.DEFINE_integer("seed", 1, "Seed of the solids and the points.")
PARTS = flags.DEFINE_string("parts", None, "Folder with index.csv of parts.")
PARTS_CLASSES = flags.DEFINE_list(
  "parts_classes", [], "Classes of the parts to use; empty for all."
)
PARTS_MAX = flags.DEFINE_integer(
  "parts_max", 20, "Parts of a class and a split."
)
FOREIGN = flags.DEFINE_string("foreign", None, "Folder of classes to test on.")
FOREIGN_CLASSES = flags.DEFINE_list(
  "foreign_classes", ["human", "fighter_jet"], "Classes of it to use."
)
FOREIGN_MAX = flags.DEFINE_integer("foreign_max", 20, "Models of a class.")

Row = tuple[str, str, str, Mesh]


def main(_) -> None:
  with tempfile.TemporaryDirectory() as folder:
    files = _list_files(pathlib.Path(folder))
    rows = tqdm.tqdm(_read(files), unit="shape", mininterval=20)
    shapes = make_set(rows, seed=SEED.value, skipped=_tell)
  save_set(shapes, pathlib.Path(OUT.value))
  counts = {split: shapes.splits.count(split) for split in set(shapes.splits)}
  print(f"{OUT.value}: {len(shapes)} shapes, {counts}")


def _list_files(folder: pathlib.Path) -> list[tuple[str, ModelFile]]:
  """Lists files with their splits."""
  catalogue = find_models(sample.unpack(folder))
  train, test = sample.split(catalogue, held_out=2)
  files = [("train", file) for file in train] + [("test", f) for f in test]
  if PARTS.value:
    for split, members in read_splits(PARTS.value).items():
      files += [(split, file) for file in _limit(members)]
  if FOREIGN.value:
    root = pathlib.Path(FOREIGN.value)
    for label in FOREIGN_CLASSES.value:
      paths = sorted((root / label).iterdir())[: FOREIGN_MAX.value]
      files += [
        ("foreign", ModelFile(path, f"{label}/{path.name}", label))
        for path in paths
      ]
  return files


def _limit(files: list[ModelFile]) -> list[ModelFile]:
  """Returns the parts of the chosen classes, the first ones of each."""
  chosen: dict[str, list[ModelFile]] = {}
  for file in files:
    if not PARTS_CLASSES.value or file.label in PARTS_CLASSES.value:
      chosen.setdefault(file.label, []).append(file)
  return [f for group in chosen.values() for f in group[: PARTS_MAX.value]]


def _read(files: list[tuple[str, ModelFile]]) -> Iterator[Row]:
  for split, file in files:
    try:
      yield file.name, file.label, split, load_mesh(file.path, face_budget=None)
    except MeshError as error:
      _tell(file.name, str(error))
  for family in range(FAMILIES.value):
    held_out = family < HELD_OUT.value
    for member in range(MEMBERS.value + held_out):
      name = f"solid_{family:04d}/{member}"
      split = "train" if member < MEMBERS.value else "test"
      try:
        mesh = make_mesh(*make_solid(family, member, seed=SEED.value))
      except (ValueError, MeshError) as error:  # its cuts removed everything
        _tell(name, str(error))
        continue
      yield name, "solid", split, mesh


def _tell(name: str, reason: str) -> None:
  tqdm.tqdm.write(f"{name} is left out: {reason}")


if __name__ == "__main__":
  app.run(main)
