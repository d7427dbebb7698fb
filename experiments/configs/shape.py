r"""The shape model: auto-encoder, picture encoder and generator of codes.

    python -m experiments.shape_train --config=experiments/configs/shape.py \
      --data=work/shapes.npz --workdir=work/shape

Hardware: one CPU core. Minutes: see experiments/results/shape.md. Expect: an
IoU at the sampled points, most of them near the surface, of .83 at the end.

`--config=experiments/configs/shape.py:published` has the settings of the paper,
which need some GPU-days.
"""

from ml_collections import ConfigDict

from dr3d.runtime.config import to_values
from dr3d.shape.config import (
  AutoencoderConfig,
  GeneratorConfig,
  PictureConfig,
  published_config,
)


def get_config(row: str = "default") -> ConfigDict:
  """Returns the settings of the three trainings.

  Raises:
    ValueError: the row is unknown.
  """
  rows = {"default": AutoencoderConfig, "published": published_config}
  if row not in rows:
    raise ValueError(f"the rows are {', '.join(rows)}, not {row}.")
  return ConfigDict(
    {
      "autoencoder": to_values(rows[row]()),
      "picture": to_values(PictureConfig()),
      "generator": to_values(GeneratorConfig()),
    }
  )
