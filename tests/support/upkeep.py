"""A pipeline whose vectors are measures of a mesh."""

import numpy as np

from support.standin import StoredPipeline


class Pipeline(StoredPipeline):
  """Vectors that are the mesh's own measures, and a name of its own."""

  face_budget = 200

  def embed(self, meshes):
    views = [
      np.outer([1, 1, 1], [*mesh.moments, mesh.moments[1] ** 2, 0.01])
      + 0.01 * np.eye(3, 5) * len(self.fingerprint)
      for mesh in meshes
    ]
    features = np.stack(views)
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    return features.astype(np.float32)
