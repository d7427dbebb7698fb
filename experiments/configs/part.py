r"""Learned viewpoints on 39 classes of mechanical and electronic parts.

    python -m experiments.train --config=experiments/configs/part.py \
      --data=parts --workdir=work/part

Hardware: two CPU cores. Minutes: see the README. Expect: all losses fall, and
the run does not stop with a collapse.
"""

from ml_collections import ConfigDict

from dr3d.retrieval.recipe import TrainConfig
from dr3d.runtime.config import to_values


def get_config() -> ConfigDict:
  """Returns the defaults of `TrainConfig`."""
  return ConfigDict(to_values(TrainConfig()))
