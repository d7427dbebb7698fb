"""Registers the most similar models to each query, as `dr3d query` does.

Notation: q of all queries, B models of the gallery.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

import numpy as np

from dr3d.error import Dr3dError
from dr3d.evaluation.model_set import ModelSet
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.coarse import compare_samples, sample_packed
from dr3d.runtime import pool
from dr3d.search import geometric_score, verification
from dr3d.search.geometric_score import DEFAULT_WEIGHT

if TYPE_CHECKING:
  from dr3d.registration.surface import Fit

_MIN_QUERIES = 8  # with fewer, starting processes takes longer than it saves


@dataclasses.dataclass(frozen=True, eq=False)
class GeometricScores:
  """What the geometry of models adds to their similarity to queries.

  Attributes:
    geometric: [q, B], see `geometric_score.score_distance`; 0 for models that
      were not registered. Counts for the label too.
    ranking: [q, B], of registered models likewise; see
      `geometric_score.rank_samples` and `rank_surfaces`, weighted. Ranks models
      only.
  """

  geometric: np.ndarray
  ranking: np.ndarray


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
    self._samples: dict[int, np.ndarray] = {}
    self._near: dict[tuple[int, int], float] = {}
    self._fits: dict[tuple[int, int], Fit] = {}
    self._pool = None
    if len(queries.files) >= _MIN_QUERIES:
      self._jobs = os.cpu_count() or 1
      self._pool = pool.Pool(
        f"{verification.__name__}:{verification.measure_fits.__name__}",
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

  def rate(
    self, first: int, whole: np.ndarray, *, weight: float = DEFAULT_WEIGHT
  ) -> GeometricScores:
    """Geometric scores of the models most similar to some queries.

    Args:
      first: index of the first of the queries.
      whole: [q, B], similarity of the models, which chooses them; `-inf` for
        models that are not found.
      weight: of surfaces; see `geometric_score.DEFAULT_WEIGHT`.

    Raises:
      Dr3dError: a process cannot be started, or fails.
    """
    nearness = weight * np.stack(
      [self._compare(first + i, row) for i, row in enumerate(whole)]
    )
    chosen = [
      (first + i, self._choose(first + i, row, self._count))
      for i, row in enumerate(whole + nearness)
    ]
    self._measure(chosen)
    geometric, ranking = np.zeros(whole.shape), np.zeros(whole.shape)
    for i, (query, models) in enumerate(chosen):
      fits = [self._fits[query, model] for model in models]
      geometric[i, models] = geometric_score.score_distance(
        [fit.plain for fit in fits]
      )
      surfaces = geometric_score.rank_surfaces(
        [np.nan if fit.trimmed is None else fit.trimmed for fit in fits]
      )
      ranking[i, models] = nearness[i, models] + weight * surfaces
    return GeometricScores(geometric, ranking)

  def _choose(self, query: int, whole: np.ndarray, count: int) -> list[int]:
    """The models that are compared with a query, or registered to it."""
    if not self._queries.has_shape(query):
      return []
    order = np.argsort(-whole, kind="stable")[:count].tolist()
    return [
      model
      for model in order
      if whole[model] > -np.inf and self._gallery.has_shape(model)
    ]

  def _compare(self, query: int, whole: np.ndarray) -> np.ndarray:
    """What compared points add to the scores of the models: [B]."""
    ranking = np.zeros(len(whole))
    models = self._choose(query, whole, geometric_score.COMPARED_COUNT)
    new = [model for model in models if (query, model) not in self._near]
    if new:
      try:
        asked = sample_packed(self._queries.pack(query))
        near = compare_samples(asked, [self._sample(model) for model in new])
      except ValueError as error:
        raise self._name_failure(query, f"fails ({error})") from error
      pairs = ((query, model) for model in new)
      self._near.update(zip(pairs, near.tolist(), strict=True))
    ranking[models] = geometric_score.rank_samples(
      [self._near[query, model] for model in models]
    )
    return ranking

  def _name_failure(self, query: int, reason: str) -> Dr3dError:
    name = self._queries.names[query]
    return Dr3dError(
      f"registering models to {name} {reason}; --verify=0 does without."
    )

  def _sample(self, model: int) -> np.ndarray:
    """Samples each model once."""
    if model not in self._samples:
      self._samples[model] = sample_packed(self._pack(model))
    return self._samples[model]

  def _measure(self, chosen: list[tuple[int, list[int]]]) -> None:
    """Measures the distances that are not known yet."""
    calls = []
    for query, models in chosen:
      new = [model for model in models if (query, model) not in self._fits]
      if new:
        calls.append((query, new))
    found: Iterable[list[Fit] | Dr3dError]
    if self._pool is None:
      found = map(self._measure_call, calls)
    else:
      with concurrent.futures.ThreadPoolExecutor(self._jobs) as threads:
        found = threads.map(self._measure_call, calls)
    for (query, models), fits in zip(calls, found, strict=True):
      if isinstance(fits, Dr3dError):
        raise self._name_failure(query, str(fits))
      pairs = ((query, model) for model in models)
      self._fits.update(zip(pairs, fits, strict=True))

  def _measure_call(
    self, call: tuple[int, list[int]]
  ) -> "list[Fit] | Dr3dError":
    query, models = call
    mesh = unpack_mesh(self._queries.pack(query))
    packed = [self._pack(model) for model in models]
    if self._pool is None:
      return verification.measure_fits(mesh, packed)
    return self._pool.call({"mesh": mesh, "packed": packed})

  def _pack(self, model: int) -> bytes:
    """Packs each model once."""
    if model not in self._packed:
      self._packed[model] = self._gallery.pack(model)
    return self._packed[model]
