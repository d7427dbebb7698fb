"""Training of a field through the loop that all systems share."""

import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image

from dr3d.camera.view import take_views
from dr3d.error import TrainingError
from dr3d.field.config import FieldConfig, check_config
from dr3d.field.field import DIRECTORY, Field
from dr3d.field.picture import PictureSet, draw_pixels, find_near
from dr3d.field.render import draw_images, move_views
from dr3d.field.step import State, make_state, make_step
from dr3d.runtime.atomic import atomic_file
from dr3d.runtime.device import AXIS, share_devices
from dr3d.training.loop import Hooks, LoopConfig, run_steps
from dr3d.training.workdir import run_once

SHOWN = 6  # pictures of the training that a sheet shows


def train(
  pictures: PictureSet,
  *,
  config: FieldConfig,
  workdir: str | os.PathLike[str],
  progress: bool = True,
) -> Field:
  """Trains a field, or resumes an interrupted run.

  Writes `checkpoints/`, `log.jsonl`, `pictures/STEP.png` (training pictures
  above what the field draws) and at the end `field/` into the working
  directory.

  Args:
    pictures: K pictures of O objects.
    config: the run; its size is that of the pictures.
    workdir: made if missing.
    progress: whether to show a progress bar.

  Raises:
    ValueError: the configuration contradicts itself.
    TrainingError: a working directory of another run, or a metric that is not
      finite.
  """
  check_config(config)
  if pictures.size != config.size:
    raise ValueError(
      f"the pictures have {pictures.size} pixels, but the config {config.size}."
    )
  empty = np.flatnonzero(~pictures.seen.any(axis=(1, 2)))
  if len(empty):
    raise TrainingError(f"picture {empty[0]} shows nothing.")
  workdir = pathlib.Path(workdir).absolute()
  K, O = len(pictures.images), len(pictures.names)
  batch = config.batch
  count = min(batch.pictures, K)
  devices = share_devices(count)
  share = NamedSharding(devices, PartitionSpec(AXIS))
  call = make_step(
    config, size=config.size, has_masks=pictures.masks is not None
  )

  def step(state: State, batch: Any, key: jax.Array):
    return call(state, pictures.views, batch, key)

  near = find_near(pictures) if batch.near else None

  def batches(number: int) -> Any:
    drawn = draw_pixels(
      pictures,
      number,
      count=count,
      pixels=batch.pixels,
      seed=config.seed,
      near=near,
      share=batch.near,
    )
    return jax.device_put(drawn, share)

  def make() -> Field:
    key = jax.random.fold_in(jax.random.key(config.seed), 1 << 30)
    state = run_steps(
      make_state(config, objects=O, pictures=K, key=key),
      step,
      batches,
      config=LoopConfig(config.steps, config.seed, config.checkpoint_every),
      workdir=workdir,
      devices=devices,
      hooks=Hooks(
        extra_columns=lambda state, number: _draw(
          state, number, pictures, config, workdir
        ),
        caption=lambda row: {"color": f"{row['color']:.4f}"},
      ),
      progress=progress,
    )
    return make_field(state, pictures, config)

  return run_once(
    make,
    workdir=workdir,
    run=_describe(pictures, config),
    name=DIRECTORY,
    load=Field.load,
    save=Field.save,
  )


def make_field(
  state: State, pictures: PictureSet, config: FieldConfig
) -> Field:
  """Returns the product of a state."""
  state = jax.tree.map(np.asarray, jax.device_get(state))
  return Field(
    config=config,
    weights=state.weights,
    codes=np.asarray(state.codes),
    pose=np.asarray(state.pose),
    names=pictures.names,
    views=jax.tree.map(np.asarray, move_views(pictures.views, state.pose)),
    rows=pictures.rows,
  )


def _draw(
  state: State,
  number: int,
  pictures: PictureSet,
  config: FieldConfig,
  workdir: pathlib.Path,
) -> dict[str, Any]:
  """Draws some training views now and then; the log names the file."""
  if number % config.draw_every and number != config.steps:
    return {}
  some = np.arange(min(SHOWN, len(pictures.images)))
  views = move_views(take_views(pictures.views, some), state.pose[some])
  color, _, _ = draw_images(
    state.weights,
    state.codes[pictures.rows[some]],
    views,
    config=config.network,
    size=config.size,
    samples=config.batch.samples,
  )
  rows = [np.concatenate(list(x), 1) for x in (pictures.images[some], color)]
  sheet = np.rint(255 * np.concatenate(rows, 0).clip(0, 1)).astype(np.uint8)
  name = f"pictures/{number:06d}.png"
  with atomic_file(workdir / name) as partial:
    Image.fromarray(sheet).save(partial)
  return {"picture": name}


def _describe(pictures: PictureSet, config: FieldConfig) -> dict[str, Any]:
  """What distinguishes one run from another, for `lock_run`."""
  digest = hashlib.sha256()
  views = pictures.views
  cameras = (views.quaternion, views.distance, views.fov)
  for array in (pictures.images, pictures.masks, *cameras, views.offset):
    if array is not None:
      digest.update(np.ascontiguousarray(array).tobytes())
  return {
    **dataclasses.asdict(config),
    "pictures": digest.hexdigest()[:16],
    "objects": len(pictures.names),
  }
