"""Methods of retrieval behind one call: meshes to descriptors to similarity.

The trained pipeline and the baselines have the same interface, so that one run
measures them on the same meshes.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.error import Dr3dError
from dr3d.evaluation.similarity import (
  Similarity,
  SimilarityKind,
  compare_vectors,
)
from dr3d.mesh import Mesh
from dr3d.search.geometric_score import DEFAULT_WEIGHT

if TYPE_CHECKING:
  from dr3d.camera.view import Views
  from dr3d.database.embedding import EmbeddingPipeline
  from dr3d.retrieval.pipeline import Pipeline

PIPELINE = "pipeline"  # that of the database
UNTRAINED = "untrained"
LIGHT_FIELD = "lfd"
DISTRIBUTION = "d2"
BASELINES = (UNTRAINED, LIGHT_FIELD, DISTRIBUTION)
NAMES = (PIPELINE, *BASELINES)

Progress = Callable[[int, int], None]
"""Takes the models done, and all."""

_BATCH_SIZE = 64  # meshes embedded between two reports of progress
_MAX_QUERIES = 64  # compared between two reports of progress
_MAX_PAIRS = 1 << 25  # cosines held at a time: 128 MiB in float32


@dataclasses.dataclass(frozen=True)
class Method:
  """A way to measure how similar models are.

  Attributes:
    name: in the tables.
    describe: B meshes, and a function to call with the meshes done and all, to
      descriptors [B, ...].
    compare: descriptors of Q queries and of B models to their similarity.
    chosen: int [N'], views of a pipeline that are compared; None for all.
    has_vectors: whether a descriptor is N unit vectors [N, D], which an index
      can hold, so that approximate search is possible.
    surface_weight: see `geometric_score.DEFAULT_WEIGHT`.
  """

  name: str
  describe: Callable[[Sequence[Mesh], Progress], np.ndarray]
  compare: Callable[[np.ndarray, np.ndarray], Similarity]
  chosen: np.ndarray | None = None
  has_vectors: bool = False
  surface_weight: float = DEFAULT_WEIGHT

  def split(self, queries: np.ndarray, gallery: np.ndarray) -> Iterator[slice]:
    """Yields ranges of queries that are compared in bounded memory."""
    each = len(gallery)
    if self.has_vectors:
      each *= queries.shape[1] * gallery.shape[1]
    step = max(1, min(_MAX_QUERIES, _MAX_PAIRS // each))
    for start in range(0, len(queries), step):
      yield slice(start, start + step)


def make_methods(
  pipeline: "Pipeline",
  names: Sequence[str],
  *,
  kind: SimilarityKind,
  views: int | None = None,
) -> list[Method]:
  """Makes the methods of these names.

  Args:
    pipeline: of the database.
    names: of `NAMES`, or folders of other trained pipelines.
    kind: how sets of vectors are compared; see `similarity.compare_vectors`.
    views: number of views of a pipeline that are compared; None for all.

  Raises:
    Dr3dError: a name is neither known nor a trained pipeline, or a pipeline
      has fewer views.
  """
  methods = []
  for name in names:
    if name == LIGHT_FIELD:
      methods.append(make_light_field_method())
    elif name == DISTRIBUTION:
      methods.append(make_distribution_method())
    else:
      one = _make_pipeline(name, pipeline)
      chosen = None
      if views is not None:
        chosen = choose_views(one.views, views)
      methods.append(
        make_pipeline_method(one, name=name, kind=kind, chosen=chosen)
      )
  return methods


def _make_pipeline(name: str, trained: "Pipeline") -> "Pipeline":
  """Makes the pipeline of a name: the trained one, untrained, or a folder."""
  from dr3d.retrieval.pipeline import CONFIG_FILE, Pipeline  # imports jax

  if name == PIPELINE:
    return trained
  if name == UNTRAINED:
    return Pipeline.create(trained.config)
  for folder in (pathlib.Path(name), pathlib.Path(name) / "pipeline"):
    if (folder / CONFIG_FILE).exists():
      return Pipeline.load(folder)
  raise Dr3dError(
    f"unknown method {name!r}: name {', '.join(NAMES)}, or the folder of a"
    " trained pipeline."
  )


def make_pipeline_method(
  pipeline: "EmbeddingPipeline",
  *,
  name: str = PIPELINE,
  kind: SimilarityKind,
  chosen: np.ndarray | None = None,
) -> Method:
  """Compares by the vectors of a pipeline.

  Args:
    pipeline: makes the vectors.
    name: in the tables.
    kind: how sets of vectors are compared; see `similarity.compare_vectors`.
    chosen: int [N'], the views that are compared; None for all.
  """

  def describe(meshes, progress):
    parts = [
      pipeline.embed(list(meshes[start : start + _BATCH_SIZE]))
      for start in _count(len(meshes), progress, step=_BATCH_SIZE)
    ]
    features = np.concatenate(parts)
    return features if chosen is None else features[:, chosen]

  compare = functools.partial(compare_vectors, kind=kind)
  return Method(
    name,
    describe,
    compare,
    chosen,
    has_vectors=True,
    surface_weight=getattr(pipeline, "surface_weight", DEFAULT_WEIGHT),
  )


def make_light_field_method() -> Method:
  """Compares silhouettes; each of a query's ten dodecahedra votes."""
  from dr3d.descriptor import lightfield  # imports jax

  def compare(queries, gallery):
    parts = -lightfield.compare(queries, gallery)
    return Similarity(parts, parts.max(axis=1))

  return Method(LIGHT_FIELD, _describe_each(lightfield.describe), compare)


def make_distribution_method() -> Method:
  """Compares histograms of distances; a query has one vote."""
  from dr3d.descriptor import distribution

  def compare(queries, gallery):
    whole = -distribution.compare(queries, gallery)
    return Similarity(whole[:, None], whole)

  return Method(DISTRIBUTION, _describe_each(distribution.describe), compare)


def choose_views(views: "Views", count: int) -> np.ndarray:
  """Chooses views by farthest-point sampling: int [count], from the first view.

  Each next one is the view whose direction is farthest from those chosen
  before; of equally far ones the first.

  Raises:
    Dr3dError: there are fewer views.
  """
  from dr3d.camera.view import view_directions  # imports jax

  directions = np.asarray(view_directions(views.quaternion), np.float64)
  if not 0 < count <= len(directions):
    raise Dr3dError(
      f"there are {len(directions)} views, so {count} cannot be compared."
    )
  chosen = [0]
  while len(chosen) < count:
    near = np.round((directions @ directions[chosen].T).max(axis=1), 6)
    near[chosen] = np.inf
    chosen.append(int(near.argmin()))
  return np.array(chosen)


def _describe_each(describe: Callable[[Mesh], np.ndarray]):
  """Makes a function of many meshes from one of a single mesh."""

  def describe_all(meshes, progress):
    return np.stack(
      [describe(meshes[i]) for i in _count(len(meshes), progress, step=1)]
    )

  return describe_all


def _count(total: int, progress: Progress, *, step: int):
  """Yields 0, step, ... below the total, and reports when each is done."""
  for start in range(0, total, step):
    yield start
    progress(min(start + step, total), total)
