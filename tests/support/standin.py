"""What stands in for larger things in several test modules."""

import time
import types

import numpy as np


class StoredPipeline:
  """A pipeline that is stored as its fingerprint."""

  def __init__(self, fingerprint="one"):
    self.fingerprint = fingerprint

  def save(self, directory):
    directory.mkdir(exist_ok=True)
    (directory / "name").write_text(self.fingerprint)

  @classmethod
  def load(cls, directory):
    return cls((directory / "name").read_text())


class MeasuringPipeline(StoredPipeline):
  """Vectors are moments of a mesh, so no program is compiled.

  Attributes:
    batches: meshes of each call.
    pause: called before each.
  """

  face_budget = 100
  config = types.SimpleNamespace(
    view_count=2, pose="principal", render=types.SimpleNamespace(size=16)
  )
  views = types.SimpleNamespace(quaternion=np.eye(4)[:2])

  def __init__(self, fingerprint="one"):
    super().__init__(fingerprint)
    self.batches = []
    self.pause = lambda: None

  def reserve(self, meshes, *, size=None):
    pass

  def embed(self, meshes):
    self.pause()
    self.batches.append(len(meshes))
    return np.stack([self._measure(mesh) for mesh in meshes])

  def _measure(self, mesh):
    corners = (mesh.vertices @ mesh.frame.T)[mesh.faces].reshape(-1, 3)
    rows = [
      [*np.abs(corners).mean(axis=0), *(corners**power).mean(axis=0)]
      for power in (2, 4)
    ]
    rows = np.array(rows, np.float32) - 0.2
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

  def embed_images(self, images):
    if images.shape[2:4] != (16, 16):
      raise ValueError(f"images must be of 16 pixels, got {images.shape}.")
    rows = images.mean(axis=(2, 3)) + 0.1
    return rows / np.linalg.norm(rows, axis=2, keepdims=True)

  def render(self, mesh, *, size=16):
    images = np.zeros((2, size, size, 4), np.float32)
    images[0, : size // 2] = 1  # the first view, to tell it from the second
    return images


class SlowPipeline(MeasuringPipeline):
  """Takes time to embed, so that a process can be killed meanwhile."""

  def embed(self, meshes):
    time.sleep(0.5)
    return super().embed(meshes)
