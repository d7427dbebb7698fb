r"""Measures a field of chairs against the truth, from three sides.

    python -m experiments.measure_field --set=work/chairs --workdir=work/field

Prints a row for each of: training objects, held-out objects after `fit`, the
picture itself copied to the other sides, and the mean code. The weight of the
prior of `fit` and the density of the surface are chosen on the first half of
the held-out chairs (--choose); the second half is reported.
"""

import json
import pathlib
import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment
from dr3d.evaluation.report.table import format_table
from experiments.field_truth import make_set

SET = flags.DEFINE_string("set", None, "Of make_field_set.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Of the run.", required=True)
OBJECTS = flags.DEFINE_integer("objects", 20, "Chairs of each kind.")
TRAIN = flags.DEFINE_integer("train", 200, "Number of the first held-out one.")
CHOOSE = flags.DEFINE_bool("choose", False, "Choose the prior of fit.")
PRIOR = flags.DEFINE_float("prior", 0.0, "Weight of the prior of fit.")
LEVEL = flags.DEFINE_float("level", 14.0, "Density of surfaces.")
STEPS = flags.DEFINE_integer("fit_steps", 150, "Steps of fit.")
MESHES = flags.DEFINE_integer("meshes", 10, "Chairs whose mesh is compared.")

TURNS = (0, 45, 90)
PRIORS = (0.0, 1e-3, 1e-2)
LEVELS = (3.0, 7.0, 14.0)  # inverse radii
POINTS = 4000  # of a surface, for the Chamfer distance


def main(_) -> None:
  environment.prepare(verbosity=-2)
  from dr3d.field.field import Field

  folder = pathlib.Path(SET.value)
  field = Field.load(WORKDIR.value)
  truth = dict(np.load(folder / "truth.npz"))
  count = OBJECTS.value
  chosen, held = (
    np.arange(TRAIN.value + half * count, TRAIN.value + (half + 1) * count)
    for half in (0, 1)
  )
  prior, level = PRIOR.value, LEVEL.value
  if CHOOSE.value:
    prior = choose_prior(field, truth, chosen)
    level = choose_level(field, truth, chosen, prior, folder)
  known = np.arange(min(count, len(field.names)))
  begin = time.process_time()
  codes = fit(field, truth, held, prior)
  seconds = (time.process_time() - begin) / len(held)
  mean = np.tile(field.codes.mean(axis=0), (count, 1))
  rows = {
    "training objects": measure(field, field.codes[known], truth, known),
    "held-out objects, fitted": measure(field, codes, truth, held),
    "mean code": measure(field, mean, truth, held),
    "picture copied": measure_copies(truth, held),
  }
  for name, table, objects in (
    ("training objects", field.codes, known),
    ("held-out objects, fitted", codes, held),
    ("mean code", mean, held),
  ):
    rows[name]["chamfer"] = measure_meshes(field, table, objects, folder, level)
  path = pathlib.Path(WORKDIR.value) / "measures.json"
  found = {"prior": prior, "level": level, "rows": rows}
  path.write_text(json.dumps(found, indent=1))
  print(format_rows(rows))
  print(
    f"prior of fit {prior:g}; level {level:g};"
    f" {seconds:.1f} CPU seconds a fitted chair"
  )


def choose_prior(field, truth, objects):
  """The weight with the best PSNR at 45 degrees on the choosing half."""
  scores = {}
  for prior in PRIORS:
    codes = fit(field, truth, objects, prior)
    scores[prior] = measure(field, codes, truth, objects, turns=(1,))["psnr45"]
    print(f"prior {prior:g}: {scores[prior]:.2f} dB at 45 degrees", flush=True)
  return max(scores, key=scores.__getitem__)


def choose_level(field, truth, objects, prior, folder):
  """The density with the least Chamfer distance on the choosing half."""
  codes = fit(field, truth, objects, prior)
  scores = {}
  for level in LEVELS:
    apart = measure_meshes(field, codes, objects, folder, level)
    scores[level] = np.inf if apart is None else apart
    print(f"level {level:g}: Chamfer {scores[level]:.2f} %", flush=True)
  return min(scores, key=scores.__getitem__)


