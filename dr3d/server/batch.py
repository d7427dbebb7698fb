"""One thread owns the pipeline; queries that wait go into one call together.

While a call runs, others gather, and the next turn takes all of them: one
query alone never waits for company, and under load the batches fill by
themselves. The pipeline pads batches to one size, so nothing is compiled that
was not compiled while warming; where few wait, single calls one after the
other are faster than a batch that is mostly padding. How few is measured.
"""

import concurrent.futures
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dr3d.database.embedding import EmbeddingPipeline
from dr3d.server.http_error import HttpError

BATCH = 8  # meshes in a turn; the pipeline pads to as many


class Batcher:
  """A thread that embeds and draws for all others.

  Attributes:
    least: meshes from which one call for all is faster than one for each.
  """

  def __init__(
    self, *, bound: int, watch: Callable[[int], None] = lambda count: None
  ):
    """Starts the thread.

    Args:
      bound: calls that may wait.
      watch: is told how many meshes went into a call.
    """
    self.least = 2
    self._waiting: queue.Queue[_Job | None] = queue.Queue(bound)
    self._watch = watch
    self._thread = threading.Thread(
      target=self._work, name="pipeline", daemon=True
    )
    self._thread.start()

  def embed(
    self, pipeline: EmbeddingPipeline, mesh: Any, *, patience: float
  ) -> Any:
    """Embeds a mesh, together with those of other threads.

    Args:
      pipeline: the pipeline.
      mesh: one mesh.
      patience: seconds to wait.

    Returns:
      float32 [N, D] unit vectors.

    Raises:
      HttpError: too many wait, or it takes too long.
    """
    return self._wait(_Job(pipeline, mesh), patience)

  def call(self, function: Callable[[], Any], *, patience: float) -> Any:
    """Calls a function in the thread, alone; otherwise as `embed`."""
    return self._wait(_Job(None, function), patience)

  def measure(self, pipeline: EmbeddingPipeline, meshes: list[Any]) -> None:
    """Finds `least` from the seconds of one mesh and of a batch.

    Args:
      pipeline: has embedded as many before, so that nothing is compiled.
      meshes: BATCH of them.
    """
    alone = _time(lambda: pipeline.embed(meshes[:1]))
    together = _time(lambda: pipeline.embed(meshes))
    self.least = min(BATCH, max(2, math.ceil(together / alone)))

  def pending(self) -> int:
    """How many calls wait."""
    return self._waiting.qsize()

  def close(self) -> None:
    """Ends the thread after the calls that wait."""
    self._waiting.put(None)
    self._thread.join()

  def _wait(self, job: "_Job", patience: float) -> Any:
    try:
      self._waiting.put_nowait(job)
    except queue.Full:
      raise HttpError(
        503, "the service is busy: try again in a moment.", wait=2
      ) from None
    try:
      return job.result.result(patience)
    except TimeoutError:
      job.result.cancel()
      raise HttpError(
        503, "the service did not come to this in time: try again.", wait=5
      ) from None

  def _work(self) -> None:
    """Takes what waits until it is told to end."""
    ending = False
    while not ending:
      jobs = [self._waiting.get()]
      while len(jobs) < BATCH and jobs[-1] is not None:
        try:
          jobs.append(self._waiting.get_nowait())
        except queue.Empty:
          break
      ending = jobs[-1] is None
      self._answer([job for job in jobs if job is not None])

  def _answer(self, jobs: "list[_Job]") -> None:
    groups: dict[int, list[_Job]] = {}
    for job in jobs:
      if not job.result.set_running_or_notify_cancel():
        continue  # its caller waits no longer
      if job.pipeline is None:
        _settle(job, job.argument)
      else:
        groups.setdefault(id(job.pipeline), []).append(job)
    for group in groups.values():
      if len(group) < self.least or not self._embed(group):
        for job in group:
          self._watch(1)
          _settle(job, job.embed)

  def _embed(self, group: "list[_Job]") -> bool:
    """Embeds all in one call; where it fails, one of them may be to blame."""
    pipeline = group[0].pipeline
    assert pipeline is not None
    try:
      features = np.asarray(pipeline.embed([job.argument for job in group]))
    except Exception:
      return False
    self._watch(len(group))
    for job, vectors in zip(group, features, strict=True):
      job.result.set_result(vectors)
    return True


class _Job:
  """A mesh and its pipeline, or a function, and the place for the result."""

  def __init__(self, pipeline: EmbeddingPipeline | None, argument: Any):
    self.pipeline = pipeline
    self.argument = argument
    self.result: concurrent.futures.Future = concurrent.futures.Future()

  def embed(self) -> Any:
    """Vectors of the mesh alone."""
    assert self.pipeline is not None
    return np.asarray(self.pipeline.embed([self.argument]))[0]


def _settle(job: _Job, function: Callable[[], Any]) -> None:
  try:
    job.result.set_result(function())
  except BaseException as error:  # the thread must go on, and tell the caller
    job.result.set_exception(error)


def _time(function: Callable[[], Any]) -> float:
  """Seconds of a call, the shortest of three."""
  seconds = []
  for _ in range(3):
    start = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - start)
  return min(seconds)
