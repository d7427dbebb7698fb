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


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax

  from dr3d.render.triangle import stack_meshes
  from experiments.inverse import pose, start
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
    keep_every=max(1, STEPS.value // start.FRAMES) if ANIMATION.value else 0,
  )
  start.report_starts(
    found,
    name="pose",
    angle="rotation",
    error="distance off, %",
    format_error=lambda error: f"{100 * error:.2f}",
    success=SUCCESS,
    figure_path=OUT.value,
    animation_path=ANIMATION.value,
    begin=begin,
  )


if __name__ == "__main__":
  app.run(main)
