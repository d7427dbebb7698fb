"""Codes of shapes in a file, as `dr3d shape encode` writes them."""

import pathlib

import numpy as np

from dr3d.error import Dr3dError
from dr3d.runtime.atomic import atomic_file
from dr3d.shape.model import ShapeModel

SUFFIX = ".npy"


def write_codes(path: pathlib.Path, codes: np.ndarray) -> None:
  """Writes codes [n, Z], whole or not at all."""
  with atomic_file(path) as partial, partial.open("wb") as file:
    np.save(file, codes)


def read_codes(path: pathlib.Path, model: ShapeModel) -> np.ndarray:
  """Returns the codes of a file, float32 [n, Z].

  Args:
    path: of the file.
    model: the codes must have its size.

  Raises:
    Dr3dError: the file holds no codes of such a model.
  """
  size = model.config.autoencoder.code_size
  try:
    codes = np.load(path, allow_pickle=False)
  except (OSError, ValueError) as error:
    raise Dr3dError(
      f"{path} is not a file of codes; write one with dr3d shape encode."
    ) from error
  if codes.ndim != 2 or codes.shape[1] != size:
    raise Dr3dError(
      f"{path} holds numbers of shape {codes.shape}, not codes [n, {size}] of"
      " this shape model."
    )
  if not len(codes):
    raise Dr3dError(f"{path} holds no code; write one with dr3d shape encode.")
  if codes.dtype.kind not in "fiu" or not np.isfinite(codes).all():
    raise Dr3dError(
      f"{path} holds values that are not finite numbers; write codes with dr3d"
      " shape encode."
    )
  return codes.astype(np.float32)
