"""Distributes models and views over devices.

JAX treats a CPU as one device, which renders the views one after the other.
With one device for each core, all cores render. Set the number before JAX is
first used:

    jax.config.update("jax_num_cpu_devices", 8)

The command `dr3d` sets it itself.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import PartitionSpec

if TYPE_CHECKING:
  from dr3d.camera.view import Views

AXIS = "share"  # name of the axis of the device mesh


def share_devices(
  count: int, *, hosts: Literal["one", "all"] = "one"
) -> DeviceMesh:
  """Returns the largest number of devices that divides `count` evenly.

  Args:
    count: number of models or views.
    hosts: whose devices are used, if a training runs on several; see `host`.
      With "all" each host takes part, so the number of devices must divide
      `count`.

  Returns:
    A device mesh with one axis, `AXIS`, whose size divides `count`.

  Raises:
    ValueError: the devices of all hosts do not divide `count`.

  Example:
    >>> import dr3d
    >>> dr3d.share_devices(6).size in (1, 2, 3, 6)
    True
  """
  if hosts == "all" and jax.process_count() > 1:
    devices = jax.devices()
    if count % len(devices):
      raise ValueError(
        f"{count} models cannot be divided evenly over {len(devices)} devices"
        f" of {jax.process_count()} hosts: change the batch or the hosts."
      )
  else:
    devices = jax.local_devices()
  size = max(n for n in range(1, len(devices) + 1) if count % n == 0)
  return jax.make_mesh(
    (size,), (AXIS,), (jax.sharding.AxisType.Auto,), devices=devices[:size]
  )


def spread_views(
  call: Callable[[Any, "Views"], tuple[Any, Any]], devices: DeviceMesh | None
) -> Callable[[Any, "Views"], tuple[Any, Any]]:
  """Distributes the views of a function over devices.

  Args:
    call: maps models and N views to arrays `[B, N, ...]` and a usage. The
      result for a view must not depend on other views.
    devices: from `share_devices`; None runs on one device.

  Returns:
    A function with the same results and gradients. Its usage is the largest of
    any device, so a budget has room for the views of one device.

  Raises:
    ValueError: when called, if the devices do not divide the views evenly.
  """
  if devices is None or devices.size == 1:
    return call

  def share(models, views):
    result, usage = call(models, views)
    # The usage is a count, and pmax has no derivative.
    return result, jax.lax.pmax(jax.lax.stop_gradient(usage), AXIS)

  def spread(models, views):
    if views.count % devices.size:
      raise ValueError(
        f"{views.count} views cannot be divided evenly over {devices.size}"
        " devices; share_devices returns a number that can."
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
