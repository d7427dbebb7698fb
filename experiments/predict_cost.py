"""Predicts what programs cost on devices that are not here, by rooflines.

    python -m experiments.predict_cost

Operations and bytes are those of the compiler's cost analysis of the program
that was compiled for this machine. A roofline says that a program takes at
least the time of its operations at the peak rate, and that of its bytes at the
rate of the memory (Williams, Waterman, Patterson, Roofline, 2009). The larger
of the two is printed. It is a prediction to be checked by
`experiments.check_device`, and too low where a program has many small steps or
scattered accesses, as the rasterizer has. The analysis counts the body of a
loop once, and a compiler for another device fuses otherwise.
"""

import dataclasses
import sys
import time
from typing import Any

import jax
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments.device_program import PLATFORMS, Program, Size, make_programs
from experiments.device_program import export as export_program

FACES = flags.DEFINE_multi_integer("faces", [5120, 20480], "20 · 4ⁿ.")
PIXELS = flags.DEFINE_integer("pixels", 224, "Height and width of an image.")
VIEWS = flags.DEFINE_integer("views", 12, "Views of a model.")
MODELS = flags.DEFINE_integer("models", 4, "Models of a batch.")
PROGRAMS = flags.DEFINE_list(
  "programs", ["draw", "gradient", "embed", "train"], "Which are compiled."
)


@dataclasses.dataclass(frozen=True)
class Device:
  """A device's rates, from its data sheet.

  Attributes:
    name: of the device.
    flops: float32 operations a second.
    matrix_flops: the same of its matrix units at the precision that JAX's
      default uses for float32.
    bandwidth: bytes of its memory a second.
  """

  name: str
  flops: float
  matrix_flops: float
  bandwidth: float


# NVIDIA, H200 Tensor Core GPU data sheet, SXM: FP32 67, TF32 494 dense TFLOPS,
# 4.8 TB/s. Google Cloud, TPU v5e: 197 TFLOPS in bfloat16, 819 GB/s; its vector
# unit is not stated, so both rates are that of the matrix unit.
DEVICES = (
  Device("H200", 67e12, 494e12, 4.8e12),
  Device("TPU v5e", 197e12, 197e12, 819e9),
)


@dataclasses.dataclass(frozen=True)
class Cost:
  """What the compiler counts.

  Attributes:
    flops: operations of a call.
    bytes: read and written by its kernels.
    seconds: that compiling took.
    lowered: bytes of the program that was lowered for CUDA and TPU.
  """

  flops: float
  bytes: float
  seconds: float
  lowered: int


def count_cost(program: Program) -> Cost:
  """Compiles a program here, and lowers it for the other devices."""
  lowered = export_program(program)
  begin = time.process_time()
  compiled = jax.jit(program.function).lower(*program.arguments).compile()
  seconds = time.process_time() - begin
  flops, accessed = read_analysis(compiled)
  return Cost(flops, accessed, seconds, len(lowered.mlir_module_serialized))


def read_analysis(compiled: Any) -> tuple[float, float]:
  """Operations and bytes of a call, as the compiler counts them."""
  found = compiled.cost_analysis()
  analysis = found[0] if isinstance(found, list) else found
  assert analysis is not None, "this version of JAX counts nothing"
  return float(analysis["flops"]), float(analysis["bytes accessed"])


def predict(flops: float, accessed: float, device: Device) -> tuple[float, str]:
  """Seconds of a call at least, and what bounds it."""
  compute = flops / device.flops
  memory = accessed / device.bandwidth
  return max(compute, memory), "memory" if memory > compute else "arithmetic"


def main(_) -> None:
  environment.set_logs(-2)
  rows = []
  for faces in FACES.value:
    size = Size(
      faces=faces,
      pixels=PIXELS.value,
      views=VIEWS.value,
      models=MODELS.value,
    )
    for program in make_programs(size, PROGRAMS.value):
      cost = count_cost(program)
      row = [f"{faces}", program.name]
      row += [f"{cost.flops / 1e9:.2f}", f"{cost.bytes / 2**20:.0f}"]
      row += [f"{cost.flops / cost.bytes:.2f}"]
      for device in DEVICES:
        seconds, bound = predict(cost.flops, cost.bytes, device)
        row += [f"{seconds * 1e3:.3f}", bound]
      first, _ = predict(cost.flops, cost.bytes, DEVICES[0])
      row += [f"{program.models / first:.0f}"]
      row += [f"{cost.seconds:.0f}", f"{cost.lowered / 1024:.0f}"]
      rows.append(row)
      print("  ".join(row), file=sys.stderr, flush=True)
  header = ["faces", "program", "GFLOP", "MiB", "FLOP/byte"]
  for device in DEVICES:
    header += [f"{device.name} ms", "bound by"]
  header += [f"{DEVICES[0].name} models/s", "compile s", "lowered KiB"]
  print(
    f"{MODELS.value} models, {VIEWS.value} views of {PIXELS.value} pixels;"
    f" lowered for {' and '.join(PLATFORMS)}; jax {jax.__version__}"
  )
  print(format_table(header, rows, right=(0, 2, 3, 4, 5, 7, 9, 10, 11)))


if __name__ == "__main__":
  app.run(main)
