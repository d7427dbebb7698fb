"""Deforms a sphere until its silhouettes match those of a part.

    python -m experiments.deform_sphere --out=shape.png

Each start is a randomly rotated ellipsoid of random radii. A Laplacian keeps
the surface smooth, and a penalty on edge lengths keeps the faces even. A start
succeeds if its silhouette IoU, the mean over the fitted views, exceeds .95. The
IoU in as many other views is printed beside it. A sphere cannot become a part
with a hole, and silhouettes do not show a cavity.
"""

import time

from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table

OUT = flags.DEFINE_string("out", "shape.png", "PNG file to write.")
ANIMATION = flags.DEFINE_string(
  "animation", None, "GIF of the descent to write."
)
PART = flags.DEFINE_string("part", "hex_flange_screw", "Class of sample parts.")
FACES = flags.DEFINE_integer("faces", 300, "Face budget of the part.")
STARTS = flags.DEFINE_integer("starts", 3, "Random ellipsoids.")
VIEWS = flags.DEFINE_integer("views", 8, "Silhouettes to fit.")
SIZE = flags.DEFINE_integer("size", 64, "Pixels.")
STEPS = flags.DEFINE_integer("steps", 80, "Steps of the descent.")
CUTS = flags.DEFINE_integer("cuts", 3, "The sphere has 20 times 4^cuts faces.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the starts.")

SUCCESS = 0.95  # mean IoU of the fitted views
FRAMES = 40  # of the animation
SHOWN_VIEWS = 4  # in the figure


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax

  from dr3d.render.triangle import stack_meshes
  from experiments.inverse import figure, shape
  from experiments.inverse.model import load_sample

  begin = time.perf_counter()
  mesh = load_sample(PART.value, face_budget=FACES.value)
  found = shape.deform_spheres(
    stack_meshes([mesh], face_count=mesh.face_count),
    jax.random.key(SEED.value),
    starts=STARTS.value,
    views=VIEWS.value,
    size=SIZE.value,
    steps=STEPS.value,
    cuts=CUTS.value,
    keep_every=max(1, STEPS.value // FRAMES) if ANIMATION.value else 0,
  )
  rows = [
    [
      f"{i + 1}",
      f"{found.first_overlaps[i]:.3f}",
      f"{found.overlaps[i]:.3f}",
      f"{found.unseen_overlaps[i]:.3f}",
      "yes" if found.overlaps[i] > SUCCESS else "no",
    ]
    for i in range(STARTS.value)
  ]
  header = ["start", "IoU before", "IoU", "IoU in other views", "succeeds"]
  print(format_table(header, rows, right=range(len(header))))
  best = found.best
  print(
    f"success (IoU above {SUCCESS:g}):"
    f" {100 * (found.overlaps > SUCCESS).mean():.0f} % of single starts; the"
    f" best by its loss reaches {found.overlaps[best]:.3f};"
    f" {time.perf_counter() - begin:.0f} s"
  )
  images = [
    [
      found.part[v],
      1 - found.targets[v],
      1 - found.first_images[best, v],
      1 - found.images[best, v],
      figure.difference(found.images[best, v], found.targets[v]),
      found.shaded[best, v],
    ]
    for v in range(min(SHOWN_VIEWS, VIEWS.value))
  ]
  figure.save_grid(
    OUT.value,
    images,
    columns=["part", "silhouette", "start", "fitted", "difference", "solid"],
    names=[f"view {v + 1}" for v in range(len(images))],
    title=f"{PART.value} from {VIEWS.value} silhouettes,"
    f" IoU {found.overlaps[best]:.3f}",
  )
  if ANIMATION.value:
    figure.save_animation(
      ANIMATION.value, [(found.part[0], frame) for frame in found.path]
    )


if __name__ == "__main__":
  app.run(main)
