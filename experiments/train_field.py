r"""Trains a field; the same command resumes an interrupted run.

    python -m experiments.train_field --config=experiments/configs/field.py \
      --cameras=work/chairs/train --workdir=work/field

Flags override fields of the config: `--config.loss.hard=0`. The other flags
make the variants of `experiments/results/field.md`: fewer objects, no masks,
cameras from noisy landmarks.
"""

import dataclasses
import pathlib
import time

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from dr3d.cli import environment
from dr3d.runtime.config import from_values

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Configuration of the run."
)
CAMERAS = flags.DEFINE_string(
  "cameras", None, "transforms.json or its folder.", required=True
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; made.", required=True
)
OBJECTS = flags.DEFINE_integer("objects", None, "Use the first pictures only.")
MASKS = flags.DEFINE_bool("masks", True, "Whether to use the masks.")
NOISE = flags.DEFINE_float(
  "landmark_noise",
  None,
  "Fit the cameras to the file's landmarks with this noise, a share of their"
  " span; None uses the cameras of the file.",
)
flags.mark_flag_as_required("config")

USED = (0, 1, 2, 4, 5)  # three corners of the seat and the two of the back


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.field.config import FieldConfig
  from dr3d.field.reading import read_pictures
  from dr3d.field.train import train

  config = from_values(FieldConfig, CONFIG.value.to_dict())
  cameras = pathlib.Path(CAMERAS.value)
  pictures = read_pictures(cameras, size=config.size)
  if NOISE.value is not None:
    views = fit_noisy(cameras, pictures, NOISE.value, config.seed)
    pictures = dataclasses.replace(pictures, views=views)
  if OBJECTS.value:
    pictures = pictures.take(np.arange(OBJECTS.value))
  if not MASKS.value:
    pictures = dataclasses.replace(pictures, masks=None)
  begin, cpu = time.perf_counter(), time.process_time()
  train(pictures, config=config, workdir=WORKDIR.value)
  print(
    f"{WORKDIR.value}: {len(pictures.images)} pictures,"
    f" {(time.process_time() - cpu) / 60:.1f} CPU minutes,"
    f" {(time.perf_counter() - begin) / 60:.1f} minutes"
  )


def fit_noisy(cameras, pictures, noise, seed):
  """Cameras fitted to five noisy landmarks of each picture."""
  from dr3d.camera.landmark import fit_cameras
  from dr3d.camera.matrix import to_opencv
  from dr3d.camera.view import take_views
  from dr3d.field.camera_file import read_cameras

  file = read_cameras(cameras)
  marks = [frame.landmarks for frame in file.frames]
  pixels = np.stack([mark for mark in marks if mark is not None])[:, USED]
  points = np.asarray(file.points)
  span = np.ptp(pixels, axis=1).max(axis=1)[:, None, None]
  rng = np.random.default_rng(seed)
  noisy = pixels + noise * span * rng.normal(size=pixels.shape)
  first = to_opencv(
    take_views(pictures.views, np.arange(1)), size=pictures.size
  )
  # OpenCV counts from the centre of the first pixel.
  fit = fit_cameras(
    noisy - 0.5,
    points[list(USED)],
    np.asarray(first.intrinsics[0]),
    size=pictures.size,
  )
  found = np.asarray(fit.views.quaternion)
  true = np.asarray(pictures.views.quaternion)
  angle = 2 * np.arccos(np.abs((found * true).sum(-1)).clip(0, 1))
  print(
    f"cameras from {len(USED)} landmarks with noise {noise:g}: rotation error"
    f" {np.degrees(np.median(angle)):.1f} degrees in the median,"
    f" {np.degrees(np.quantile(angle, 0.9)):.1f} at nine in ten, residual"
    f" {fit.error.mean():.2f} pixels",
    flush=True,
  )
  return fit.views


if __name__ == "__main__":
  app.run(main)
