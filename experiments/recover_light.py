"""Recovers the light in an image of a known part, from several starts.

    python -m experiments.recover_light --out=light.png

The part, its pose and the camera are known. The direction of the light, its
colour and the ambient light are not. A start succeeds if the direction is
within two degrees of the truth.
"""

import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table

OUT = flags.DEFINE_string("out", "light.png", "PNG file to write.")
ANIMATION = flags.DEFINE_string(
  "animation", None, "GIF of the descent to write."
)
PART = flags.DEFINE_string("part", "pipe_elbow", "Class of sample parts.")
FACES = flags.DEFINE_integer("faces", 300, "Face budget of the part.")
TARGETS = flags.DEFINE_integer("targets", 4, "Images, each with its light.")
STARTS = flags.DEFINE_integer("starts", 6, "Random starts for each image.")
SIZE = flags.DEFINE_integer("size", 64, "Pixels.")
STEPS = flags.DEFINE_integer("steps", 150, "Steps of the descent.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of poses, lights and starts.")

SUCCESS = 2.0  # degrees
FRAMES = 40  # of the animation


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax

  from dr3d.render.triangle import stack_meshes
  from experiments.inverse import figure, light
  from experiments.inverse.model import load_sample

  begin = time.perf_counter()
  mesh = load_sample(PART.value, face_budget=FACES.value)
  found = light.recover_lights(
    stack_meshes([mesh], face_count=mesh.face_count),
    jax.random.key(SEED.value),
    targets=TARGETS.value,
    starts=STARTS.value,
    size=SIZE.value,
    steps=STEPS.value,
    keep_every=max(1, STEPS.value // FRAMES) if ANIMATION.value else 0,
  )
  rows, images = [], []
  for t, best in enumerate(found.best):
    success = found.angles[t] < SUCCESS
    rows.append(
      [
        f"{t + 1}",
        f"{success.sum()} of {len(success)}",
        f"{found.first_angles[t, best]:.0f}",
        f"{found.angles[t, best]:.2f}",
        f"{found.intensities[t, best]:.3f}",
        "yes" if success[best] else "no",
      ]
    )
    images.append(
      [
        found.targets[t],
        found.first_images[t, best],
        found.images[t, best],
        figure.difference(found.images[t, best], found.targets[t]),
        found.images[t, found.losses[t].argmax()],
      ]
    )
  header = ["image", "starts that succeed", "start, degrees off"]
  header += ["best, degrees off", "intensity off", "best succeeds"]
  print(format_table(header, rows, right=range(len(header))))
  angles = found.angles[np.arange(TARGETS.value), found.best]
  print(
    f"success (direction within {SUCCESS:g} degrees):"
    f" {100 * (found.angles < SUCCESS).mean():.0f} % of single starts,"
    f" {100 * (angles < SUCCESS).mean():.0f} % of images by their best of"
    f" {STARTS.value} starts; {time.perf_counter() - begin:.0f} s"
  )
  figure.save_grid(
    OUT.value,
    images,
    columns=["image", "best start", "recovered", "difference", "worst start"],
    names=[f"{angle:.2f}° off" for angle in angles],
    title=f"light from one image, best of {STARTS.value} starts by its loss",
  )
  if ANIMATION.value:
    figure.save_animation(
      ANIMATION.value, [(found.targets[0], frame) for frame in found.path]
    )


if __name__ == "__main__":
  app.run(main)
