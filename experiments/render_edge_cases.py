"""Renders shapes that often break renderers, for inspection.

    python -m experiments.render_edge_cases --out=shapes.png

The shapes are a thin, a long and a flat part, an open shell, a part with all
normals flipped, and one whose faces have random winding. Each is rendered by
default, with `coverage="mesh"`, with hard edges, and as depth and normals.
`--million` adds a ball of 1 310 720 faces. Prints time and memory of each.
"""

import dataclasses
import resource
import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table

OUT = flags.DEFINE_string("out", "shapes.png", "PNG file to write.")
SIZE = flags.DEFINE_integer("size", 224, "Height and width, pixels.")
MILLION = flags.DEFINE_bool("million", False, "Add a ball of 1 310 720 faces.")

COLUMNS = ("default", "coverage mesh", "hard", "depth", "normals")
HEADER = ("shape", "faces", "s, with compiling", "peak memory so far, MiB")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  import jax.numpy as jnp

  from dr3d.camera.view import make_views
  from dr3d.mesh import make_mesh
  from dr3d.render.layer import render_hard, render_layers
  from dr3d.render.triangle import RenderConfig, fit_budget, stack_meshes
  from experiments.benchmark.edge_case import make_shapes
  from experiments.inverse import figure

  views = make_views(np.array([[0.85, 0.35, 0.35, 0.15]]))
  rows, images = [], []
  shapes = make_shapes(million=MILLION.value)
  for name, (vertices, faces) in shapes.items():
    begin = time.perf_counter()
    mesh = make_mesh(vertices, faces)
    cells = []
    for coverage in ("face", "mesh"):
      config = RenderConfig(size=SIZE.value, coverage=coverage)
      triangles = stack_meshes(
        [mesh], face_count=mesh.face_count, coverage=coverage
      )
      budget = fit_budget(triangles, views, config=config)
      layers = render_layers(
        triangles, views, budget=budget, **dataclasses.asdict(config)
      )
      cells.append(np.asarray(layers.image[0, 0]))
    hard = render_hard(
      dataclasses.replace(triangles, opposite=None),
      views,
      size=SIZE.value,
      budget=fit_budget(triangles, views, config=RenderConfig(size=SIZE.value)),
      framing="object",
    )
    near = views.distance[0] - 1
    # Darker with distance; 2.5 radii cover the whole sphere.
    shade = jnp.where(hard.depth > 0, 1 - (hard.depth - near) / 2.5, 1)
    cells += [
      np.asarray(hard.image[0, 0]),
      np.asarray(shade[0, 0]),
      np.asarray(
        jnp.where(hard.image[..., 3:] > 0, (hard.normal + 1) / 2, 1)[0, 0]
      ),
    ]
    images.append(cells)
    rows.append(
      [
        name,
        f"{mesh.face_count}",
        f"{time.perf_counter() - begin:.1f}",
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
      ]
    )
  figure.save_grid(
    OUT.value,
    images,
    columns=COLUMNS,
    names=[row[0] for row in rows],
    title=f"{SIZE.value} x {SIZE.value}",
  )
  print(format_table(HEADER, rows, right=[1, 2, 3]))


if __name__ == "__main__":
  app.run(main)
