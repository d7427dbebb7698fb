"""`dr3d field`: train a radiance field of a kind of things, and use it."""

import pathlib
from typing import TYPE_CHECKING

from dr3d.cli import argument
from dr3d.cli.field_flags import FLAGS
from dr3d.cli.subcommand import FlagValues, Subcommand, UsageError

if TYPE_CHECKING:
  import numpy as np

  from dr3d.camera.view import Views
  from dr3d.field.field import Field

VERBS = ("train", "fit", "render", "sample", "interpolate", "mesh")
MOVIES = (".mp4", ".gif")
_TURN = 24  # frames of a turntable or a walk
_OUTPUTS = {
  "fit": (".json",),
  "render": (*argument.IMAGE_SUFFIXES, *MOVIES),
  "sample": argument.IMAGE_SUFFIXES,
  "interpolate": (*argument.IMAGE_SUFFIXES, *MOVIES),
  "mesh": (".glb", ".obj", ".off", ".ply", ".stl"),
}


def run(flags: FlagValues, files: list[str]) -> int:
  """Runs a verb."""
  verb, *names = files
  check_arguments(flags, verb, names)
  if verb == "train":
    return train(flags)
  from dr3d.field.field import Field

  field = Field.load(flags.workdir)
  if verb == "fit":
    return fit(flags, field, names[0])
  if verb == "sample":
    return sample(flags, field)
  if verb == "interpolate":
    return interpolate(flags, field, names)
  code = find_code(field, names[0] if names else None)
  return (render if verb == "render" else mesh)(flags, field, code)


def check_arguments(flags: FlagValues, verb: str, names: list[str]) -> None:
  """Checks the arguments before anything large is imported.

  Raises:
    UsageError: they contradict the verb.
  """
  if verb not in VERBS:
    raise UsageError(
      f"field: {verb!r} must be one of {', '.join(VERBS)}; see dr3d field"
      " --help."
    )
  expected = {
    "train": (0, 0, "no NAME"),
    "fit": (1, 1, "one PHOTO"),
    "sample": (0, 0, "no NAME"),
    "interpolate": (2, 99, "two NAMEs or more"),
  }.get(verb, (0, 1, "one NAME at most"))
  reason = ""
  if not expected[0] <= len(names) <= expected[1]:
    reason = f"{verb} takes {expected[2]}, got {len(names)}"
  elif verb == "train" and not flags.images:
    reason = "train needs --images=DIR"
  elif verb == "train" and flags.split and flags.latent % flags.depth:
    reason = (
      f"--split needs a --latent that --depth divides, got {flags.latent} and"
      f" {flags.depth}"
    )
  elif verb != "train" and not flags.out:
    reason = f"{verb} needs --out=FILE"
  if reason:
    raise UsageError(f"field: {reason}; see dr3d field --help.")
  if verb == "train":
    argument.check_directory(flags.images)
    argument.check_new_folder(flags.workdir)
  else:
    argument.check_suffix("field", "out", flags.out, _OUTPUTS[verb])


def train(flags: FlagValues) -> int:
  """Trains, or resumes an interrupted training."""
  from dr3d.field.config import (
    BatchConfig,
    FieldConfig,
    LossConfig,
  )
  from dr3d.field.reading import read_pictures
  from dr3d.field.train import train as train_field
  from dr3d.nn.radiance import NetworkConfig

  config = FieldConfig(
    network=NetworkConfig(
      latent=flags.latent,
      width=flags.width,
      depth=flags.depth,
      split=flags.split,
      background=flags.background == "learned",
    ),
    loss=LossConfig(mask=flags.mask, hard=flags.hard),
    batch=BatchConfig(samples=flags.samples),
    steps=flags.steps,
    learn_cameras=flags.learn_cameras,
    size=flags.size,
    seed=flags.seed,
  )
  images = pathlib.Path(flags.images)
  cameras = pathlib.Path(flags.cameras) if flags.cameras else images
  pictures = read_pictures(cameras, size=flags.size)
  field = train_field(pictures, config=config, workdir=flags.workdir)
  print(
    f"Trained on {len(pictures.images)} pictures of {len(field.names)} objects:"
    f" {flags.workdir}\nNext, see an object from all sides:\n"
    f"  dr3d field render --workdir={flags.workdir} {field.names[0]}"
    " --out=turn.mp4"
  )
  return 0


def fit(flags: FlagValues, field: "Field", photo: str) -> int:
  """Fits a code to a photograph and writes it."""
  from dr3d.field.code_file import write_code
  from dr3d.field.photograph import fit_photograph

  cameras = pathlib.Path(flags.cameras) if flags.cameras else None
  fitted = fit_photograph(
    field, photo, cameras=cameras, steps=flags.fit_steps, seed=flags.seed
  )
  write_code(pathlib.Path(flags.out), field, fitted)
  print(
    f"{flags.out}: the code of {photo}; mean loss {float(fitted.loss[0]):.4f}"
  )
  return 0


def find_code(field: "Field", name: str | None) -> "np.ndarray":
  """The code of a training object, of a file of `fit`, or the mean."""
  from dr3d.field.code_file import read_code

  if name is None:
    return field.codes.mean(axis=0)
  if name.endswith(".json"):
    return read_code(pathlib.Path(name), field)
  return field.find(name)


