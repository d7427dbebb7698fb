"""What a program costs: time of the processor, time of the clock, memory."""

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
  """Of one call; times are None where the program was not run.

  Attributes:
    cpu_ms: least time of all cores together, ms.
    cpu_ms_median: median of it.
    wall_ms: least time of the clock, ms.
    wall_ms_median: median of it.
    compile_s: to compile it, time of all cores together, s.
    memory_mib: temporary memory that the compiled program sets aside, MiB.
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
    function: of arrays, to be compiled.
    *arguments: the arrays.
    repeats: calls to time, after one that is not.
    seconds: no further call once the calls have taken so long.
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
  """Times a call that returns when its work is done; see `measure`."""
  cpu: list[float] = []
  wall: list[float] = []
  while not cpu or (len(cpu) <= repeats and sum(wall) < 1e3 * seconds):
    begin = time.process_time(), time.perf_counter()
    call()
    cpu.append(1e3 * (time.process_time() - begin[0]))
    wall.append(1e3 * (time.perf_counter() - begin[1]))
  # The first call warms the caches, and counts only where it stands alone.
  cpu, wall = cpu[1:] or cpu, wall[1:] or wall
  return Cost(
    cpu_ms=min(cpu),
    cpu_ms_median=float(np.median(cpu)),
    wall_ms=min(wall),
    wall_ms_median=float(np.median(wall)),
  )


def measure_peak(*, side: int = 2048, repeats: int = 5) -> float:
  """Float32 operations a second of one core, by a product of matrices."""
  x = jnp.ones((side, side), jnp.float32)
  cost = measure(
    jnp.matmul, x, x, repeats=repeats, seconds=60, limit_mib=np.inf
  )
  assert cost.cpu_ms is not None  # nothing is beyond that limit
  return 2 * side**3 / (1e-3 * cost.cpu_ms)


def processor_name() -> str:
  """What the machine calls its processor."""
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
