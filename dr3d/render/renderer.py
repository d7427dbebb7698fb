"""The Renderer protocol: something that turns views into RGBA images.

`B` models, `N` views, `H W` pixels. Pipelines, training and registration draw
through this protocol, so a new kind of model (an implicit surface, a volume)
needs one class that implements it.
"""

from typing import Any, Protocol, TypeVar

import jax
from jax.sharding import Mesh as DeviceMesh

from dr3d.camera.view import Views
from dr3d.render.budget import Budget
from dr3d.runtime.device import spread_views

Array = jax.Array
BudgetT = TypeVar("BudgetT", bound=Budget[Any])


class Renderer(Protocol[BudgetT]):
  """B models that can be drawn from any views.

  A renderer is a pytree, so that it enters `jit` and is differentiated like any
  array: its leaves are arrays `[B, ...]` with the models on the first axis, its
  options are static. Batches are cut, padded and shared over devices along
  that axis. Every implementation passes `tests/render/test_renderer.py`.
  """

  @property
  def extent(self) -> Array:
    """`[]` root mean square of the coordinates that give the models' geometry.

    It is not finite if a coordinate is not. Training logs it, because an image
    need not show such a coordinate.
    """
    ...

  def render(self, views: Views, *, budget: BudgetT) -> tuple[Array, Any]:
    """Draws the models; pure, so that it works under `jit` and `grad`.

    Args:
      views: N views, see `dr3d.camera` for the conventions.
      budget: room for the call; static.

    Returns:
      Images `[B, N, H, W, 4]`: red, green and blue multiplied by alpha, then
      alpha in [0, 1]; and the usage that `budget.holds` judges. An image of a
      view depends on no other view.
    """
    ...

  def fit_budget(
    self,
    views: Views,
    *,
    devices: DeviceMesh | None = None,
    start: BudgetT | None = None,
  ) -> BudgetT:
    """Returns a budget that just holds a call; not for use under `jit`.

    Args:
      views: N views.
      devices: that share the views; the budget is for the share of one.
      start: a budget whose room the result must have as well.
    """
    ...


def draw_views(
  renderer: Renderer[BudgetT],
  views: Views,
  *,
  budget: BudgetT,
  devices: DeviceMesh | None = None,
) -> tuple[Array, Any]:
  """Draws with every device taking its share of the views.

  Args:
    renderer: B models.
    views: N views.
    budget: room for the share of one device.
    devices: see `dr3d.runtime.device.share_devices`; None for the default one.

  Returns:
    As `Renderer.render`; the usage is the largest of any device.
  """

  def draw(renderer: Renderer[BudgetT], views: Views) -> tuple[Array, Any]:
    return renderer.render(views, budget=budget)

  return spread_views(draw, devices)(renderer, views)
