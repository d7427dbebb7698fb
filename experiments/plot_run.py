"""Plots a training run: its losses and the paths of its viewpoints.

python -m experiments.plot_run --workdir=work/part --out=run.png
"""

import json
import pathlib

import matplotlib
import numpy as np
from absl import app, flags

from dr3d.camera.view import view_directions

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run.", required=True
)
OUT = flags.DEFINE_string("out", None, "PNG file to write.", required=True)
CURVES = ("task_loss", "separation_loss", "active", "spread", "coverage")


def main(_) -> None:
  log = pathlib.Path(WORKDIR.value) / "log.jsonl"
  rows = [json.loads(line) for line in log.read_text().splitlines()]
  step = np.array([row["step"] for row in rows])
  figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
  window = max(1, len(rows) // 50)
  smooth = np.ones(window) / window
  for name in CURVES:
    values = np.convolve([row[name] for row in rows], smooth, "valid")
    left.plot(step[window - 1 :], values, label=name)
  left.set_xlabel("step")
  left.set_title(f"running mean over {window} steps")
  left.legend()

  quaternions = np.array([r["quaternion"] for r in rows if "quaternion" in r])
  x, y, z = np.moveaxis(np.asarray(view_directions(quaternions)), -1, 0)
  longitude, latitude = np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z))
  for view in range(quaternions.shape[1]):
    track = right.plot(longitude[:, view], latitude[:, view], ".", ms=3)
    right.annotate(
      str(view + 1),
      (longitude[-1, view], latitude[-1, view]),
      color=track[0].get_color(),
      fontsize=14,
    )
  right.set(xlim=(-180, 180), ylim=(-90, 90))
  right.set_xlabel("longitude of the camera, degrees, 0 = first principal axis")
  right.set_ylabel("latitude, degrees, 90 = third principal axis")
  right.set_title("paths of the viewpoints; a number marks the end")
  figure.tight_layout()
  figure.savefig(OUT.value, dpi=110)


if __name__ == "__main__":
  app.run(main)