def fit(field, truth, objects, prior):
  from dr3d.field.fit import FitConfig, fit_codes

  config = FitConfig(steps=STEPS.value, pixels=64, code=prior)
  return fit_codes(field, make_set(truth, objects), config=config).codes


def measure(field, codes, truth, objects, *, turns=(0, 1, 2)) -> dict:
  """Means of the measures at each side."""
  from dr3d.camera.view import make_views

  result: dict[str, float] = {}
  for t in turns:
    views = make_views(truth["quaternions"][objects, t], colored=False)
    color, alpha, depth = field.draw(codes, views, samples=48)
    result |= compare(color, alpha, depth, truth, objects, t)
  return result


def measure_copies(truth, objects):
  """The seen picture in the place of the others."""
  result: dict[str, float] = {}
  for t in (1, 2):
    names = ("images", "masks", "depths")
    image, mask, depth = (truth[name][objects, 0] for name in names)
    found = compare(image, mask, depth, truth, objects, t)
    result |= {k: v for k, v in found.items() if not k.startswith("depth")}
  return result


def compare(color, alpha, depth, truth, objects, t):
  from skimage.metrics import structural_similarity

  psnr, ssim, iou, correlation = [], [], [], []
  for i, k in enumerate(objects):
    image, mask = truth["images"][k, t], truth["masks"][k, t] > 0.5
    error = np.mean(np.square(color[i] - image))
    psnr.append(-10 * np.log10(error))
    ssim.append(
      structural_similarity(
        np.float64(color[i]), np.float64(image), channel_axis=-1, data_range=1
      )
    )
    shown = alpha[i] > 0.5
    iou.append((mask & shown).sum() / (mask | shown).sum())
    both = mask & shown
    pair = depth[i][both], truth["depths"][k, t][both]
    correlation.append(np.corrcoef(*pair)[0, 1] if both.sum() > 9 else 0.0)
  turn = TURNS[t]
  return {
    f"psnr{turn}": float(np.mean(psnr)),
    f"ssim{turn}": float(np.mean(ssim)),
    f"iou{turn}": float(np.mean(iou)),
    f"depth{turn}": float(np.mean(correlation)),
  }


def measure_meshes(field, codes, objects, folder, level):
  """Mean Chamfer distance, percent of the radius; None without surface."""
  import trimesh
  from scipy.spatial import cKDTree

  from dr3d.error import FieldError
  from dr3d.field.surface import extract_surface

  found = []
  for i, k in list(enumerate(objects))[: MESHES.value]:
    true = trimesh.load(folder / "models" / f"chair_{k:03d}.ply")
    try:
      surface = extract_surface(field, codes[i], level=level)
      mesh = trimesh.Trimesh(*surface, process=False)
    except FieldError:
      return None
    a, b = (
      trimesh.sample.sample_surface(m, POINTS, seed=0)[0] for m in (true, mesh)
    )
    apart = cKDTree(a).query(b)[0].mean() + cKDTree(b).query(a)[0].mean()
    found.append(50 * apart)
  return float(np.mean(found))


def format_rows(rows):
  header = ["", "PSNR 0/45/90", "SSIM", "mask IoU", "depth", "Chamfer %"]
  table = []
  for name, row in rows.items():

    def join(kind, digits, row=row):
      values = [row.get(f"{kind}{turn}") for turn in TURNS]
      return " / ".join("-" if v is None else f"{v:.{digits}f}" for v in values)

    chamfer = row.get("chamfer")
    table.append(
      [
        name,
        join("psnr", 1),
        join("ssim", 3),
        join("iou", 3),
        join("depth", 2),
        "-" if chamfer is None else f"{chamfer:.2f}",
      ]
    )
  return format_table(header, table)


if __name__ == "__main__":
  app.run(main)
