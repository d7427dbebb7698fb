r"""The general pipeline that ships with dr3d: random solids and real parts.

    python -m experiments.make_general --parts=parts --out=work/general --scans
    python -m experiments.train --config=experiments/configs/general.py \
      --data=work/general --workdir=work/general.run

Hardware: two CPU cores, 76 minutes. `general_scans.py` continues this run.

A step sees 32 of 1 500 families, so a prototype is rarely the target of an
image: within 300 steps T learns nothing from the prototype loss here. The
contrastive loss compares the images of a batch with each other and works. A
second contrastive loss compares whole models, view by view.
"""

from ml_collections import ConfigDict

from dr3d.retrieval.recipe import TrainConfig
from dr3d.runtime.config import to_values


def get_config() -> ConfigDict:
  """Twelve views, two of them in a step; 64 models, two of each class."""
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
