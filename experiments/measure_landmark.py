r"""Error of cameras from landmarks against the noise of the landmarks.

    python -m experiments.measure_landmark --set=work/chairs

The landmarks are M corners of chairs. "exact": all chairs have the mean
corners, so that noise is the only error. "mean": the corners are those of each
chair, but the canonical points their means, as a template has them.
"""

import pathlib
import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table

SET = flags.DEFINE_string("set", None, "Of make_field_set.", required=True)
SIZE = 48  # pixels of the set
NOISES = (0.0, 0.003, 0.01, 0.03)
# Corners of the seat, upper corners of the back, ends of the legs.
SETS = {
  4: (0, 2, 4, 6),
  5: (0, 1, 2, 4, 5),
  6: (0, 1, 2, 3, 4, 5),
  10: tuple(range(10)),
}


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.camera.landmark import fit_cameras
  from dr3d.camera.matrix import to_opencv
  from dr3d.camera.pose import project_points
  from dr3d.camera.view import make_views

  truth = dict(np.load(pathlib.Path(SET.value) / "truth.npz"))
  true = truth["quaternions"][:, 0]
  views = make_views(true, colored=False)
  k = np.asarray(to_opencv(views, size=SIZE).intrinsics)
  mean = truth["landmarks"].mean(axis=0)
  rows = []
  for M, used in SETS.items():
    points = mean[list(used)]
    alike, _ = project_points(points.astype(np.float32), views, size=SIZE)
    own = truth["pixels"][:, 0][:, list(used)]
    for name, pixels in (("exact", np.asarray(alike)), ("mean", own)):
      row = [f"{M}", name]
      for noise in NOISES:
        span = np.ptp(pixels, axis=1).max(axis=1)[:, None, None]
        rng = np.random.default_rng(0)
        noisy = pixels - 0.5 + noise * span * rng.normal(size=pixels.shape)
        begin = time.perf_counter()
        fit = fit_cameras(noisy, points, k, size=SIZE)
        seconds = time.perf_counter() - begin
        cosine = np.abs((np.asarray(fit.views.quaternion) * true).sum(-1))
        angle = np.degrees(2 * np.arccos(cosine.clip(0, 1)))
        share = fit.error / span[:, 0, 0]
        row.append(
          f"{np.median(angle):.1f} / {np.quantile(angle, 0.9):.1f}"
          f" / {100 * np.median(share):.2f}"
        )
      rows.append([*row, f"{seconds:.2f}"])
  noises = [f"{100 * noise:g} %" for noise in NOISES]
  header = ["M", "points", *noises, "seconds"]
  print("rotation error in degrees, median / nine in ten; residual, % of span")
  print(format_table(header, rows, right=range(2, len(header))))
  print(f"{len(true)} cameras in a call, compiled in the first of a row")


if __name__ == "__main__":
  app.run(main)
