"""Checks an accelerator in one short run: equal results, and how fast.

    python -m experiments.check_device --out=device.json
    python -m experiments.check_device --small   # on a CPU, half a minute

Forward and backward of 12 views of 224 pixels at 5 120 and 20 480 faces, the
embedding, and a training step run on the device and on the CPU of its machine.
The largest differences are compared with the stated tolerances; a larger one
makes the exit status 1. Then each program is timed, and the table is written
as results come, so that a run that ends early keeps what it measured. On an
H200 the run is expected to take under ten minutes, of which compiling is most.
"""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments.device_program import Program, Size, make_programs
from experiments.predict_cost import DEVICES, predict, read_analysis

SMALL = flags.DEFINE_bool("small", False, "Sizes for a CPU.")
OUT = flags.DEFINE_string("out", None, "File of the results, JSON.")
REPEATS = flags.DEFINE_integer("repeats", 20, "Calls that are timed.")
SECONDS = flags.DEFINE_float("seconds", 420, "No program starts after this.")

FULL = (Size(models=4), Size(faces=20480, models=2))
TINY = (Size(faces=80, pixels=32, views=2, models=2),)

# Largest differences from the CPU, of values in [0, 1] and of vectors of length
# 1. Devices sum in another order, and multiply matrices with fewer bits unless
# told otherwise, as is done here. Gradients are compared as a share of the
# largest.
TOLERANCE = {"draw": 1e-3, "gradient": 1e-2, "embed": 5e-3, "train": 1e-2}
HEADER = ("faces", "program", "difference", "tolerance", "ms", "models/s",
          "predicted ms", "compile s")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
  """What was found of a program.

  Attributes:
    faces: of each model.
    program: its name.
    difference: from the CPU, see `TOLERANCE`.
    milliseconds: of a call, the median.
    models: a second.
    predicted: milliseconds by the roofline of an H200.
    compile: seconds to compile for the device.
  """

  faces: int
  program: str
  difference: float
  milliseconds: float
  models: float
  predicted: float
  compile: float

  @property
  def is_equal(self) -> bool:
    """Whether the difference is within the tolerance."""
    return self.difference <= TOLERANCE[self.program]

  def to_cells(self) -> tuple[str, ...]:
    """Cells of the table."""
    return (
      f"{self.faces}",
      self.program,
      f"{self.difference:.1e}{'' if self.is_equal else ' !'}",
      f"{TOLERANCE[self.program]:.0e}",
      f"{self.milliseconds:.2f}",
      f"{self.models:.1f}",
      f"{self.predicted:.3f}",
      f"{self.compile:.1f}",
    )


def main(_) -> None:
  environment.set_logs(-2)
  jax.config.update("jax_default_matmul_precision", "highest")
  begin = time.perf_counter()
  device, host = jax.devices()[0], jax.devices("cpu")[0]
  print(f"{device.device_kind}, jax {jax.__version__}", flush=True)
  rows: list[Row] = []
  left: list[str] = []
  for size in TINY if SMALL.value else FULL:
    for program in make_programs(size):
      if time.perf_counter() - begin > SECONDS.value:
        left.append(f"{program.name} of {size.faces} faces")
        continue
      rows.append(check(program, size, device, host))
      print("  ".join(rows[-1].to_cells()), file=sys.stderr, flush=True)
      write(rows, left, device)
  write(rows, left, device)
  print(
    format_table(
      HEADER, [row.to_cells() for row in rows], right=(0, 2, 3, 4, 5, 6, 7)
    )
  )
  print(f"{time.perf_counter() - begin:.0f} s in all")
  for name in left:
    print(f"not begun for want of time: {name}")
  if left or not all(row.is_equal for row in rows):
    sys.exit(1)


def write(rows: list[Row], left: list[str], device: Any) -> None:
  """Writes what is known so far."""
  if OUT.value is None:
    return
  result = {
    "device": device.device_kind,
    "jax": jax.__version__,
    "rows": [dataclasses.asdict(row) for row in rows],
    "left": left,
  }
  pathlib.Path(OUT.value).write_text(json.dumps(result, indent=2) + "\n")


def check(program: Program, size: Size, device: Any, host: Any) -> Row:
  """Runs a program on both, compares the results, and times the device."""
  on_host, arguments, _ = prepare(program, host)
  flops, accessed = read_analysis(on_host)
  expected = jax.tree.map(np.asarray, on_host(*arguments))
  call, arguments, seconds = prepare(program, device)
  found = jax.tree.map(np.asarray, call(*arguments))
  times = []
  for _ in range(REPEATS.value):
    begin = time.perf_counter()
    jax.block_until_ready(call(*arguments))
    times.append(time.perf_counter() - begin)
  middle = float(np.median(times))
  return Row(
    faces=size.faces,
    program=program.name,
    difference=compare(found, expected),
    milliseconds=middle * 1e3,
    models=program.models / middle,
    predicted=predict(flops, accessed, DEVICES[0])[0] * 1e3,
    compile=seconds,
  )


def prepare(
  program: Program, device: Any
) -> tuple[Callable[..., Any], tuple[Any, ...], float]:
  """Compiles a program; returns it, its arguments there, and the seconds."""
  arguments = jax.device_put(program.arguments, device)
  begin = time.perf_counter()
  with jax.default_device(device):
    call = jax.jit(program.function).lower(*arguments).compile()
  return call, arguments, time.perf_counter() - begin


def compare(found: Any, expected: Any) -> float:
  """Largest difference, as a share of the largest number of each array."""
  largest = 0.0
  for one, two in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    if not np.issubdtype(one.dtype, np.floating):
      continue
    if np.isfinite(one).all() != np.isfinite(two).all():
      return float("inf")
    scale = max(1e-6, float(np.abs(two).max(initial=0.0)))
    gap = np.abs(one.astype(np.float64) - two.astype(np.float64))
    largest = max(largest, float(gap.max(initial=0.0)) / scale)
  return largest


if __name__ == "__main__":
  app.run(main)