def render(flags: FlagValues, field: "Field", code: "np.ndarray") -> int:
  """Draws a code from one side, or as a turntable."""
  import numpy as np

  if flags.out.lower().endswith(MOVIES):
    angles = flags.azimuth + np.arange(_TURN) * (360 / _TURN)
  else:
    angles = np.array([flags.azimuth])
  views = _look_around(field, angles, flags.elevation)
  codes = np.tile(code, (views.count, 1))
  color, _, _ = field.draw(codes, views, size=flags.size)
  return _write_frames(flags.out, color)


def sample(flags: FlagValues, field: "Field") -> int:
  """Draws codes that no object has, as a sheet."""
  import numpy as np

  from dr3d.field.latent import fit_latents

  codes = fit_latents(field.codes).draw(
    flags.count, truncation=flags.truncation, seed=flags.seed
  )
  views = _look_around(
    field, np.full(len(codes), flags.azimuth), flags.elevation
  )
  color, _, _ = field.draw(codes, views, size=flags.size)
  return _write_frames(flags.out, color)


def interpolate(flags: FlagValues, field: "Field", names: list[str]) -> int:
  """Draws codes on the lines between others."""
  import numpy as np

  from dr3d.field.latent import walk

  codes = walk(
    [find_code(field, name) for name in names],
    count=max(flags.count, len(names)),
  )
  views = _look_around(
    field, np.full(len(codes), flags.azimuth), flags.elevation
  )
  color, _, _ = field.draw(codes, views, size=flags.size)
  return _write_frames(flags.out, color)


def mesh(flags: FlagValues, field: "Field", code: "np.ndarray") -> int:
  """Writes the surface of a code."""
  import trimesh

  from dr3d.field.surface import extract_surface
  from dr3d.runtime.atomic import atomic_file

  vertices, faces = extract_surface(
    field, code, grid=flags.grid, level=flags.level
  )
  with atomic_file(pathlib.Path(flags.out)) as partial:
    trimesh.Trimesh(vertices, faces, process=False).export(partial)
  print(f"{flags.out}: {len(faces)} triangles")
  return 0


def _look_around(
  field: "Field", azimuth: "np.ndarray", elevation: float
) -> "Views":
  """Views at angles in degrees, with the training's distance and lens."""
  import dataclasses

  import numpy as np

  from dr3d.camera.view import look_from, make_views

  turn, rise = np.radians(azimuth), np.radians(elevation)
  directions = np.stack(
    [
      np.cos(rise) * np.cos(turn),
      np.cos(rise) * np.sin(turn),
      np.sin(rise) + 0 * turn,
    ],
    axis=-1,
  )
  views = make_views(look_from(directions), colored=False)
  ones = np.ones(len(turn), np.float32)
  return dataclasses.replace(
    views,
    distance=np.median(field.views.distance) * ones,
    fov=np.median(field.views.fov) * ones,
  )


def _write_frames(out: str, color: "np.ndarray") -> int:
  """Writes frames as an animation, or as one sheet."""
  from dr3d.render.animation import save_gif, save_mp4

  if out.lower().endswith(MOVIES):
    (save_mp4 if out.lower().endswith(".mp4") else save_gif)(color, out)
  else:
    import math

    import numpy as np
    from PIL import Image

    from dr3d.runtime.atomic import atomic_file

    N, H, W, _ = color.shape
    columns = math.ceil(math.sqrt(N))
    rows = math.ceil(N / columns)
    sheet = np.ones((rows * H, columns * W, 3), np.float32)
    for i, image in enumerate(color):
      y, x = divmod(i, columns)
      sheet[y * H : (y + 1) * H, x * W : (x + 1) * W] = image
    pixels = np.rint(255 * sheet.clip(0, 1)).astype(np.uint8)
    with atomic_file(pathlib.Path(out)) as partial:
      Image.fromarray(pixels).save(partial)
  print(f"{out}: {len(color)} images")
  return 0


SUBCOMMAND = Subcommand(
  name="field",
  summary="Learn a kind of things from single pictures and show other sides.",
  details="""
    VERB says what to do:

      train                 learns a field from pictures of many objects, each
                            seen once or more. The same command resumes.
      fit PHOTO             finds the code of a new object and writes it.
      render [NAME]         draws an object: one side, or a turntable.
      sample                draws objects that nobody has seen.
      interpolate NAME ...  draws the way from one object to another.
      mesh [NAME]           writes the surface of an object.

    NAME is an object of the training, or a file that fit wrote; without it the
    mean of all objects is taken.

    Cameras are in --cameras=FILE, by default IMAGES/transforms.json: the format
    of NeRF, with the fields mask_path, object, landmarks, canonical_landmarks,
    radius and center as options. A folder of COLMAP's text is accepted.
    Pictures without transform_matrix get their cameras from four landmarks or
    more. fit without --cameras searches the viewpoint.
  """,
  example="""
    dr3d field train --images=chairs --workdir=work
    dr3d field fit --workdir=work photo.png --out=code.json
    dr3d field render --workdir=work code.json --out=turn.mp4
    dr3d field mesh --workdir=work code.json --out=chair.ply
    dr3d field sample --workdir=work --count=16 --out=sheet.png
  """,
  flags=FLAGS,
  files="VERB [NAME]...",
  run=run,
)
