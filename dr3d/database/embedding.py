"""The interface of a pipeline for databases and evaluations."""

import pathlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from dr3d.mesh import Mesh


class EmbeddingPipeline(Protocol):
  """Makes vectors of meshes, and can be stored; `Pipeline` implements it."""

  @property
  def face_budget(self) -> int | None:
    """Faces that a mesh is simplified to before it is embedded."""

  @property
  def fingerprint(self) -> str:
    """Hash of the weights and the configuration."""

  def embed(self, meshes: list[Mesh], /) -> np.ndarray:
    """Float32 [B, N, D] unit vectors of B meshes."""

  def save(self, directory: pathlib.Path, /) -> None:
    """Writes the pipeline as a directory and replaces what was there."""


LoadPipeline = Callable[[pathlib.Path], EmbeddingPipeline]
"""Reads a pipeline from a directory."""
