r"""Measures how often a photograph finds its part.

    python -m experiments.measure_photo --data=bricks

The folder has an `index.csv` with the columns kind (model or photo), part, file
and camera. The models of all parts are the gallery; a photograph asks for the
model of its part. Every second part by name is for choices (`--half=choose`),
the others are reported once (`--half=report`).

`--method` is how pictures are compared: `photo` asks as a database does;
`plain` embeds the cut-out by any pipeline (also pretrained and full) in eight
turns; `silhouette` compares the outlines of single views.

A row is a camera, or three photographs of one part by front and back cameras
that ask together; 95 % intervals are of parts drawn with replacement.
"""

import csv
import pathlib
import time

import numpy as np
from absl import app, flags

from dr3d.cli import environment, pipeline_flag
from dr3d.error import PictureError
from dr3d.evaluation.report.table import format_table

DATA = flags.DEFINE_string("data", None, "Folder.", required=True)
PIPELINE = flags.DEFINE_string(
  "pipeline", "photo", "Pipeline; photo names the encoder that ships."
)
METHOD = flags.DEFINE_enum(
  "method", "photo", ["photo", "plain", "silhouette"], "How to compare."
)
HALF = flags.DEFINE_enum("half", "choose", ["choose", "report"], "Parts.")
CACHE = flags.DEFINE_string("cache", None, "Folder for vectors; none if empty.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of triples and intervals.")
_REPEATS = 1000  # of the bootstrap


def main(_) -> None:
  environment.prepare(verbosity=-2)
  folder = pathlib.Path(DATA.value)
  models, photos = read_table(folder)
  photos = choose_half(photos)
  cutouts, seconds = cut_photographs(folder, photos)
  score, more = rate(folder, models, cutouts)
  right = np.array([models.index(row["part"]) for row in photos])
  rows = [
    (name, *describe(score_of, part_of, labels))
    for name, score_of, part_of, labels in list_cases(score, right, photos)
  ]
  header = ("photographs", "queries", "first", "95 %", "five", "95 %")
  print(
    f"{len(models)} models, {len(photos)} photographs of"
    f" {len({row['part'] for row in photos})} parts"
  )
  print(format_table(header, rows))
  print(f"{seconds + more:.3f} CPU seconds for a photograph")


