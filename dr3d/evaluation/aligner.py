"""Registers the most similar models to each query, as `dr3d query` does.

Notation: q of all queries, B models of the gallery.
"""

import concurrent.futures
import os
from collections.abc import Iterable
from typing import Self

import numpy as np

from dr3d.error import Dr3dError
from dr3d.evaluation.model_set import ModelSet
from dr3d.mesh.packing import unpack_mesh
from dr3d.runtime import pool
from dr3d.search import geometric_score, verification

_MIN_QUERIES = 8  # with fewer, starting processes takes longer than it saves


class Aligner:
  """Registers models to queries, in child processes if there are many queries.

  A context manager: the processes end with it.
  """

  def __init__(self, queries: ModelSet, gallery: ModelSet, *, count: int):
    """Prepares registrations; models without a mesh are not registered.

    Args:
      queries: the queries.
      gallery: the models.
      count: models that are registered to each query.
    """
    self._queries = queries
    self._gallery = gallery
    self._count = count
    self._packed: dict[int, bytes] = {}
    self._distance: dict[tuple[int, int], float] = {}
    self._pool = None
    if len(queries.files) >= _MIN_QUERIES:
      self._jobs = os.cpu_count() or 1
      self._pool = pool.Pool(
        f"{verification.__name__}:{verification.measure_distances.__name__}",
        limits=pool.Limits(),
        count=self._jobs,
      )

  @property
  def can_align(self) -> bool:
    """Whether models are to be registered and both sets have meshes."""
    return self._count > 0 and all(
      any(map(side.has_shape, range(len(side.files))))
      for side in (self._queries, self._gallery)
    )

  def __enter__(self) -> Self:
    """Returns itself."""
    return self

  def __exit__(self, *error: object) -> None:
    """Ends the processes."""
    if self._pool is not None:
      self._pool.close()

  def rate(self, first: int, whole: np.ndarray) -> np.ndarray:
    """Geometric scores of the models most similar to some queries.

    Args:
      first: index of the first of the queries.
      whole: [q, B], similarity of the models, which chooses them; `-inf` for
        models that are not found.

    Returns:
      [q, B], see `geometric_score.score_distance`; 0 for models that were not
      registered.

    Raises:
      Dr3dError: a process cannot be started, or fails.
    """
    chosen = [
      (first + i, self._choose(first + i, row)) for i, row in enumerate(whole)
    ]
    self._measure(chosen)
    rated = np.zeros(whole.shape)
    for i, (query, models) in enumerate(chosen):
      distance = [self._distance[query, model] for model in models]
      rated[i, models] = geometric_score.score_distance(distance)
    return rated

  def _choose(self, query: int, whole: np.ndarray) -> list[int]:
    """The models that are registered to a query."""
    if not self._queries.has_shape(query):
      return []
    order = np.argsort(-whole, kind="stable")[: self._count].tolist()
    return [
      model
      for model in order
      if whole[model] > -np.inf and self._gallery.has_shape(model)
    ]

  def _measure(self, chosen: list[tuple[int, list[int]]]) -> None:
    """Measures the distances that are not known yet."""
    calls = []
    for query, models in chosen:
      new = [model for model in models if (query, model) not in self._distance]
      if new:
        calls.append((query, new))
    found: Iterable[list[float] | Dr3dError]
    if self._pool is None:
      found = map(self._measure_call, calls)
    else:
      with concurrent.futures.ThreadPoolExecutor(self._jobs) as threads:
        found = threads.map(self._measure_call, calls)
    for (query, models), distances in zip(calls, found, strict=True):
      if isinstance(distances, Dr3dError):
        name = self._queries.names[query]
        raise Dr3dError(
          f"registering models to {name} {distances}; --verify=0 does without."
        )
      pairs = ((query, model) for model in models)
      self._distance.update(zip(pairs, distances, strict=True))

  def _measure_call(
    self, call: tuple[int, list[int]]
  ) -> list[float] | Dr3dError:
    query, models = call
    mesh = unpack_mesh(self._queries.pack(query))
    packed = [self._pack(model) for model in models]
    if self._pool is None:
      return verification.measure_distances(mesh, packed)
    return self._pool.call({"mesh": mesh, "packed": packed})

  def _pack(self, model: int) -> bytes:
    """Packs each model once."""
    if model not in self._packed:
      self._packed[model] = self._gallery.pack(model)
    return self._packed[model]
