"""What retrieval adds to the training loop: a column, a caption, a stop."""

import math
from collections.abc import Sequence

import numpy as np

from dr3d.error import TrainingError
from dr3d.retrieval.state import State
from dr3d.training.log import Row

# Mean squared distance between the unit vectors of two images. Independent
# vectors have 2; below this bound no image can be told from another.
COLLAPSED_SPREAD = 1e-3

# The variance floor (`guard.variance_floor`) may end a collapse, so a run is
# stopped only after this many collapsed steps in a row.
COLLAPSED_STEPS_MAX = 50

VIEWPOINT_LOG_INTERVAL = 10  # steps; N quaternions in each row would be large


def check_collapse(rows: Sequence[Row]) -> None:
  """Stops a run whose encoder maps all images to the same vector.

  Args:
    rows: of the log, the newest last, with `step` and `spread`, see
      `guard.measure_spread`.

  Raises:
    TrainingError: the last `COLLAPSED_STEPS_MAX` rows are collapsed.
  """
  recent = list(rows)[-COLLAPSED_STEPS_MAX:]
  if len(recent) == COLLAPSED_STEPS_MAX and all(
    row["spread"] < COLLAPSED_SPREAD for row in recent
  ):
    raise TrainingError(
      f"training collapsed: for {len(recent)} steps up to step"
      f" {recent[-1]['step']} all images had the same vector; lower the"
      " learning rate (embed_rate) or raise the weight of the variance floor"
      " (spread)."
    )


def viewpoint_column(state: State, step: int) -> Row:
  """Returns the viewpoints for the log, in its first and every tenth row.

  Args:
    state: after the step.
    step: its number, from 1.

  Returns:
    `quaternion`: `[N, 4]` w, x, y, z, rounded; empty in the other rows.
  """
  if step > 1 and step % VIEWPOINT_LOG_INTERVAL:
    return {}
  return {"quaternion": np.asarray(state.views.quaternion).round(5).tolist()}


def make_caption(row: Row) -> dict[str, str]:
  """Returns the texts beside the progress bar.

  Args:
    row: metrics of `step.train_step`.

  Returns:
    Losses of T and G, share of active terms, smallest angle between two views.
  """
  return {
    "T": f"{row['task_loss']:.3f}",
    "G": f"{row['separation_loss']:.3f}",
    "active": f"{row['active']:.0%}",
    "angle": f"{math.degrees(row['smallest_view_angle']):.0f}°",
  }
