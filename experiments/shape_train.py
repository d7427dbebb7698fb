r"""Trains the shape model: auto-encoder, then picture encoder and generator.

    python -m experiments.shape_train --config=experiments/configs/shape.py \
      --data=work/shapes.npz --workdir=work/shape

Trains on the split `train` of the file that `experiments.shape_data` wrote.
Flags override fields of the config: `--config.autoencoder.loop.steps=100`. The
same command resumes an interrupted run. `WORKDIR/model` is the shape model,
which each training completes; `--only` chooses one of the three.
"""

import dataclasses
import pathlib

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from dr3d.cli import environment
from dr3d.runtime.config import from_values, to_values
from dr3d.training.workdir import lock_run

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Configuration of the run."
)
DATA = flags.DEFINE_string("data", None, "Set of shapes, .npz.", required=True)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; made.", required=True
)
ONLY = flags.DEFINE_enum(
  "only", None, ["autoencoder", "picture", "generator"], "Which to train."
)
flags.mark_flag_as_required("config")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.shape.dataset import load_set
  from dr3d.shape.model import ShapeConfig

  workdir = pathlib.Path(WORKDIR.value).absolute()
  config = from_values(ShapeConfig, CONFIG.value.to_dict())
  shapes = load_set(pathlib.Path(DATA.value)).split("train")
  trainings = {
    "autoencoder": _train_autoencoder,
    "picture": _train_picture,
    "generator": _train_generator,
  }
  for name, train in trainings.items():
    if ONLY.value in (None, name):
      part = to_values(getattr(config, name))
      lock_run(workdir / name, {"data": len(shapes), **part})
      model = train(shapes, config, workdir)
      model.save(workdir / "model")
      print(f"{workdir / 'model'}: {name} is trained")


def _train_autoencoder(shapes, config, workdir):
  from dr3d.shape.autoencoder import train_autoencoder
  from dr3d.shape.model import ShapeConfig, ShapeModel

  params = train_autoencoder(
    shapes.voxels,
    config=config.autoencoder,
    workdir=workdir / "autoencoder",
  )
  config = ShapeConfig(config.autoencoder)
  model = ShapeModel(config, params, codes=np.zeros((0, 0)))
  return dataclasses.replace(model, codes=model.encode_voxels(shapes.voxels))


def _train_picture(shapes, config, workdir):
  from dr3d.shape.model import ShapeModel
  from dr3d.shape.picture import train_pictures

  model = ShapeModel.load(workdir / "model")
  return train_pictures(
    model, shapes, config=config.picture, workdir=workdir / "picture"
  )


def _train_generator(shapes, config, workdir):
  from dr3d.shape.generator import train_generator
  from dr3d.shape.model import ShapeModel

  del shapes  # the generator learns from their codes, which the model holds
  return train_generator(
    ShapeModel.load(workdir / "model"),
    config=config.generator,
    workdir=workdir / "generator",
  )


if __name__ == "__main__":
  app.run(main)
