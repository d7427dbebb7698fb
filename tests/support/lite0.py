"""EfficientNet-Lite0 in NumPy, straight from tensors with PyTorch's names.

It shares no code with `dr3d.nn.lite0`: batch norms are not folded, windows are
cut out instead of images shifted, and the blocks are listed one by one.
"""

import numpy as np

# kernel, stride, expansion, input and output channels
BLOCKS = (
  (3, 1, 1, 32, 16),
  (3, 2, 6, 16, 24), (3, 1, 6, 24, 24),
  (5, 2, 6, 24, 40), (5, 1, 6, 40, 40),
  (3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80),
  (5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112),
  (5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192),
  (5, 1, 6, 192, 192), (3, 1, 6, 192, 320),
)  # fmt: skip


def make_tensors(seed=0):
  """Random tensors whose activations neither vanish nor all reach 6."""
  rng = np.random.default_rng(seed)
  tensors = {}

  def add(convolution, norm, *shape):
    channels, inputs = shape[0], np.prod(shape[1:])
    tensors[f"{convolution}.weight"] = rng.normal(size=shape) / inputs**0.5
    tensors[f"{norm}.weight"] = rng.uniform(0.8, 1.6, channels)
    tensors[f"{norm}.bias"] = rng.normal(size=channels) * 0.3
    tensors[f"{norm}.running_mean"] = rng.normal(size=channels) * 0.2
    tensors[f"{norm}.running_var"] = rng.uniform(0.3, 1.2, channels)

  add("_conv_stem", "_bn0", 32, 3, 3, 3)
  for i, (kernel, _, expansion, inputs, outputs) in enumerate(BLOCKS):
    name, inner = f"_blocks.{i}.", expansion * inputs
    if expansion > 1:
      add(name + "_expand_conv", name + "_bn0", inner, inputs, 1, 1)
    add(name + "_depthwise_conv", name + "_bn1", inner, 1, kernel, kernel)
    add(name + "_project_conv", name + "_bn2", outputs, inner, 1, 1)
  return {name: np.float32(array) for name, array in tensors.items()}


def describe(tensors, images):
  """`[I, H, W, 3]` in [0, 1] to the mean features of the last block."""
  tensors = {name: np.float64(array) for name, array in tensors.items()}

  def norm(x, name):
    mean, variance, scale, shift = (
      tensors[f"{name}.{part}"]
      for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + shift

  x = convolve((images * 255 - 127) / 128, tensors["_conv_stem.weight"], 2)
  x = norm(x, "_bn0").clip(0, 6)
  for i, (_, stride, expansion, _, _) in enumerate(BLOCKS):
    name, y = f"_blocks.{i}.", x
    if expansion > 1:
      y = convolve(y, tensors[name + "_expand_conv.weight"], 1)
      y = norm(y, name + "_bn0").clip(0, 6)
    y = convolve(y, tensors[name + "_depthwise_conv.weight"], stride)
    y = norm(y, name + "_bn1").clip(0, 6)
    y = convolve(y, tensors[name + "_project_conv.weight"], 1)
    y = norm(y, name + "_bn2")
    x = x + y if x.shape == y.shape else y
  return x.mean(axis=(1, 2))


def convolve(x, weight, stride):
  """TensorFlow's "SAME" convolution; depthwise if the weight has one input."""
  size = weight.shape[2]
  length = -(-x.shape[1] // stride)
  missing = max((length - 1) * stride + size - x.shape[1], 0)
  pad = (missing // 2, missing - missing // 2)
  x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
  windows = windows[:, ::stride, ::stride]
  if weight.shape[1] == 1:
    return np.einsum("nhwcij,cij->nhwc", windows, weight[:, 0])
  return np.einsum("nhwcij,ocij->nhwo", windows, weight, optimize=True)
