"""Which encoder T is, and how large."""

import dataclasses
from typing import Literal

Backbone = Literal["small", "lite0", "joint", "photo"]
Exchange = Literal["none", "norm", "recurrence"]


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """T.

  Attributes:
    feature_size: D, length of a feature vector.
    widths: channels of the small CNN's stages. The first stage has a quarter of
      the image's height and width, and each later one half of the stage before.
    depth: residual blocks in a stage of the small CNN.
    attention: whether the N images of a model exchange information; for the
      small CNN alone.
    exchange: what the N images exchange information by, besides attention:
      `"norm"`, batch norm over them, or `"recurrence"`; see `nn.exchange`. For
      the small CNN alone.
    stem: channels of a layer of the small CNN at half the image's height and
      width; 0 omits it, which is faster and separates similar shapes less well.
    backbone: `"small"`, a CNN that starts from random weights; `"lite0"`,
      EfficientNet-Lite0, which photographs have taught; `"joint"`, the vectors
      of both, half of D each; `"photo"`, one that compares photographs with
      renderings, see `nn.photo`.
  """

  feature_size: int = 128
  widths: tuple[int, ...] = (32, 64, 128)
  depth: int = 1
  attention: bool = False
  stem: int = 0
  backbone: Backbone = "small"
  exchange: Exchange = "none"

  @property
  def mixes_views(self) -> bool:
    """Whether a vector depends on all images of its model."""
    return self.attention or self.exchange != "none"
