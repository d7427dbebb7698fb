r"""A field of 200 chairs, each seen once; see `experiments.make_field_set`.

    python -m experiments.train_field --config=experiments/configs/field.py \
      --cameras=work/chairs/train --workdir=work/field

Hardware: one CPU core. Minutes: see `experiments/results/field.md`. Expect: the
losses of colour and mask fall by a factor of ten or more.
"""

from ml_collections import ConfigDict

from dr3d.field.config import BatchConfig, FieldConfig
from dr3d.nn.radiance import NetworkConfig
from dr3d.runtime.config import to_values


def get_config() -> ConfigDict:
  """Returns a smaller network than the text has, for a core and minutes."""
  return ConfigDict(
    to_values(
      FieldConfig(
        network=NetworkConfig(width=64, depth=5, background=False),
        batch=BatchConfig(pictures=64, pixels=8, samples=48),
        size=48,
        steps=3000,
        draw_every=1000,
      )
    )
  )
