r"""Fixed viewpoints beside `part.py`: the same run, but G does not learn.

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
  """The defaults of `TrainConfig` with the whole of G frozen."""
  config = TrainConfig(optimizer=OptimizerConfig(trainable=()))
  return ConfigDict(to_values(config))
