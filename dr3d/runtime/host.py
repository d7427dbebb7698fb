"""One program on several hosts, each with devices of its own.

Every host runs the same command with its own number, and JAX joins their
devices into one mesh. What a step computes does not depend on how many hosts
share its batch. Each host reads what its devices need; the first one writes.
The hosts share a file system. If one is lost, the others end with an error
after the heartbeat, and the same commands resume from the last checkpoint.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh as DeviceMesh
from jax.sharding import NamedSharding, PartitionSpec

from dr3d.error import TrainingError
from dr3d.runtime.device import AXIS

Tree = TypeVar("Tree")

HEARTBEAT = 60  # seconds until a host that does not answer counts as lost
CONNECT = 300  # seconds to wait for the others at the start


def connect(
  coordinator: str | None,
  *,
  count: int | None = None,
  index: int | None = None,
  heartbeat: int = HEARTBEAT,
) -> None:
  """Joins the hosts of a run; call it before anything else of JAX.

  Args:
    coordinator: address of the first host and a free port, `host:port`. None
      asks the cluster, as JAX can on TPU pods, under Slurm and MPI.
    count: number of hosts; None asks the cluster.
    index: number of this host, from 0; None asks the cluster.
    heartbeat: seconds until a host that does not answer counts as lost.

  Raises:
    TrainingError: the hosts do not find each other.
  """
  try:
    jax.distributed.initialize(
      coordinator,
      count,
      index,
      initialization_timeout=CONNECT,
      heartbeat_timeout_seconds=heartbeat,
    )
  except (RuntimeError, ValueError) as error:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    raise TrainingError(
      f"the hosts of the run do not find each other ({reason}): start the same"
      " command on each, with --coordinator, --hosts and --host."
    ) from error


def is_first() -> bool:
  """Whether this process writes what all share."""
  return jax.process_index() == 0


def is_alone() -> bool:
  """Whether there is one process only."""
  return jax.process_count() == 1


def wait_for_all(name: str) -> None:
  """Waits until every host has come here."""
  if not is_alone():
    multihost_utils.sync_global_devices(name)


def run_first(function: Callable[[], None], name: str) -> None:
  """Calls a function on the first host, while the others wait for it."""
  if is_first():
    function()
  wait_for_all(name)


def meet(devices: DeviceMesh) -> None:
  """Makes the hosts' devices connect, while no host is busy.

  CPUs wait 30 seconds for the others when they first compute together, and a
  host may be slower to compile its first step by more than that.
  """
  if is_alone():
    return
  wait_for_all("meet")

  def add(ones: jax.Array) -> jax.Array:
    return jax.lax.psum(ones, AXIS)

  each, common = PartitionSpec(AXIS), PartitionSpec()
  ones = take_rows(
    np.ones(devices.size, np.float32), np.arange(devices.size), devices
  )
  call = jax.shard_map(add, mesh=devices, in_specs=each, out_specs=common)
  jax.block_until_ready(jax.jit(call)(ones))


def replicate(tree: Tree, devices: DeviceMesh) -> Tree:
  """Copies arrays, equal on every host, to all devices."""
  sharding = NamedSharding(devices, PartitionSpec())
  if is_alone():
    return jax.device_put(tree, sharding)

  def copy(leaf: Any) -> jax.Array:
    if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
      return leaf
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      data = copy(jax.random.key_data(leaf))
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    return jax.make_array_from_callback(
      array.shape, sharding, lambda index: array[index]
    )

  return jax.tree.map(copy, tree)


def fetch(tree: Tree) -> Tree:
  """Arrays that every device has, as arrays of this host alone."""
  if is_alone():
    return tree
  return jax.tree.map(lambda leaf: np.asarray(leaf), tree)


def take_rows(array: Any, rows: np.ndarray, devices: DeviceMesh) -> Any:
  """Takes rows of an array, each device its share of them.

  Args:
    array: of this host, `[M, ...]`; every host has the same.
    rows: int `[B]`, a multiple of the number of devices.
    devices: of all hosts.

  Returns:
    `[B, ...]`. With several hosts each one reads its own rows only.
  """
  if is_alone():
    return array[rows]
  return jax.make_array_from_callback(
    (len(rows), *array.shape[1:]),
    NamedSharding(devices, PartitionSpec(AXIS)),
    lambda index: np.asarray(array[rows[(index or (slice(None),))[0]]]),
  )
