"""Runs an evaluation: model sets and methods to results."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from dr3d.data.folder import ModelFile
from dr3d.error import DatabaseError, Dr3dError
from dr3d.evaluation import method as method_lib
from dr3d.evaluation import model_set as side_lib
from dr3d.evaluation.aligner import Aligner
from dr3d.evaluation.leak import Leak, find_leaks
from dr3d.evaluation.method import Method
from dr3d.evaluation.model_set import ModelSet
from dr3d.evaluation.protocol import Protocol
from dr3d.evaluation.similarity import SimilarityKind
from dr3d.evaluation.task import (
  SEARCHES,
  MethodResult,
  RetrievalTask,
  SearchKind,
  Sink,
  run_task,
)
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.search.answer import TARGET_PRECISION

if TYPE_CHECKING:
  from dr3d.database.ingest import Failure
  from dr3d.database.writer import Database
  from dr3d.retrieval.pipeline import Pipeline

Progress = Callable[[str, int, int], None]
"""Takes the name of a stage, the models done, and all."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """How an evaluation is run.

  Attributes:
    protocol: how queries are changed.
    methods: of `method.NAMES`, or folders of other trained pipelines.
    similarity: how sets of vectors are compared; see `similarity.KINDS`.
    verify: number of most similar models that are registered to each query;
      see `search.geometric_score`.
    views: number of views of a pipeline that are compared; None for all.
    target_precision: share of the accepted predictions that are to be right;
      see `search.calibration`.
    searches: some of `task.SEARCHES`.
  """

  protocol: Protocol = dataclasses.field(default_factory=Protocol)
  methods: tuple[str, ...] = (method_lib.PIPELINE,)
  similarity: SimilarityKind = "view_aligned"
  verify: int = VERIFIED_COUNT
  views: int | None = None
  target_precision: float = TARGET_PRECISION
  searches: tuple[SearchKind, ...] = SEARCHES


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
  """What an evaluation found.

  Attributes:
    config: how it was run.
    task: queries and gallery.
    results: of each method by exact search, by approximate search if there is
      one, and, of pipelines, with models registered to the queries.
    leaks: models that are both queries and in the gallery.
    failures: files that could not be read and were left out.
    unlabelled: queries that were left out because they have no label.
    single: queries that were left out because no other model of the gallery has
      their label.
    queries: the files of the task's queries.
    gallery: the files of the task's models.
  """

  config: EvaluateConfig
  task: RetrievalTask
  results: tuple[MethodResult, ...]
  leaks: tuple[Leak, ...]
  failures: "tuple[Failure, ...]"
  unlabelled: int
  single: int
  queries: tuple[ModelFile, ...]
  gallery: tuple[ModelFile, ...]


def evaluate_database(
  database: "Database",
  *,
  config: EvaluateConfig | None = None,
  queries: Sequence[ModelFile] | None = None,
  labels: Mapping[str, str] | None = None,
  models: pathlib.Path | None = None,
  sink: Sink | None = None,
  progress: Progress | None = None,
) -> Evaluation:
  """Queries a database with files, or with each of its own models.

  Without queries this is a leave-one-out: each model is a query among all
  others. Files are read only if needed: for queries that the protocol changes,
  and for methods other than the database's own pipeline. Every method has the
  same queries and the same models, simplified to the same number of faces.

  Args:
    database: holds at least one indexed model.
    config: how the evaluation is run.
    queries: files; a leave-one-out if None.
    labels: of the models by name, in place of those of the database.
    models: folder of the database's files; that of the last index if None.
    sink: called with all rankings.
    progress: called while models are read, embedded and compared.

  Raises:
    Dr3dError: the database or its files cannot be used, or no query has both
      a label and a right match.
  """
  config = config or EvaluateConfig()
  progress = progress or _show_nothing
  methods = method_lib.make_methods(
    cast("Pipeline", database.pipeline),
    config.methods,
    kind=config.similarity,
    views=config.views,
  )
  folder = models or side_lib.find_folder(database)
  gallery = side_lib.list_database(database, folder=folder, labels=labels)
  own = queries is None
  asked = gallery if queries is None else side_lib.list_files(queries)
  budget = database.pipeline.face_budget
  failures: dict[str, Failure] = {}

  def read(side: ModelSet, protocol: Protocol, what: str) -> ModelSet:
    side, failed = side_lib.read_model_set(
      side,
      protocol=protocol,
      face_budget=budget,
      appearance=database.appearance,
      progress=lambda *done: progress(what, *done),
    )
    failures.update((failure.model, failure) for failure in failed)
    return side

  needs_files = any(method.name != method_lib.PIPELINE for method in methods)
  reads_own = needs_files or (own and config.protocol.changes)
  if reads_own and not folder.is_dir():
    raise DatabaseError(
      f"{database.directory} was indexed from {folder}, which does not exist,"
      " and the files are needed: name their folder with --models."
    )
  if needs_files:
    gallery = read(gallery, Protocol(), "reading models")
  if own:
    asked = gallery
  if not own or config.protocol.changes:
    asked = read(asked, config.protocol, "reading queries")
  evaluation = evaluate(
    asked,
    gallery,
    methods,
    own=own,
    config=config,
    sink=sink,
    progress=progress,
  )
  return dataclasses.replace(evaluation, failures=tuple(failures.values()))


def evaluate(
  queries: ModelSet,
  gallery: ModelSet,
  methods: Sequence[Method],
  *,
  own: bool,
  config: EvaluateConfig,
  sink: Sink | None = None,
  progress: Progress | None = None,
) -> Evaluation:
  """Ranks the models of a gallery for each query, and scores the rankings.

  Queries without a label are left out. So are queries whose label no other
  model of the gallery has, because they have no right match. Models without a
  label, or with a label that no query has, stay in the gallery as wrong
  matches.

  Args:
    queries: changed as the protocol says, with meshes. A leave-one-out in the
      original pose needs none.
    gallery: with meshes or, for the database's pipeline, with its vectors.
    methods: at least one.
    own: whether the queries are models of the gallery, by name, each of which
      is left out of its own list.
    config: how the evaluation is run; its methods are not read.
    sink: called with all rankings.
    progress: called while models are embedded and compared.

  Raises:
    Dr3dError: no query has both a label and a right match, or models
      cannot be registered to queries.
  """
  progress = progress or _show_nothing
  rows = {name: row for row, name in enumerate(gallery.names)}
  counts: dict[str, int] = {}
  for label in gallery.labels:
    counts[label] = counts.get(label, 0) + 1
  labelled = [i for i, label in enumerate(queries.labels) if label]
  chosen = [i for i in labelled if counts.get(queries.labels[i], 0) > own]
  if not chosen:
    raise Dr3dError(
      f"none of {len(queries.files)} queries can be scored: a query needs a"
      " label, and another model with the same label in the gallery."
    )
  asked = queries.take(chosen)
  task = RetrievalTask(
    asked.names,
    asked.labels,
    gallery.names,
    gallery.labels,
    np.array([rows[name] for name in asked.names]) if own else None,
  )
  results = []
  with Aligner(asked, gallery, count=config.verify) as aligner:
    for method in methods:
      known = _describe(method, gallery, progress, f"{method.name}: models")
      if own and not config.protocol.changes:
        described = known[task.own]
      else:
        described = _describe(
          method, asked, progress, f"{method.name}: queries"
        )
      is_verified = (
        aligner.can_align and method.name not in method_lib.BASELINES
      )
      results += run_task(
        task,
        method,
        described,
        known,
        kind=config.similarity,
        aligner=aligner if is_verified else None,
        searches=config.searches,
        sink=sink,
        progress=lambda *done, m=method: progress(
          f"{m.name}: searching", *done
        ),
      )
  return Evaluation(
    config=config,
    task=task,
    results=tuple(results),
    leaks=tuple(find_leaks(asked, gallery, own=own)),
    failures=(),
    unlabelled=len(queries.files) - len(labelled),
    single=len(labelled) - len(chosen),
    queries=asked.files,
    gallery=gallery.files,
  )


def _describe(
  method: Method, side: ModelSet, progress: Progress, what: str
) -> np.ndarray:
  """Descriptors of a model set; those of the database are reused."""
  if method.name == method_lib.PIPELINE and side.features is not None:
    features = side.features
    return features if method.chosen is None else features[:, method.chosen]
  if side.meshes is None:
    raise ValueError(f"the meshes are needed for the method {method.name}.")
  return method.describe(side.meshes, lambda *done: progress(what, *done))


def _show_nothing(what: str, done: int, total: int) -> None:
  del what, done, total
