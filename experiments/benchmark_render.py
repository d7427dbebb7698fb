"""Times the renderer on spheres, beside controls and other renderers.

    taskset -c 0 python -m experiments.benchmark_render
    python -m experiments.benchmark_render --scene=5120x224x12
    python -m experiments.benchmark_render --quick --json

Of two numbers "a / b" the first is the forward pass and the second forward and
backward. CPU time is summed over all cores: the minimum of several calls and
their median, and the time to compile. MiB is temporary memory of the compiled
program; a program that needs more than `--memory_mib` is compiled and not run.
A pair is a pixel and a face that the form evaluates together. The limit is the
time that the operations of all pairs take at the speed of a float32 matrix
product in the same run.

The rasterizer takes projected corners and colours. G takes the mesh and the
views and is differentiated by both. Two controls run beside them: the literal
formula, every pixel against every face, and the same formula tile by tile, each
differentiated by JAX alone. "G, n devices" splits the views over n cores. Other
renderers are timed if they can be imported; they draw an image of the same size
by formulas of their own.
"""

import dataclasses
import json
import platform

import jax
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from dr3d.render.triangle import RenderConfig
from experiments.benchmark import cost, form, peer
from experiments.benchmark.row import HEADER, measure_form, to_cells
from experiments.benchmark.scene import make_sphere

FULL = (
  "1280x224x1", "5120x224x1", "20480x224x1", "81920x224x1",
  "5120x224x12", "1280x64x1",
)  # fmt: skip
FORM = {
  make.__name__: make
  for make in (
    form.rasterizer,
    form.renderer,
    form.shared,
    form.tiled,
    form.dense,
  )
}
QUICK = ("1280x224x1", "1280x64x1")

SCENE = flags.DEFINE_multi_string(
  "scene", None, "FACESxSIZExVIEWS; default: six scenes."
)
QUICK_ONLY = flags.DEFINE_bool("quick", False, "Only the two smallest scenes.")
JSON = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
FORMS = flags.DEFINE_list(
  "forms",
  ["rasterizer", "renderer", "shared", "tiled", "dense"],
  "Forms to time.",
)
REPEATS = flags.DEFINE_integer("repeats", 12, "Calls of each program.")
SECONDS = flags.DEFINE_float(
  "seconds", 4, "Time for these calls; at least one."
)
MEMORY = flags.DEFINE_float("memory_mib", 2048, "Memory limit of a program.")
SIGMA = flags.DEFINE_float(
  "sigma", RenderConfig.sigma, "Softness of edges, pixels."
)


def main(_) -> None:
  environment.set_logs(-2)
  jax.config.update("jax_num_cpu_devices", environment.count_cores())
  # Compiling is timed, so nothing may come from a cache.
  jax.config.update("jax_enable_compilation_cache", False)
  peak = cost.measure_peak()
  config = dataclasses.replace(RenderConfig(), sigma=SIGMA.value)
  if unknown := set(FORMS.value) - set(FORM):
    raise app.UsageError(f"--forms are of {sorted(FORM)}, not {unknown}.")
  rows = []
  for text in SCENE.value or (QUICK if QUICK_ONLY.value else FULL):
    faces, size, views = (int(x) for x in text.split("x"))
    scene = make_sphere(faces=faces, size=size, views=views)
    for name in FORMS.value:
      to_time = FORM[name](scene, config=config)
      if to_time is None:
        continue
      rows.append(
        measure_form(
          to_time,
          scene,
          peak=peak,
          repeats=REPEATS.value,
          seconds=SECONDS.value,
          limit_mib=MEMORY.value,
        )
      )
    rows += peer.measure_peers(
      scene, config=config, repeats=REPEATS.value, seconds=SECONDS.value
    )
  machine = {
    "processor": cost.processor_name(),
    "cores": cost.core_count(),
    "device": jax.devices()[0].device_kind,
    "jax": jax.__version__,
    "python": platform.python_version(),
    "peak_gflops": 1e-9 * peak,
    "sigma": config.sigma,
    "gamma": config.gamma,
  }
  if JSON.value:
    rows_ = [dataclasses.asdict(row) for row in rows]
    print(json.dumps({"machine": machine, "rows": rows_}, indent=2))
    return
  print(", ".join(f"{name} {value}" for name, value in machine.items()))
  cells = [to_cells(row) for row in rows]
  print(format_table(HEADER, cells, right=[0, 1, 2, *range(4, len(HEADER))]))


if __name__ == "__main__":
  app.run(main)
