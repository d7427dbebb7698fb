r"""Fixed views, to compare with `part.py`: the same run, but G does not move.

    python -m experiments.train --config=experiments/configs/part_fixed.py \
      --data=parts --workdir=work/part_fixed

Hardware: two CPU cores. Minutes: fewer than part.py. Expect: an accuracy close
to that of learned viewpoints.
"""

from ml_collections import ConfigDict

from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.runtime.config import to_values


def get_config() -> ConfigDict:
  """Returns the defaults with all parts of G frozen."""
  config = TrainConfig(optimizer=OptimizerConfig(trainable=()))
  return ConfigDict(to_values(config))
