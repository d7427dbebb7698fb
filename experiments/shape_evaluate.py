r"""Measures a shape model on shapes that it was not trained on.

    python -m experiments.shape_evaluate --data=work/shapes.npz \
      --model=work/shape/model --out=work/shape/figures

Prints tables of Markdown: reconstruction, beside the mean shape of the class,
the training shape of the nearest code and the best training shape; lifting of
rendered pictures beside the same; search with the lifted mesh beside the
picture itself; generation; refinement beside the dense grid.
"""

import pathlib
import resource
import time

from absl import app, flags

from dr3d.cli import environment

DATA = flags.DEFINE_string("data", None, "Set of shapes, .npz.", required=True)
MODEL = flags.DEFINE_string("model", None, "Shape model; the shipped one.")
OUT = flags.DEFINE_string("out", None, "Folder of figures.", required=True)
PARTS = flags.DEFINE_list(
  "only",
  ["refinement", "reconstruction", "lifting", "search", "generation", "dream"],
  "What to measure.",
)
COUNT = flags.DEFINE_integer("count", 60, "Shapes of the test split.")
FINE = flags.DEFINE_integer("fine", 12, "Of them at 64³ and by surface.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.shape.dataset import load_set
  from dr3d.shape.model import ShapeModel
  from experiments import shape_measure, shape_study

  shapes = load_set(pathlib.Path(DATA.value))
  model = ShapeModel.load(MODEL.value)
  out = pathlib.Path(OUT.value)
  out.mkdir(parents=True, exist_ok=True)
  train = shapes.split("train")
  test = shape_measure.choose(shapes.split("test"), COUNT.value)
  for name in PARTS.value:
    start = time.perf_counter()
    home = (
      shape_measure if name in ("reconstruction", "lifting") else shape_study
    )
    measure = getattr(home, f"measure_{name}")
    for line in measure(model, train, test, shapes, out, fine=FINE.value):
      print(line, flush=True)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{name}: {seconds:.0f} s, {memory:.0f} MiB at most\n", flush=True)


if __name__ == "__main__":
  app.run(main)
