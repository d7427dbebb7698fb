"""The row of a form in the table: its costs, per pair and beside the limit."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.cost import Cost, measure
from experiments.benchmark.form import Form
from experiments.benchmark.scene import Scene

# Float32 operations of a pixel-face pair.
FORWARD_WORK = 242
BACKWARD_WORK = 449

HEADER = (
  "faces",
  "size",
  "views",
  "form",
  "CPU ms",
  "median",
  "wall ms",
  "median",
  "compile s",
  "MiB",
  "Mpairs",
  "ns per pair",
  "% of limit",
)


@dataclasses.dataclass(frozen=True)
class Row:
  """One form on one scene.

  Attributes:
    faces: F.
    size: height and width, pixels.
    views: images.
    form: name of the form.
    forward: cost of the images.
    both: cost of the images and the gradient of a weighted sum of them.
    pairs: pixel-face pairs that the form evaluates; None if unknown.
    forward_ns: CPU time of a pair, ns.
    both_ns: CPU time of a pair, forward and backward, ns.
    forward_share: of the arithmetic limit reached, forward.
    both_share: of the arithmetic limit reached, forward and backward.
  """

  faces: int
  size: int
  views: int
  form: str
  forward: Cost
  both: Cost
  pairs: int | None = None
  forward_ns: float | None = None
  both_ns: float | None = None
  forward_share: float | None = None
  both_share: float | None = None


def measure_form(
  form: Form,
  scene: Scene,
  *,
  peak: float,
  repeats: int,
  seconds: float,
  limit_mib: float,
) -> Row:
  """Times a form forward, and forward and backward.

  Args:
    form: to time.
    scene: to draw.
    peak: operations per second of one core.
    repeats: see `measure`.
    seconds: for each of the two programs.
    limit_mib: memory limit, MiB.
  """
  shape = jax.eval_shape(form.draw, *form.parameters).shape
  rng = np.random.default_rng(0)
  weights = jnp.asarray(rng.normal(size=shape), jnp.float32)

  def loss(parameters, weights):
    return jnp.sum(form.draw(*parameters) * weights)

  measured = functools.partial(
    measure, repeats=repeats, seconds=seconds, limit_mib=limit_mib
  )
  forward = measured(form.draw, *form.parameters)
  both = measured(jax.value_and_grad(loss), form.parameters, weights)
  works = FORWARD_WORK, FORWARD_WORK + BACKWARD_WORK
  times = [_per_pair(cost, form.pairs) for cost in (forward, both)]
  shares = [
    None if not form.is_counted or ns is None else work / (1e-9 * ns * peak)
    for ns, work in zip(times, works, strict=True)
  ]
  return Row(
    faces=scene.corners.shape[1],
    size=scene.size,
    views=len(scene.corners),
    form=form.name,
    forward=forward,
    both=both,
    pairs=form.pairs,
    forward_ns=times[0],
    both_ns=times[1],
    forward_share=shares[0],
    both_share=shares[1],
  )


def _per_pair(cost, pairs):
  return None if cost.cpu_ms is None else 1e6 * cost.cpu_ms / pairs


def to_cells(row: Row) -> list[str]:
  """Formats the cells of `HEADER`; of two numbers the first is forward."""

  def two(field, digits=1):
    return _two(getattr(row.forward, field), getattr(row.both, field), digits)

  return [
    f"{row.faces}",
    f"{row.size}",
    f"{row.views}",
    row.form,
    two("cpu_ms"),
    two("cpu_ms_median"),
    two("wall_ms"),
    two("wall_ms_median"),
    two("compile_s"),
    two("memory_mib", 0),
    "-" if row.pairs is None else f"{1e-6 * row.pairs:.2f}",
    _two(row.forward_ns, row.both_ns, 1),
    _two(_percent(row.forward_share), _percent(row.both_share), 0),
  ]


def _percent(share):
  return None if share is None else 100 * share


def _two(forward, both, digits):
  return " / ".join(
    "-" if x is None else f"{x:.{digits}f}" for x in (forward, both)
  )
