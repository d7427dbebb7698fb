"""A training run of retrieval on a dozen small models, of some seconds."""

import numpy as np
import trimesh

from dr3d.mesh import make_mesh
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.triangle import RenderConfig
from dr3d.retrieval.batch import BatchConfig
from dr3d.retrieval.pipeline import PipelineConfig
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.train import train

STEPS = 40


CONFIG = TrainConfig(
  batch=BatchConfig(model_count=8, models_per_class=2, view_count=None),
  checkpoint_every=5,
  pipeline=PipelineConfig(
    view_count=2,
    render=RenderConfig(size=16),
    embed=EncoderConfig(feature_size=16, widths=(8, 16)),
  ),
  optimizer=OptimizerConfig(steps=STEPS, embed_rate=4e-3, render_every=1),
  whitening=0.5,
)


def make_models():
  """Boxes, cylinders, cones and ellipsoids in random proportions."""
  rng = np.random.default_rng(0)
  makers = {
    "box": lambda a, b, c: trimesh.creation.box([a, b, c]),
    "cylinder": lambda a, b, c: trimesh.creation.cylinder(a, b, sections=8),
    "cone": lambda a, b, c: trimesh.creation.cone(a, b, sections=8),
    "ball": lambda a, b, c: trimesh.creation.icosphere(1).apply_scale(
      [a, b, c]
    ),
  }
  meshes, labels = [], []
  for label, maker in makers.items():
    for _ in range(3):
      shape = maker(*rng.uniform(0.5, 1.5, 3))
      meshes.append(make_mesh(shape.vertices, shape.faces))
      labels.append(label)
  return meshes, labels


def call(workdir, config=CONFIG, models=None, **options):
  """Trains `config` on `models`, or on those of `make_models`."""
  meshes, labels = models or make_models()
  return train(
    meshes, labels, config=config, workdir=workdir, progress=False, **options
  )
