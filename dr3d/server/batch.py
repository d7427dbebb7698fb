"""One thread owns the pipeline; queries that wait go into one call together.

While a call runs, others gather, and the next call takes all of them: one
query alone never waits for company, and under load the batches fill by
themselves. The pipeline pads batches to fixed sizes, so nothing is compiled
that was not compiled while warming.
"""

import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from dr3d.search.archive import Embedder
from dr3d.server.refusal import Refusal

LARGEST = 8  # meshes in a call


class Batcher:
  """A thread that embeds and draws for all others."""

  def __init__(
    self, *, bound: int, watch: Callable[[int], None] = lambda count: None
  ):
    """Starts the thread.

    Args:
      bound: calls that may wait.
      watch: is told how many meshes went into a call.
    """
    self._waiting: queue.Queue[_Job | None] = queue.Queue(bound)
    self._watch = watch
    self._thread = threading.Thread(target=self._work, name="pipeline")
    self._thread.start()

  def embed(self, pipeline: Embedder, mesh: Any, *, patience: float) -> Any:
    """Embeds a mesh, together with those of other threads.

    Args:
      pipeline: the pipeline.
      mesh: one mesh.
      patience: seconds to wait.

    Returns:
      float32 [N, D] unit vectors.

    Raises:
      Refusal: too many wait, or it takes too long.
    """
    return self._wait(_Job(pipeline, mesh), patience)

  def call(self, function: Callable[[], Any], *, patience: float) -> Any:
    """Calls a function in the thread, alone; otherwise as `embed`."""
    return self._wait(_Job(None, function), patience)

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
      raise Refusal(
        503, "the service is busy: try again in a moment.", wait=2
      ) from None
    try:
      return job.result.result(patience)
    except TimeoutError:
      job.result.cancel()
      raise Refusal(
        503, "the service did not come to this in time: try again.", wait=5
      ) from None

  def _work(self) -> None:
    """Takes what waits until it is told to end."""
    ending = False
    while not ending:
      jobs = [self._waiting.get()]
      while len(jobs) < LARGEST and jobs[-1] is not None:
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
        continue
      if job.pipeline is None:
        _settle(job, job.argument)
      else:
        groups.setdefault(id(job.pipeline), []).append(job)
    for group in groups.values():
      self._watch(len(group))
      pipeline = group[0].pipeline
      assert pipeline is not None
      try:
        features = np.asarray(pipeline.embed([job.argument for job in group]))
      except Exception:  # one of them may be to blame: the others are answered
        for job in group:
          _settle(job, lambda job=job: pipeline.embed([job.argument])[0])
      else:
        for job, vectors in zip(group, features, strict=True):
          job.result.set_result(vectors)


class _Job:
  """A mesh and its pipeline, or a function, and the place for the result."""

  def __init__(self, pipeline: Embedder | None, argument: Any):
    self.pipeline = pipeline
    self.argument = argument
    self.result: concurrent.futures.Future = concurrent.futures.Future()


def _settle(job: _Job, function: Callable[[], Any]) -> None:
  try:
    job.result.set_result(function())
  except BaseException as error:  # the thread must go on, and tell the caller
    job.result.set_exception(error)
