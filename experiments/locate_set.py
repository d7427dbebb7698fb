"""Makes the expanded set that the locator learns from, or is tested on.

    python -m experiments.locate_set --out=work/locate/train --solids=0,600 \
      --parts=parts --scenes=3000
    python -m experiments.locate_set --out=work/locate/held_out \
      --solids=20000,20060 --scenes=400 --seed=1
    python -m experiments.locate_set --out=work/locate/test --catalogue \
      --solids=30000,30060 --scenes=400 --seed=2

Objects are generated solids (`experiments.synthesis`), the train split of parts
whose licence allows it, and the catalogue that ships. The same command resumes.
"""

import csv
import pathlib
import tempfile

import numpy as np
from absl import app, flags

from dr3d.cli import console, environment
from dr3d.error import Dr3dError

OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
SOLIDS = flags.DEFINE_list("solids", [], "First and last family, exclusive.")
MEMBERS = flags.DEFINE_integer("members", 2, "Solids of a family.")
PARTS = flags.DEFINE_string(
  "parts", None, "Folder with an index.csv that has the column source_set."
)
SOURCE = flags.DEFINE_string("source", "freecad_parts", "Source set to use.")
CATALOGUE = flags.DEFINE_bool("catalogue", False, "Use the catalogue.")
PER_CLASS = flags.DEFINE_integer("per_class", 4, "Models of a class, at most.")
VIEWS = flags.DEFINE_integer("views", 6, "Painted views of a model.")
PLAIN = flags.DEFINE_integer("plain", 2, "Grey views of a model.")
PIXELS = flags.DEFINE_integer("pixels", 144, "Sides of a cut-out, pixels.")
SCENES = flags.DEFINE_integer("scenes", 400, "Scenes.")
SIZE = flags.DEFINE_integer("size", 192, "Sides of a scene, pixels.")
DISTORTED = flags.DEFINE_bool("distorted", True, "Apply distortions.")
SEED = flags.DEFINE_integer("seed", 0, "Seed.")
SHEET = flags.DEFINE_string("sheet", None, "Contact sheet to write, .png.")
BATCH = 8  # models that are drawn together


def list_models(folder: pathlib.Path) -> list[tuple[str, str, object]]:
  """Name, category and source of each model: a path, or family and member."""
  models: list[tuple[str, str, object]] = []
  if SOLIDS.value:
    first, last = (int(number) for number in SOLIDS.value)
    for family in range(first, last):
      for member in range(MEMBERS.value):
        name = f"solid_{family}_{member}"
        models.append((name, f"solid_{family}", (family, member)))
  rng = np.random.default_rng(SEED.value)
  classes: dict[str, list[pathlib.Path]] = {}
  if PARTS.value:
    root = pathlib.Path(PARTS.value)
    with (root / "index.csv").open(newline="") as stream:
      for row in csv.DictReader(stream):
        if row["split"] == "train" and row["source_set"] == SOURCE.value:
          classes.setdefault(row["class"], []).append(root / row["file"])
  if CATALOGUE.value:
    from dr3d.data.sample import unpack

    for path in sorted(unpack(folder).glob("*/*.stl")):
      classes.setdefault(path.parent.name, []).append(path)
  for label, paths in sorted(classes.items()):
    chosen = rng.permutation(len(paths))[: PER_CLASS.value]
    models += [(f"{label}_{i}", label, paths[i]) for i in sorted(chosen)]
  return models


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.locate.dataset import ExpandedSet, expand

  data = ExpandedSet(pathlib.Path(OUT.value))
  with tempfile.TemporaryDirectory() as folder:
    models = list_models(pathlib.Path(folder))
    missing = [each for each in models if each[0] not in data.by_model]
    with console.progress(len(missing), "drawing cut-outs") as show:
      for start in range(0, len(missing), BATCH):
        add_models(data, missing[start : start + BATCH], start)
        show(min(start + BATCH, len(missing)), len(missing))
  with console.progress(SCENES.value, "composing scenes") as show:
    expand(
      data,
      count=SCENES.value,
      size=(SIZE.value, SIZE.value),
      seed=SEED.value,
      distorted=DISTORTED.value,
      progress=show,
    )
  if SHEET.value:
    from PIL import Image

    from dr3d.locate.contact_sheet import draw_sheet

    Image.fromarray(draw_sheet(data, count=24, columns=3)).save(SHEET.value)
  shown = sum(bool(scene.boxes) for scene in data.scenes)
  print(
    f"{OUT.value}: {len(data.by_model)} models, {len(data.cutouts)} cut-outs,"
    f" {len(data.scenes)} scenes, {shown} with the target."
  )


def add_models(data, models, number: int) -> None:
  """Draws some models and adds their cut-outs."""
  from dr3d.locate.cutout import FACES, render_cutouts
  from dr3d.mesh import load_mesh, make_mesh
  from experiments.synthesis.family import make_solid

  meshes, kept = [], []
  for name, category, source in models:
    try:
      if isinstance(source, pathlib.Path):
        mesh = load_mesh(source, face_budget=FACES)
      else:
        mesh = make_mesh(*make_solid(*source), face_budget=FACES)
    except Dr3dError as error:
      console.print_error(f"dr3d: skipped {name}: {error}")
      continue
    meshes.append(mesh)
    kept.append((name, category))
  if not meshes:
    return
  padded = meshes + [meshes[-1]] * (BATCH - len(meshes))
  rng = np.random.default_rng([SEED.value, number])
  for painted, count in ((True, VIEWS.value), (False, PLAIN.value)):
    drawn = render_cutouts(
      padded, rng, count=count, size=PIXELS.value, painted=painted
    )
    for (name, category), images in zip(kept, drawn, strict=False):
      data.add_cutouts(images, model=name, category=category, plain=not painted)


if __name__ == "__main__":
  app.run(main)
