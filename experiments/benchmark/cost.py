"""Cost of a program: CPU time, wall time, memory."""

import dataclasses
import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Cost:
  """Cost of one call; times are None if the program was not run.

  Attributes:
    cpu_ms: minimum time, summed over all cores, ms.
    cpu_ms_median: median of these times.
    wall_ms: minimum wall time, ms.
    wall_ms_median: median of these times.
    compile_s: time to compile, summed over all cores, s.
    memory_mib: temporary memory of the compiled program, MiB.
  """

  cpu_ms: float | None = None
  cpu_ms_median: float | None = None
  wall_ms: float | None = None
  wall_ms_median: float | None = None
  compile_s: float | None = None
  memory_mib: float | None = None


def measure(
  function: Callable[..., Any],
  *arguments: Any,
  repeats: int,
  seconds: float,
  limit_mib: float,
) -> Cost:
  """Compiles a function and times its calls.

  Args:
    function: of arrays; is compiled.
    *arguments: the arrays.
    repeats: calls to time, after one that warms up.
    seconds: stops after a call when the calls have taken this long.
    limit_mib: a program that needs more memory is compiled and not run.
  """
  begin = time.process_time()
  program = jax.jit(function).lower(*arguments).compile()
  compile_s = time.process_time() - begin
  memory: Any = program.memory_analysis()
  memory_mib = memory.temp_size_in_bytes / MIB
  if memory_mib > limit_mib:
    return Cost(compile_s=compile_s, memory_mib=memory_mib)
  timed = time_calls(
    lambda: jax.block_until_ready(program(*arguments)),
    repeats=repeats,
    seconds=seconds,
  )
  return dataclasses.replace(timed, compile_s=compile_s, memory_mib=memory_mib)


def time_calls(
  call: Callable[[], Any], *, repeats: int, seconds: float
) -> Cost:
  """Times a call that blocks until its work is done; see `measure`."""
  cpu: list[float] = []
  wall: list[float] = []
  while not cpu or (len(cpu) <= repeats and sum(wall) < 1e3 * seconds):
    begin = time.process_time(), time.perf_counter()
    call()
    cpu.append(1e3 * (time.process_time() - begin[0]))
    wall.append(1e3 * (time.perf_counter() - begin[1]))
  # The first call warms the caches; it counts only if it is the only one.
  cpu, wall = cpu[1:] or cpu, wall[1:] or wall
  return Cost(
    cpu_ms=min(cpu),
    cpu_ms_median=float(np.median(cpu)),
    wall_ms=min(wall),
    wall_ms_median=float(np.median(wall)),
  )


def measure_peak(*, side: int = 2048, repeats: int = 5) -> float:
  """Float32 operations per second of one core in a matrix product."""
  x = jnp.ones((side, side), jnp.float32)
  cost = measure(
    jnp.matmul, x, x, repeats=repeats, seconds=60, limit_mib=np.inf
  )
  assert cost.cpu_ms is not None  # no program exceeds an infinite limit
  return 2 * side**3 / (1e-3 * cost.cpu_ms)


def processor_name() -> str:
  """Name of the processor as the system reports it."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  names = [line.split(":", 1)[1] for line in lines if "model name" in line]
  return names[0].strip() if names else platform.processor() or "unknown"


def core_count() -> int:
  """Cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
