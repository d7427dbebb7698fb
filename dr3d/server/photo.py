"""Photographs ask a service; and the views that it compares with them."""

import concurrent.futures
import functools
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.data.folder import ModelFile
from dr3d.database import photo_store
from dr3d.database.condition import Condition
from dr3d.database.photo_search import embed_photos
from dr3d.error import Dr3dError
from dr3d.image.cutout import CutOut
from dr3d.image.mask import Box, Mask
from dr3d.mesh import Mesh
from dr3d.server import preview, schema
from dr3d.server.batch import Batcher
from dr3d.server.http_error import HttpError
from dr3d.server.settings import ServerConfig
from dr3d.server.state import State
from dr3d.server.worker import WorkerPool

if TYPE_CHECKING:
  from dr3d.database.reader import DatabaseReader
  from dr3d.server.query_options import QueryOptions

_LOG = logging.getLogger("dr3d.server")
_RETRY_SECONDS = 15
_WARM_UP_SECONDS = 3600.0  # compilation may be slow


class PhotoQueries:
  """Answers photographs."""

  def __init__(
    self, workers: WorkerPool, batcher: Batcher, config: ServerConfig
  ):
    """Makes it of what the service has.

    Args:
      workers: processes that read the photographs.
      batcher: the thread that embeds them.
      config: its timeout applies.
    """
    self._workers = workers
    self._batcher = batcher
    self._timeout = config.timeout
    self._job = PhotoJob()

  def start(self, state: State) -> None:
    """Prepares for photographs, in a thread, if the database is prepared.

    The first photograph then finds the vectors read and the encoder compiled.
    Others pay for it when the first one asks.
    """
    if photo_store.is_prepared(state.reader.directory):
      threading.Thread(
        target=self._warm_up, args=(state,), name="warm-up", daemon=True
      ).start()

  def _warm_up(self, state: State) -> None:
    try:
      self._job.wait(state.reader, seconds=_WARM_UP_SECONDS)
      self._batcher.call(
        functools.partial(embed_photos, _draw_sample()),
        timeout=_WARM_UP_SECONDS,
      )
    except (Dr3dError, HttpError) as error:  # the first photograph tells more
      _LOG.warning("photographs could not be prepared: %s", error)

  def answer(
    self,
    state: State,
    files: Sequence[ModelFile],
    options: "QueryOptions",
    region: Box | None,
    address: str,
  ) -> schema.Answer:
    """Answers which models one thing looks like; see `Service.query_photo`."""
    if region is not None and len(files) > 1:
      raise HttpError(422, "a region needs one photograph.")
    cutouts = [
      self._workers.cut_out(
        file.path, file.name, region=region, address=address
      )
      for file in files
    ]
    self._job.wait(state.reader, seconds=self._timeout / 2)
    query = self._batcher.call(
      functools.partial(embed_photos, cutouts), timeout=self._timeout
    )
    is_open = options.condition == Condition()
    answer = state.reader.query(
      query,
      k=options.k,
      condition=None if is_open else options.condition,
      min_score=options.min_score,
    )
    return schema.make_answer(
      ", ".join(file.name for file in files),
      None,
      answer,
      state.models,
      unverified=False,
      photographs=[
        schema.make_photograph(cutout, evidence=options.evidence)
        for cutout in cutouts
      ],
    )


class PhotoJob:
  """Makes the models findable by photographs when the first one asks.

  A thread of its own does it, so that other queries are answered meanwhile.
  """

  def __init__(self) -> None:
    """Starts nothing yet."""
    self._lock = threading.Lock()
    self._reader: DatabaseReader | None = None
    self._result: concurrent.futures.Future[None] | None = None
    self._progress = (0, 0)

  def wait(self, reader: "DatabaseReader", *, seconds: float) -> None:
    """Waits until a state of the database can be asked.

    Args:
      reader: of the state.
      seconds: to wait at most.

    Raises:
      HttpError: it takes longer; the client is to try again.
      Dr3dError: it fails.
    """
    with self._lock:
      if self._reader is not reader or self._has_failed():
        self._reader, self._result = reader, concurrent.futures.Future()
        threading.Thread(
          target=self._run,
          args=(reader, self._result),
          name="photographs",
          daemon=True,
        ).start()
      result = self._result
    assert result is not None
    try:
      result.result(seconds)
    except TimeoutError:
      done, total = self._progress
      raise HttpError(
        503,
        "the models are being prepared for photographs"
        f" ({done} of {total} are): try again.",
        retry_after=_RETRY_SECONDS,
      ) from None

  def _has_failed(self) -> bool:
    result = self._result
    return result is None or (result.done() and bool(result.exception()))

  def _run(
    self, reader: "DatabaseReader", result: "concurrent.futures.Future[None]"
  ) -> None:
    try:
      reader.prepare_photos(progress=self._note)
      result.set_result(None)
    except BaseException as error:  # whoever waits gets it
      result.set_exception(error)

  def _note(self, done: int, total: int) -> None:
    self._progress = done, total


def render_view(number: int, mesh: Mesh) -> tuple[bytes, ...]:
  """Draws a view of the gallery for photographs, in white light.

  Args:
    number: of the view, from 1.
    mesh: the model.

  Returns:
    One PNG with a transparent background.
  """
  from dr3d.retrieval.photo import encoder

  image = encoder.draw_view(
    encoder.load_encoder(), mesh, number - 1, size=preview.SIZE
  )
  return (preview.to_png(image),)


def count_views() -> int:
  """Views of a model in the gallery for photographs."""
  from dr3d.retrieval.photo.encoder import load_encoder

  return load_encoder().views.count


def _draw_sample() -> CutOut:
  """A square, as the photograph of anything."""
  picture = np.full((64, 64, 4), 255, np.uint8)
  mask = np.zeros((64, 64), bool)
  mask[16:48, 16:48] = True
  return CutOut(picture, Mask(mask, "border"))