def read_table(folder):
  """The names of the models, and the rows of the photographs."""
  with (folder / "index.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  models = sorted(row["part"] for row in rows if row["kind"] == "model")
  return models, [row for row in rows if row["kind"] == "photo"]


def choose_half(photos):
  """The rows of every second part."""
  parts = sorted({row["part"] for row in photos})
  chosen = set(parts[0 if HALF.value == "choose" else 1 :: 2])
  return [row for row in photos if row["part"] in chosen]


def list_cases(score, right, photos):
  """Yields name, scores [Q, M], right model [Q] and part [Q] of each row."""
  parts = np.array([row["part"] for row in photos])
  camera = np.array([row["camera"] for row in photos])
  for name in ("front", "back", "bottom"):
    of = camera == name
    yield name, score[of], right[of], parts[of]
  sharp = np.flatnonzero(camera != "bottom")
  yield "front and back", score[sharp], right[sharp], parts[sharp]
  rng = np.random.default_rng(SEED.value)
  triples = []
  for i in sharp:
    others = [j for j in sharp if parts[j] == parts[i] and j != i]
    triples.append([i, *rng.choice(others, 2, replace=False)])
  fused = score[np.array(triples)].mean(axis=1)
  yield "three together", fused, right[sharp], parts[sharp]


def describe(score, right, parts):
  """Queries, share first and among five, with intervals over parts."""
  own = score[np.arange(len(score)), right]
  rank = (score >= own[:, None]).sum(axis=1) - 1  # equal ones count before
  cells = [str(len(score))]
  names = np.unique(parts)
  for count in (1, 5):
    hit = rank < count
    rng = np.random.default_rng(SEED.value)
    means = []
    for _ in range(_REPEATS):
      drawn = rng.choice(names, len(names))
      means.append(np.concatenate([hit[parts == n] for n in drawn]).mean())
    low, high = np.percentile(means, [2.5, 97.5])
    cells += [f"{hit.mean():.3f}", f"{low:.2f}-{high:.2f}"]
  return cells


def rate(folder, models, cutouts):
  """Scores [Q, M] of the models, and CPU seconds of a photograph."""
  if METHOD.value == "silhouette":
    return rate_silhouettes(folder, models, cutouts)
  return rate_vectors(folder, models, cutouts)


def cut_photographs(folder, photos):
  from dr3d.image.cutout import CutOut, cut_out
  from dr3d.image.mask import Mask
  from dr3d.image.photograph import read_photograph

  cutouts, missed = [], 0
  start = time.process_time()
  for row in photos:
    try:
      cutouts.append(cut_out(folder / row["file"]))
    except PictureError:  # then the whole picture asks
      picture = read_photograph(folder / row["file"])
      whole = Mask(np.ones(picture.shape[:2], bool), "border")
      cutouts.append(CutOut(picture, whole))
      missed += 1
  seconds = (time.process_time() - start) / len(photos)
  print(f"{missed} of {len(photos)} photographs without a mask")
  return cutouts, seconds


def rate_vectors(folder, models, cutouts):
  from dr3d.retrieval.photo.encoder import load_encoder
  from dr3d.retrieval.photo.query import make_query
  from dr3d.search.similarity import nearest_pairs

  if PIPELINE.value == "photo":
    pipeline = load_encoder()
  else:
    pipeline = pipeline_flag.load_pipeline(PIPELINE.value)
  stored = embed_models(folder, models, pipeline)
  size = pipeline.config.render.size
  encoder = pipeline if METHOD.value == "photo" else Grey(pipeline)
  make_query(cutouts[:1], encoder, size=size)  # compiles
  score, seconds = [], []
  for cutout in cutouts:
    start = time.process_time()
    query = make_query([cutout], encoder, size=size)
    cosine = np.einsum("mnd,qd->mnq", stored, query.vectors)
    score.append(nearest_pairs(cosine)[1])
    seconds.append(time.process_time() - start)
  return np.array(score), float(np.median(seconds))


class Grey:
  """A pipeline that sees photographs without their colours.

  Renderings have coloured lights, which no photograph has.
  """

  def __init__(self, pipeline):
    self._pipeline = pipeline

  def embed_images(self, images):
    """See `Pipeline.embed_images`."""
    grey = images[..., :3].mean(axis=-1, keepdims=True)
    color = np.repeat(grey, 3, axis=-1)
    whole = np.concatenate([color, images[..., 3:]], axis=-1)
    return self._pipeline.embed_images(whole)


def embed_models(folder, models, pipeline):
  """Vectors [M, N, D], read from the cache if it has them."""
  path = CACHE.value and (
    pathlib.Path(CACHE.value) / f"{pipeline.fingerprint}.npy"
  )
  if path and path.exists():
    return np.load(path)
  import dr3d

  start = time.process_time()
  meshes = [
    dr3d.load_mesh(
      folder / "models" / f"{name}.ply", face_budget=pipeline.face_budget
    )
    for name in models
  ]
  stored = pipeline.embed(meshes)
  print(f"{time.process_time() - start:.0f} CPU seconds for the gallery")
  if path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, stored)
  return stored


def rate_silhouettes(folder, models, cutouts):
  """Scores by Fourier descriptors of outlines, the best of 96 views."""
  import dr3d
  from dr3d.camera.view import sphere_views, view_directions
  from dr3d.descriptor.contour import fourier_descriptors
  from dr3d.descriptor.silhouette import draw_silhouettes

  axes = np.asarray(view_directions(sphere_views(96)))
  stored = []
  for name in models:
    mesh = dr3d.load_mesh(folder / "models" / f"{name}.ply", face_budget=1024)
    images = draw_silhouettes(mesh.vertices / 1.01, mesh.faces, axes, size=96)
    stored.append(fourier_descriptors(images))
  known = np.stack(stored)
  start = time.process_time()
  score = []
  for cutout in cutouts:
    image = cutout.turn(96, count=1)[0, ..., 3] > 0.5
    image = np.pad(image, 2)
    found = fourier_descriptors(image[None])[0]
    score.append(-np.abs(known - found).sum(axis=-1).min(axis=1))
  return np.array(score), (time.process_time() - start) / len(cutouts)


if __name__ == "__main__":
  app.run(main)
