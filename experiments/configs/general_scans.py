r"""The general pipeline's second part: T goes on with imitated scans.

    python -m experiments.train --config=experiments/configs/general_scans.py \
      --data=work/general --index_csv=work/general/scans.csv \
      --init=work/general.run --workdir=work/general_scans.run

Hardware: two CPU cores, 30 minutes, 7 of them reading. Expect:
`dr3d/pretrained/README.md`.

Half of what it sees are scans, each of the class of the model that it imitates:
simplified, with holes in one side and noise in the normals' directions, as the
faults that are imitated on the way (`AugmentConfig`) are not. G stays.
"""

from ml_collections import ConfigDict

from experiments.configs import general


def get_config() -> ConfigDict:
  """As `general.py`, but T alone moves, at half the rate, for fewer steps."""
  config = general.get_config()
  config.optimizer.steps = 2200
  config.optimizer.embed_rate = 1e-3
  config.optimizer.trainable = ()
  return config
