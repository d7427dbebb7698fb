r"""The step of the patent: two models, and Eq. 1 over all triplets.

    python -m experiments.train --config=experiments/configs/pair.py \
      --data=parts --workdir=work/pair

Hardware: two CPU cores. Minutes: see the README. Expect: nearly all triplets
inactive after some hundred steps, and a lower accuracy than part.py.

`loss.within = 1` adds the mean of Eq. 3b over the pairs of views. For Eq. 3 as
printed, without guards, see `recipe.literal_config` and
`dr3d train --recipe=literal`.

References:
  WO 2021/178001 [0024, 0025].
"""

from ml_collections import ConfigDict

from dr3d.retrieval.batch import BatchConfig
from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.retrieval.step import LossConfig
from dr3d.runtime.config import to_values


def get_config() -> ConfigDict:
  """Returns the defaults with pairs of models and all negatives."""
  config = TrainConfig(
    batch=BatchConfig(sampling="pair", view_count=None),
    loss=LossConfig(task="triplet", mining="all", within=1.0),
    optimizer=OptimizerConfig(render_every=1),
  )
  return ConfigDict(to_values(config))
