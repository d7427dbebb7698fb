"""Recovers the pose of a camera from one image, from many random starts.

    python -m experiments.recover_pose --out=pose.png

The part, the light and the lens are known. The rotation of the part and the
distance of the camera are not. The starts are random rotations. Most single
starts end in a wrong pose that looks similar from afar. The table tells the
share of single starts that succeed, and whether the start with the least loss
did. A start succeeds if the rotation is within two degrees of the truth.
"""

import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table

OUT = flags.DEFINE_string("out", "pose.png", "PNG file to write.")
ANIMATION = flags.DEFINE_string(
  "animation", None, "GIF of the descent to write."
)
TARGETS = flags.DEFINE_integer("targets", 4, "Images, each in a random pose.")
STARTS = flags.DEFINE_integer("starts", 12, "Random starts for each image.")
SPREAD = flags.DEFINE_float(
  "spread", 180, "Largest rotation of a start from the truth, degrees."
)
SIZE = flags.DEFINE_integer("size", 64, "Pixels.")
STEPS = flags.DEFINE_integer("steps", 120, "Steps of the descent.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of poses and starts.")

SUCCESS = 2.0  # degrees
FRAMES = 40  # of the animation


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax

  from dr3d.render.triangle import stack_meshes
  from experiments.inverse import figure, pose
  from experiments.inverse.model import make_bracket

  begin = time.perf_counter()
  mesh = make_bracket()
  triangles = stack_meshes([mesh], face_count=mesh.face_count)
  found = pose.recover_poses(
    triangles,
    jax.random.key(SEED.value),
    targets=TARGETS.value,
    starts=STARTS.value,
    size=SIZE.value,
    steps=STEPS.value,
    spread=np.radians(SPREAD.value),
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
        f"{100 * found.distances[t, best]:.2f}",
        "yes" if success[best] else "no",
      ]
    )
    worst = found.losses[t].argmax()
    target = found.targets[t]
    chosen = found.images[t, best]
    images.append(
      [
        target,
        found.first_images[t, best],
        chosen,
        figure.difference(chosen, target),
        found.images[t, worst],
      ]
    )
  header = ["image", "starts that succeed", "start, degrees off"]
  header += ["best, degrees off", "distance off, %", "best succeeds"]
  print(format_table(header, rows, right=range(len(header))))
  angles = found.angles[np.arange(TARGETS.value), found.best]
  print(
    f"success (rotation within {SUCCESS:g} degrees):"
    f" {100 * (found.angles < SUCCESS).mean():.0f} % of single starts,"
    f" {100 * (angles < SUCCESS).mean():.0f} % of images by their best of"
    f" {STARTS.value} starts; {time.perf_counter() - begin:.0f} s"
  )
  figure.save_grid(
    OUT.value,
    images,
    columns=["image", "best start", "recovered", "difference", "worst start"],
    names=[f"{angle:.2f}° off" for angle in angles],
    title=f"pose from one image, best of {STARTS.value} starts by its loss",
  )
  if ANIMATION.value:
    figure.save_animation(
      ANIMATION.value, [(found.targets[0], frame) for frame in found.path]
    )


if __name__ == "__main__":
  app.run(main)
