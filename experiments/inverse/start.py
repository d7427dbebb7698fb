"""What many random starts have recovered, as a table and a figure.

`T` targets, `S` starts for each; all images are views of one model.
"""

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from dr3d.evaluation.report.table import format_table
from experiments.inverse import figure

FRAMES = 40  # of an animation


@dataclasses.dataclass(frozen=True, eq=False)
class Starts:
  """Results of all starts.

  Attributes:
    targets: `[T, H, W, 4]`.
    angles: `[T, S]` angle to the truth at the end, degrees.
    first_angles: `[T, S]` at the start.
    errors: `[T, S]` of what else was recovered, at the end.
    losses: `[T, S]` at the end.
    images: `[T, S, H, W, 4]` at the end.
    first_images: `[T, S, H, W, 4]` at the start.
    path: `[K, H, W, 4]`, the descent of the first target's best start.
  """

  targets: np.ndarray
  angles: np.ndarray
  first_angles: np.ndarray
  errors: np.ndarray
  losses: np.ndarray
  images: np.ndarray
  first_images: np.ndarray
  path: np.ndarray

  @property
  def best(self) -> np.ndarray:
    """`[T]` the start of each target with the least loss."""
    return self.losses.argmin(axis=1)

  @property
  def best_angles(self) -> np.ndarray:
    """`[T]` angle of the best start to the truth, degrees."""
    return self.angles[np.arange(len(self.angles)), self.best]


def report_starts(
  found: Starts,
  *,
  name: str,
  angle: str,
  error: str,
  format_error: Callable[[float], str],
  success: float,
  figure_path: str,
  animation_path: str | None,
  begin: float,
) -> None:
  """Prints a row for each target and the shares; draws figure and animation.

  Args:
    found: of all starts.
    name: of what was recovered.
    angle: of what the angles are.
    error: header of the column of errors.
    format_error: an error as text.
    success: largest angle of a start that succeeds, degrees.
    figure_path: PNG file to write.
    animation_path: GIF file to write; None for none.
    begin: `time.perf_counter()` when the work began.
  """
  print(_format_starts(found, success, error, format_error))
  print(
    f"success ({angle} within {success:g} degrees):"
    f" {100 * (found.angles < success).mean():.0f} % of single starts,"
    f" {100 * (found.best_angles < success).mean():.0f} % of images by their"
    f" best of {found.angles.shape[1]} starts;"
    f" {time.perf_counter() - begin:.0f} s"
  )
  _save_figure(figure_path, found, title=f"{name} from one image")
  if animation_path:
    figure.save_animation(
      animation_path, [(found.targets[0], frame) for frame in found.path]
    )


def _format_starts(
  found: Starts,
  success: float,
  error: str,
  format_error: Callable[[float], str],
) -> str:
  succeeds = found.angles < success
  rows = [
    [
      f"{t + 1}",
      f"{succeeds[t].sum()} of {len(succeeds[t])}",
      f"{found.first_angles[t, best]:.0f}",
      f"{found.angles[t, best]:.2f}",
      format_error(found.errors[t, best]),
      "yes" if succeeds[t, best] else "no",
    ]
    for t, best in enumerate(found.best)
  ]
  header = ["image", "starts that succeed", "start, degrees off"]
  header += ["best, degrees off", error, "best succeeds"]
  return format_table(header, rows, right=range(len(header)))


def _save_figure(path: str, found: Starts, *, title: str) -> None:
  """Writes a row of images for each target."""
  figure.save_grid(
    path,
    [
      [
        target,
        found.first_images[t, best],
        found.images[t, best],
        figure.difference(found.images[t, best], target),
        found.images[t, found.losses[t].argmax()],
      ]
      for t, (target, best) in enumerate(
        zip(found.targets, found.best, strict=True)
      )
    ],
    columns=["image", "best start", "recovered", "difference", "worst start"],
    names=[f"{angle:.2f}° off" for angle in found.best_angles],
    title=f"{title}, best of {found.angles.shape[1]} starts by its loss",
  )
