"""The models that a run learns from, and the batch of each step.

`B` models in a batch, `N` views of a model, `V` of them in a step, `M` models
in all.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.view import Views, take_views
from dr3d.mesh import Mesh, bucket_size
from dr3d.render.budget import HEADROOM
from dr3d.render.raster import Budget
from dr3d.render.triangle import Triangles, fit_budget, stack_meshes
from dr3d.retrieval.batch import Sampler
from dr3d.retrieval.pipeline import PipelineConfig
from dr3d.runtime.host import take_rows

# The first budget must hold the batches of so many steps; a rarer, larger
# batch makes it grow, which compiles the step again.
FIRST_BUDGET_STEPS = 4


@dataclasses.dataclass(frozen=True)
class TrainingSet:
  """Models on the host; fields as `train_step` takes them.

  Attributes:
    triangles: M models, padded to the same number of faces.
    moments: `[M, 3]` principal second moments.
    classes: int `[M]`, see `batch.number_classes`.
  """

  triangles: Triangles
  moments: np.ndarray
  classes: np.ndarray

  def take(
    self, chosen: np.ndarray, devices: DeviceMesh | None = None
  ) -> "TrainingSet":
    """Returns the models at the indices `chosen`, int `[B]`.

    Args:
      chosen: the models.
      devices: of all hosts, each of which takes its share of the triangles;
        None takes all.
    """

    def take(array: Any) -> Any:
      if devices is None:
        return array[chosen]
      return take_rows(array, chosen, devices)

    triangles = jax.tree.map(take, self.triangles)
    return TrainingSet(triangles, self.moments[chosen], self.classes[chosen])


@dataclasses.dataclass(frozen=True)
class Batch:
  """What one step looks at.

  Attributes:
    step: its number, from 0.
    models: B models.
    views: int `[V]`, indices of the views that are rendered, of all N.
  """

  step: int
  models: TrainingSet
  views: np.ndarray


def stack_models(
  meshes: Sequence[Mesh], classes: np.ndarray, config: PipelineConfig
) -> TrainingSet:
  """Returns the meshes as arrays of one shape, ready for batches.

  Args:
    meshes: M models.
    classes: int `[M]`.
    config: pose and rendering of the models.
  """
  return TrainingSet(
    stack_meshes(
      list(meshes),
      face_count=bucket_size(max(len(mesh.faces) for mesh in meshes)),
      pose=config.pose,
      coverage=config.render.coverage,
      appearance=config.appearance,
    ),
    np.stack([mesh.moments for mesh in meshes]),
    classes,
  )


def take_batch(
  models: TrainingSet,
  sampler: Sampler,
  step: int,
  *,
  view_count: int,
  devices: DeviceMesh | None = None,
) -> Batch:
  """Returns the batch of a step.

  Args:
    models: M models.
    sampler: chooses models and views.
    step: number of the step, from 0.
    view_count: N.
    devices: see `TrainingSet.take`.
  """
  views = sampler.draw_views(step, view_count)
  return Batch(step, models.take(sampler(step), devices), views)


def first_budget(
  models: TrainingSet,
  views: Views,
  sampler: Sampler,
  *,
  config: PipelineConfig,
  device_count: int,
) -> Budget:
  """Returns a rasterizer budget that holds most batches of one device.

  Args:
    models: M models.
    views: N views.
    sampler: chooses models and views.
    config: how models are rendered.
    device_count: number of devices that share a batch out.
  """
  share = sampler.size // device_count
  largest = Budget(pairs=1, blocks=1)
  for step in range(FIRST_BUDGET_STEPS):
    batch = models.take(sampler(step)[:share]).triangles
    chosen = take_views(views, sampler.draw_views(step, views.count))
    largest = largest.joined(
      fit_budget(batch, chosen, config=config.render, width=config.width)
    )
  return largest.widened(HEADROOM)
