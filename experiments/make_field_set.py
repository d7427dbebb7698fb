r"""Renders a class of chairs, one picture a chair, for measurements of fields.

    python -m experiments.make_field_set --out=work/chairs

Writes into the folder:

    train/transforms.json, train/images, train/masks   one picture a chair
    truth.npz    pictures, masks and depths of all chairs from three sides: that
                 of the training, and 45 and 90 degrees around the z axis
    models/      the chairs as PLY files

Chairs from --train on are never trained on. The light is fixed to the chair, as
a field without view direction needs it.
"""

import dataclasses
import json
import pathlib

import numpy as np
import trimesh
from absl import app, flags
from PIL import Image

from dr3d.cli import environment

OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
TRAIN = flags.DEFINE_integer("train", 200, "Chairs to learn from.")
HELD = flags.DEFINE_integer("held_out", 40, "Chairs never trained on.")
SIZE = flags.DEFINE_integer("size", 48, "Height and width, pixels.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of chairs and cameras.")

TURNS = (0, 45, 90)  # degrees about the z axis
LIGHT = np.array([0.3, -0.6, 0.8])  # towards it, in the axes of the chair
FACES = 192  # of a padded chair


def main(_) -> None:
  environment.prepare(verbosity=-2)
  out = pathlib.Path(OUT.value)
  from experiments.field_chair import make_chair

  count = TRAIN.value + HELD.value
  rng = np.random.default_rng(SEED.value)
  azimuth = rng.uniform(0, 2 * np.pi, count)
  elevation = np.radians(rng.uniform(10, 40, count))
  chairs = [make_chair(i, seed=SEED.value) for i in range(count)]
  truth: dict[str, list] = {}
  for chair, a, e in zip(chairs, azimuth, elevation, strict=True):
    for name, value in draw(chair, a, e, size=SIZE.value).items():
      truth.setdefault(name, []).append(value)
  arrays = {name: np.stack(values) for name, values in truth.items()}
  arrays["landmarks"] = np.stack([chair.landmarks for chair in chairs])
  (out / "models").mkdir(parents=True, exist_ok=True)
  values: dict = arrays
  np.savez_compressed(out / "truth.npz", **values)
  for i, chair in enumerate(chairs):
    mesh = trimesh.Trimesh(chair.vertices, chair.faces, process=False)
    mesh.export(out / "models" / f"chair_{i:03d}.ply")
  write_set(out / "train", arrays, TRAIN.value)
  print(f"{out}: {TRAIN.value} pictures to learn from, {count} chairs")


def draw(chair, azimuth, elevation, *, size):
  """Pictures `[3, H, W, 3]`, masks and depths along the rays, and cameras."""
  import jax.numpy as jnp

  from dr3d.camera.pose import project_points
  from dr3d.camera.view import look_from, make_views, rotation_matrix
  from dr3d.render.draw import render
  from dr3d.render.shading import flat_normals
  from dr3d.render.triangle import Triangles

  turns = azimuth + np.radians(TURNS)
  c = np.cos(elevation)
  directions = np.stack(
    [c * np.cos(turns), c * np.sin(turns), np.sin(elevation) + 0 * turns], -1
  )
  views = make_views(look_from(directions), colored=False)
  turn = np.asarray(rotation_matrix(views.quaternion))
  light = turn @ (LIGHT / np.linalg.norm(LIGHT))
  ones = np.ones((3, 1, 3), np.float32)
  views = dataclasses.replace(
    views,
    light=dataclasses.replace(
      views.light,
      direction=jnp.asarray(light[:, None], jnp.float32),
      intensity=jnp.asarray(0.6 * ones),
      ambient=jnp.asarray(0.45 * ones[:, 0]),
    ),
    material=dataclasses.replace(views.material, specular=jnp.zeros(())),
  )
  corners = np.zeros((1, FACES, 3, 3), np.float32)
  albedo = np.zeros_like(corners)
  n = len(chair.faces)
  corners[0, :n] = chair.vertices[chair.faces]
  albedo[0, :n] = chair.colors[:, None]
  triangles = Triangles(
    corners, np.asarray(flat_normals(jnp.asarray(corners))), albedo
  )
  images = np.asarray(
    render(triangles, views, size=size, samples=2, sigma=0.3, layers=("depth",))
  )[0]
  alpha = images[..., 3].clip(0, 1)
  half = np.tan(np.asarray(views.fov)[0] / 2)
  side = ((np.arange(size) + 0.5) * 2 / size - 1) * half
  slant = np.sqrt(1 + side**2 + side[:, None] ** 2)
  pixels, _ = project_points(chair.landmarks, views, size=size)
  return {
    "images": (images[..., :3] + (1 - alpha[..., None])).clip(0, 1),
    "masks": alpha,
    "depths": images[..., 4] * slant,
    "quaternions": np.asarray(views.quaternion),
    "pixels": np.asarray(pixels),
  }


def write_set(folder, arrays, count):
  """Writes what `dr3d field` reads: pictures, masks, cameras, landmarks."""
  from dr3d.camera.view import make_views
  from dr3d.field.camera_file import to_frame

  (folder / "images").mkdir(parents=True, exist_ok=True)
  (folder / "masks").mkdir(exist_ok=True)
  views = make_views(arrays["quaternions"][:count, 0], colored=False)
  frames = []
  for i in range(count):
    names = f"images/{i:03d}.png", f"masks/{i:03d}.png"
    for name, kind in zip(names, ("images", "masks"), strict=True):
      pixels = np.rint(255 * arrays[kind][i, 0]).astype(np.uint8)
      Image.fromarray(pixels).save(folder / name)
    frame = {
      "file_path": names[0],
      "mask_path": names[1],
      "object": f"chair_{i:03d}",
      "landmarks": np.round(arrays["pixels"][i, 0], 3).tolist(),
    }
    frames.append({**frame, **to_frame(views, i)})
  data = {
    "camera_angle_x": float(views.fov[0]),
    "canonical_landmarks": arrays["landmarks"][:count].mean(axis=0).tolist(),
    "frames": frames,
  }
  (folder / "transforms.json").write_text(json.dumps(data, indent=1))


if __name__ == "__main__":
  app.run(main)
