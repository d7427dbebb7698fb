r"""The second part of the general pipeline: T continues with simulated scans.

    python -m experiments.train --config=experiments/configs/general_scans.py \
      --data=work/general --index_csv=work/general/scans.csv \
      --init=work/general.run --workdir=work/general_scans.run

Hardware: two CPU cores, 30 minutes, 7 of them reading. Expect:
`dr3d/pretrained/README.md`.

Half of the models are simulated scans, each with the class of its original.
They are simplified, have holes in one side and noise along the normals, which
the augmentation (`AugmentConfig`) does not simulate. G does not move.
"""

from ml_collections import ConfigDict

from experiments.configs import general


def get_config() -> ConfigDict:
  """As `general.py`, but only T moves, at half the rate, for fewer steps."""
  config = general.get_config()
  config.optimizer.steps = 2200
  config.optimizer.embed_rate = 1e-3
  config.optimizer.trainable = ()
  return config
