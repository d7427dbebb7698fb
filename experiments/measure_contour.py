"""Measures the distance of a rendered sphere's contour from the true one.

    python -m experiments.measure_contour
    python -m experiments.measure_contour --distance=2.732 --fov=60

The first command uses the default camera of dr3d. The second uses that of other
soft rasterizers, which sees the sphere smaller.

Distances are in pixels, positive outside: mean, minimum and maximum. They are
measured from the circle of the sphere through the corners, which contains the
polyhedron; from the circle of a sphere of the polyhedron's volume; and from the
outline of the polyhedron itself. Alpha is the least value inside.
"""

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table

SIZE = flags.DEFINE_integer("size", 224, "Height and width, pixels.")
CUTS = flags.DEFINE_multi_integer(
  "cuts", [3, 4, 5, 6], "Subdivisions of an icosahedron."
)
VIEWS = flags.DEFINE_integer("views", 3, "How many of twelve viewpoints.")

DISTANCE = flags.DEFINE_float(
  "distance", None, "Distance of the camera, radii."
)
FOV = flags.DEFINE_float("fov", None, "Field of view, degrees.")

HEADER = (
  "faces",
  "coverage",
  "from the circle",
  "from that of its volume",
  "from the outline",
  "alpha",
)


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from experiments.benchmark.contour import measure_contour

  rows = []
  for cuts in CUTS.value:
    for coverage in ("face", "mesh"):
      found = [
        measure_contour(
          cuts,
          coverage=coverage,
          size=SIZE.value,
          view=view,
          distance=DISTANCE.value,
          fov=None if FOV.value is None else np.radians(FOV.value),
        )
        for view in range(VIEWS.value)
      ]
      rows.append(
        [
          f"{20 * 4**cuts}",
          coverage,
          _range(np.concatenate([c.drawn - c.circle for c in found])),
          _range(np.concatenate([c.drawn - c.equal for c in found])),
          _range(np.concatenate([c.drawn - c.outline for c in found])),
          f"{min(c.seam for c in found):.4f}",
        ]
      )
  print(format_table(HEADER, rows, right=[0]))


def _range(x: np.ndarray) -> str:
  return f"{x.mean():+.2f} ({x.min():+.2f} to {x.max():+.2f})"


if __name__ == "__main__":
  app.run(main)
