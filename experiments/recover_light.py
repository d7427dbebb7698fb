"""Recovers the light in an image of a known part, from several starts.

    python -m experiments.recover_light --out=light.png

The part, its pose and the camera are known. The direction of the light, its
colour and the ambient light are not. A start succeeds if the direction is
within two degrees of the truth.
"""

import time

from absl import app, flags

from dr3d.cli import environment

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


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax

  from dr3d.render.triangle import stack_meshes
  from experiments.inverse import light, start
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
    keep_every=max(1, STEPS.value // start.FRAMES) if ANIMATION.value else 0,
  )
  start.report_starts(
    found,
    name="light",
    angle="direction",
    error="intensity off",
    format_error=lambda error: f"{error:.3f}",
    success=SUCCESS,
    figure_path=OUT.value,
    animation_path=ANIMATION.value,
    begin=begin,
  )


if __name__ == "__main__":
  app.run(main)
