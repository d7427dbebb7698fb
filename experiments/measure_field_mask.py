r"""Why is the mask IoU of a field of chairs what it is?

    python -m experiments.measure_field_mask --set=work/chairs \
      --workdir=work/field

Prints, for training chairs from a side that was not shown, the IoU at several
thresholds of alpha and numbers of samples a ray; and, for scale, the IoU of the
true masks with copies of themselves that are shifted by one pixel, and the
share of the picture that they cover.
"""

import pathlib

import numpy as np
from absl import app, flags

from dr3d.cli import environment

SET = flags.DEFINE_string("set", None, "Of make_field_set.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Of the run.", required=True)
OBJECTS = flags.DEFINE_integer("objects", 16, "Training chairs.")

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
SAMPLES = (24, 48, 96)
SIDE = 1  # of make_field_set.TURNS: 45 degrees from the shown side


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.camera.view import make_views
  from dr3d.evaluation.report.table import format_table
  from dr3d.field.field import Field

  field = Field.load(WORKDIR.value)
  truth = dict(np.load(pathlib.Path(SET.value) / "truth.npz"))
  chairs = np.arange(OBJECTS.value)
  views = make_views(truth["quaternions"][chairs, SIDE], colored=False)
  masks = truth["masks"][chairs, SIDE] > 0.5
  rows = []
  for samples in SAMPLES:
    _, alpha, _ = field.draw(field.codes[chairs], views, samples=samples)
    scores = [compare(alpha > level, masks) for level in THRESHOLDS]
    rows.append([f"{samples}", *(f"{score:.3f}" for score in scores)])
  header = ["samples", *(f"alpha > {level}" for level in THRESHOLDS)]
  print(format_table(header, rows))
  shifted = compare(np.roll(masks, 1, axis=2), masks)
  print(
    f"masks cover {masks.mean():.3f} of the picture; shifted by one pixel,"
    f" their IoU with themselves is {shifted:.3f}"
  )


def compare(some: np.ndarray, others: np.ndarray) -> float:
  """Mean IoU of masks, bool `[N, H, W]`."""
  both = (some & others).sum((1, 2))
  return float(np.mean(both / (some | others).sum((1, 2))))


if __name__ == "__main__":
  app.run(main)
