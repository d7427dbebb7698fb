r"""The general pipeline that ships with dr3d: random solids and real parts.

    python -m experiments.make_general --parts=parts --out=work/general --scans
    python -m experiments.train --config=experiments/configs/general.py \
      --data=work/general --workdir=work/general.run

Hardware: two CPU cores, 76 minutes. `general_scans.py` goes on from here.

Of 1 500 families a step shows sixteen, so that prototypes of classes are hardly
ever right or wrong: within 300 steps T learns nothing by them here, and the
contrastive loss, which compares the batch with itself, works: of images, and of
whole models, whose views are compared with the same views of other models.
"""

from ml_collections import ConfigDict

from dr3d.retrieval.recipe import TrainConfig
from dr3d.runtime.config import to_values


def get_config() -> ConfigDict:
  """Twelve views; two of them a step, of many models, two of a class."""
  config = ConfigDict(to_values(TrainConfig()))
  config.pipeline.view_count = 12
  config.pipeline.embed.stem = 24
  config.pipeline.embed.widths = (48, 96, 160)
  config.loss.task = "contrastive"
  config.loss.models = 1.0
  config.batch.model_count = 64
  config.batch.view_count = 2
  config.batch.models_per_class = 2
  config.batch.balance = 1.0
  config.optimizer.steps = 4500
  config.optimizer.render_every = 8
  config.whitening = 1.0
  return config
