"""Sharing work out over the devices of a host.

A processor counts as one device unless JAX is told otherwise before it is used
first, and then draws all views one after the other. With as many devices as it
has cores, a view set is drawn on all of them:

    jax.config.update("jax_num_cpu_devices", 8)

The commands do so by themselves.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import PartitionSpec

if TYPE_CHECKING:
  from dr3d.camera.view import Views

AXIS = "share"  # of the device mesh


def share_devices(count: int) -> DeviceMesh:
  """As many devices of this host as `count` things can be shared out over.

  Args:
    count: of models or views.

  Returns:
    A mesh of one axis, `AXIS`; its size divides `count`.
  """
  devices = jax.devices()
  size = max(n for n in range(1, len(devices) + 1) if count % n == 0)
  return jax.make_mesh(
    (size,), (AXIS,), (jax.sharding.AxisType.Auto,), devices=devices[:size]
  )


def spread_views(
  call: Callable[[Any, "Views"], tuple[Any, Any]], devices: DeviceMesh | None
) -> Callable[[Any, "Views"], tuple[Any, Any]]:
  """Makes each device do its share of the views.

  Args:
    call: models and N views to arrays `[B, N, ...]` and a usage; what it makes
      of a view may depend on that view alone.
    devices: from `share_devices`; None for no sharing.

  Returns:
    The same function, differentiable as it was; its usage is the largest of
    any device, and a budget is room for one device's share.

  Raises:
    ValueError: when called, if the views cannot be shared out evenly.
  """
  if devices is None or devices.size == 1:
    return call

  def share(models, views):
    result, usage = call(models, views)
    # What was needed is a count, of which there is no gradient.
    return result, jax.lax.pmax(jax.lax.stop_gradient(usage), AXIS)

  def spread(models, views):
    if views.count % devices.size:
      raise ValueError(
        f"{views.count} views cannot be shared out evenly over {devices.size}"
        " devices; share_devices tells how many can."
      )
    each = jax.tree.map(lambda _: PartitionSpec(AXIS), views)
    common = jax.tree.map(lambda _: PartitionSpec(), views.material)
    return jax.shard_map(
      share,
      mesh=devices,
      in_specs=(
        PartitionSpec(),
        dataclasses.replace(each, material=common),
      ),
      out_specs=(PartitionSpec(None, AXIS), PartitionSpec()),
      check_vma=False,
    )(models, views)

  return spread
