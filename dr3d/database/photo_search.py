"""How a database answers photographs: its gallery for them, and the query.

The vectors of meshes are of few views in principal axes, by an encoder that
knows renderings. Photographs have an encoder and a gallery of their own, which
is made of the stored meshes when a photograph first asks, or by
`dr3d index --photos`.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dr3d.database import calibration_file, photo_store, sqlite_file
from dr3d.database.model import Model, Shape
from dr3d.database.photo_store import PhotoStore
from dr3d.error import DatabaseError, EmptyError, LockError, MeshError
from dr3d.index.model_index import index_models
from dr3d.mesh.packing import unpack_mesh
from dr3d.search.calibration import Calibration, calibrate_by, choose_models
from dr3d.search.evidence import NO_EVIDENCE, Evidence
from dr3d.search.gallery import Gallery
from dr3d.search.query import Query

if TYPE_CHECKING:
  import pathlib

  from dr3d.image.cutout import Photo
  from dr3d.image.mask import Box
  from dr3d.mesh import Mesh
  from dr3d.retrieval.pipeline import Pipeline

_LOG = logging.getLogger(__name__)
_BATCH = 16  # meshes embedded at a time: a kill loses at most so many
_CALIBRATION = "calibration"
PROBES = 128
"""Models of which photographs are made to calibrate the answers."""

PHOTOS = 4
"""Photographs of each of these: about a minute of CPU time for all."""

Progress = Callable[[int, int], None]
LoadShapes = Callable[[Sequence[str]], "dict[str, Shape]"]


def embed_photos(
  photos: "Photo | Sequence[Photo]",
  *,
  region: "Box | None" = None,
) -> Query:
  """Makes a query of photographs of one thing.

  Args:
    photos: one or several.
    region: x, y, width and height of a box around the thing, in pixels; for
      one photograph that was not cut out before.

  Raises:
    PictureError: a photograph cannot be read, or shows nothing.
    ValueError: there is none, or a region of several.
  """
  from dr3d.image.cutout import CutOut, cut_out
  from dr3d.retrieval.photo.encoder import load_encoder
  from dr3d.retrieval.photo.query import make_query

  several: list[Any] = (
    list(photos) if isinstance(photos, list | tuple) else [photos]
  )
  if region is not None and (
    len(several) > 1 or isinstance(several[0], CutOut)
  ):
    raise ValueError("a region needs one photograph that is not yet cut out")
  cutouts = [
    each if isinstance(each, CutOut) else cut_out(each, region=region)
    for each in several
  ]
  encoder = load_encoder()
  return make_query(cutouts, encoder, size=encoder.config.render.size)


def make_photo_gallery(
  directory: "pathlib.Path",
  models: Sequence[Model],
  load_shapes: LoadShapes,
  encoder: "Pipeline",
  *,
  progress: Progress | None = None,
) -> Gallery:
  """Makes the gallery for photographs, of vectors that are stored or new.

  New ones are stored, unless the folder cannot be written or another process
  writes them at this moment; then they serve this process alone.

  Args:
    directory: of the database.
    models: the indexed ones, by name.
    load_shapes: reads stored meshes by name of the model.
    encoder: the pipeline for photographs.
    progress: called with the shapes that have vectors, and all.

  Raises:
    EmptyError: no model has a stored mesh.
  """
  store = PhotoStore(directory, encoder=encoder.fingerprint)
  keys = {model.name: model.geometry or model.hash for model in models}
  known = store.read(list(keys.values()))
  _embed_missing(store, known, keys, load_shapes, encoder, progress=progress)
  found = [model for model in models if keys[model.name] in known]
  if not found:
    raise EmptyError(
      f"{directory} holds no model whose mesh is stored: index it again."
    )
  features = np.stack([known[keys[model.name]] for model in found])
  names = tuple(model.name for model in found)
  labels = tuple(model.label for model in found)
  index = index_models(features, engine="exact")
  gallery = Gallery(names, labels, features, index)
  numbers = [int(keys[name][:15] or "0", 16) for name in names]
  sketch = calibration_file.draw_sketch(
    names, labels, np.array(numbers, np.uint64)
  )
  calibration = calibration_file.load(store.read_setting(_CALIBRATION), sketch)
  if calibration is None:
    calibration = fit_photo_calibration(gallery, load_shapes, encoder)
    text = calibration_file.dump(calibration, sketch)
    _try(store, lambda: store.write_setting(_CALIBRATION, text))
  gallery.calibrations["photograph"] = calibration
  return gallery


def fit_photo_calibration(
  gallery: Gallery, load_shapes: LoadShapes, encoder: "Pipeline"
) -> Calibration:
  """Asks the gallery with photographs that are made of its own models.

  A mesh query leaves itself out, because it asks for others of its class. A
  photograph mostly shows a part that the database has, so here nothing is left
  out of the in-database queries.

  Args:
    gallery: for photographs.
    load_shapes: reads stored meshes by name.
    encoder: the pipeline for photographs.
  """
  from dr3d.retrieval.photo.probe import embed_probes

  chosen = choose_models(gallery.names, gallery.labels, count=PROBES)
  shapes = load_shapes([gallery.names[model] for model in chosen])
  chosen = np.array(
    [model for model in chosen if gallery.names[model] in shapes], int
  )
  meshes = [unpack_mesh(shapes[gallery.names[m]].mesh) for m in chosen]
  probes = embed_probes(meshes, encoder, count=PHOTOS)

  def ask(query: int, allowed: np.ndarray) -> Evidence:
    if not allowed.any():
      return NO_EVIDENCE
    candidates = gallery.find_candidates(
      probes[query // PHOTOS, query % PHOTOS],
      k=1,
      allowed=allowed,
      similarity="photograph",
    )
    return gallery.weigh(candidates, similarity="photograph")

  return calibrate_by(
    np.repeat(chosen, PHOTOS), gallery.labels, ask, leave_out_itself=False
  )


def _embed_missing(
  store: PhotoStore,
  known: dict[str, np.ndarray],
  keys: dict[str, str],
  load_shapes: LoadShapes,
  encoder: "Pipeline",
  *,
  progress: Progress | None,
) -> None:
  """Embeds the shapes that have no vectors yet, and adds them to `known`."""
  missing = {key: name for name, key in keys.items() if key not in known}
  total = len(set(keys.values()))
  names = list(missing.values())
  for start in range(0, len(names), _BATCH):
    batch = names[start : start + _BATCH]
    shapes = load_shapes(batch)
    meshes: dict[str, Mesh] = {}
    for name in batch:
      try:
        meshes[keys[name]] = unpack_mesh(shapes[name].mesh)
      except (KeyError, MeshError):  # it has none, or a damaged one
        continue
    if not meshes:
      continue
    vectors = encoder.embed(list(meshes.values()))
    new = dict(zip(meshes, vectors, strict=True))
    known.update(new)
    _try(store, functools.partial(store.write, new))
    if progress is not None:
      progress(len(known), total)


def _try(store: PhotoStore, write: Callable[[], Any]) -> None:
  """Writes what can be computed again, if that is possible."""
  try:
    write()
  except LockError:
    return  # another process is storing the same
  except DatabaseError as error:
    if sqlite_file.is_damage(error):
      photo_store.remove(store.directory)
      try:
        write()
      except DatabaseError as again:
        _LOG.warning("%s", again)
    else:
      _LOG.warning("%s", error)
