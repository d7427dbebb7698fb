"""One thread owns the pipeline and embeds waiting queries in one call.

While a call runs, other queries gather; the next call takes all of them. A
single query never waits for others, and batches grow with the load. The
pipeline pads batches to one size, so nothing new is compiled. If only a few
queries wait, single calls are faster than a batch that is mostly padding; how
many make a batch worth it is measured at the start.
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
from dr3d.mesh import Mesh
from dr3d.server.http_error import HttpError

BATCH = 8  # meshes in a call; `Pipeline.embed` pads to the same number
_REPEATS = 3  # of a timed call, of which the fastest counts


class Batcher:
  """A thread that embeds and renders for all others.

  Attributes:
    min_batch: number of meshes from which one call is faster than single ones.
  """

  def __init__(
    self, *, limit: int, observe: Callable[[int], None] = lambda count: None
  ):
    """Starts the thread.

    Args:
      limit: calls that may wait.
      observe: called with the number of meshes of each call.
    """
    self.min_batch = 2
    self._waiting: queue.Queue[_Job | None] = queue.Queue(limit)
    self._observe = observe
    self._thread = threading.Thread(
      target=self._run, name="pipeline", daemon=True
    )
    self._thread.start()

  def embed(
    self, pipeline: EmbeddingPipeline, mesh: Mesh, *, timeout: float
  ) -> np.ndarray:
    """Embeds a mesh, together with those of other threads.

    Args:
      pipeline: the pipeline.
      mesh: one mesh.
      timeout: seconds to wait.

    Returns:
      float32 [N, D] unit vectors.

    Raises:
      HttpError: too many calls wait, or this one takes too long.
    """
    return self._wait(_Job(pipeline, mesh), timeout)

  def call(self, function: Callable[[], Any], *, timeout: float) -> Any:
    """Calls a function in the thread, by itself; errors as in `embed`."""
    return self._wait(_Job(None, function), timeout)

  def measure(self, pipeline: EmbeddingPipeline, meshes: list[Mesh]) -> None:
    """Finds `min_batch` from the time of one mesh and of a full batch.

    Args:
      pipeline: must have embedded both before, so that nothing is compiled.
      meshes: BATCH meshes.
    """
    alone = _time(lambda: pipeline.embed(meshes[:1]))
    together = _time(lambda: pipeline.embed(meshes))
    self.min_batch = min(BATCH, max(2, math.ceil(together / alone)))

  def pending(self) -> int:
    """Number of waiting calls."""
    return self._waiting.qsize()

  def close(self) -> None:
    """Ends the thread after the waiting calls."""
    self._waiting.put(None)
    self._thread.join()

  def _wait(self, job: "_Job", timeout: float) -> Any:
    try:
      self._waiting.put_nowait(job)
    except queue.Full:
      raise HttpError(
        503, "the service is busy: try again in a moment.", retry_after=2
      ) from None
    try:
      return job.result.result(timeout)
    except TimeoutError:
      job.result.cancel()
      raise HttpError(
        503, "the service is too slow at present: try again.", retry_after=5
      ) from None

  def _run(self) -> None:
    """Takes all waiting jobs again and again, until `close`."""
    closing = False
    while not closing:
      jobs = [self._waiting.get()]
      while len(jobs) < BATCH and jobs[-1] is not None:
        try:
          jobs.append(self._waiting.get_nowait())
        except queue.Empty:
          break
      closing = jobs[-1] is None
      self._process([job for job in jobs if job is not None])

  def _process(self, jobs: "list[_Job]") -> None:
    groups: dict[int, list[_Job]] = {}
    for job in jobs:
      if not job.result.set_running_or_notify_cancel():
        continue  # the caller has timed out
      if job.pipeline is None:
        _complete(job, job.argument)
      else:
        groups.setdefault(id(job.pipeline), []).append(job)
    for group in groups.values():
      if len(group) < self.min_batch or not self._embed(group):
        for job in group:
          self._observe(1)
          _complete(job, job.embed)

  def _embed(self, group: "list[_Job]") -> bool:
    """Embeds a group in one call; False if that fails.

    A single mesh may have caused the failure. So the caller then embeds each
    by itself, and only the bad one fails.
    """
    pipeline = group[0].pipeline
    assert pipeline is not None
    try:
      features = np.asarray(pipeline.embed([job.argument for job in group]))
    except Exception:
      return False
    self._observe(len(group))
    for job, vectors in zip(group, features, strict=True):
      job.result.set_result(vectors)
    return True


class _Job:
  """A mesh with its pipeline, or a function, and the future of its result."""

  def __init__(self, pipeline: EmbeddingPipeline | None, argument: Any):
    self.pipeline = pipeline
    self.argument = argument
    self.result: concurrent.futures.Future = concurrent.futures.Future()

  def embed(self) -> np.ndarray:
    """Vectors of the mesh alone."""
    assert self.pipeline is not None
    return np.asarray(self.pipeline.embed([self.argument]))[0]


def _complete(job: _Job, function: Callable[[], Any]) -> None:
  try:
    job.result.set_result(function())
  except BaseException as error:  # the thread must survive any error
    job.result.set_exception(error)


def _time(function: Callable[[], Any]) -> float:
  """Seconds of the fastest of some calls."""
  seconds = []
  for _ in range(_REPEATS):
    start = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - start)
  return min(seconds)
