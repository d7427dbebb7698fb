"""Pictures of the queries of an evaluation and of what was found for them."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dr3d import sheet
from dr3d.error import Dr3dError
from dr3d.evaluation.protocol import make_query
from dr3d.evaluation.run import Evaluation
from dr3d.evaluation.trial import Outcome
from dr3d.folder import ModelFile
from dr3d.mesh import Mesh, load_mesh
from dr3d.mesh.meshfile import read_geometry
from dr3d.search.query import Match

if TYPE_CHECKING:
  from dr3d.pipeline import Pipeline

SIZE = 96  # of a view, pixels
MATCHES = 4


def choose_queries(
  outcome: Outcome, labels: Sequence[str], *, count: int
) -> tuple[list[int], list[int]]:
  """The queries with the best and with the worst lists, by average precision.

  A class comes once in each of the two, so that they show what is easy and
  what is hard and not one class; equal ones come in the order of the queries.

  Args:
    outcome: of Q queries.
    labels: of the queries.
    count: wanted of each.

  Returns:
    Places of the best queries, best first, and of the worst, worst first. No
    query is in both.
  """
  order = np.argsort(-outcome.measures["mAP"], kind="stable").tolist()
  worst = _take_classes(order[::-1], labels, count=count)
  best = _take_classes(
    [i for i in order if i not in worst], labels, count=count
  )
  return best, worst


def draw_queries(
  evaluation: Evaluation,
  outcome: Outcome,
  chosen: Sequence[int],
  pipeline: "Pipeline",
) -> Image.Image | None:
  """A sheet of queries, as they were asked, beside their best matches.

  Args:
    evaluation: whose queries they are.
    outcome: what was found.
    chosen: places of the queries.
    pipeline: draws; its views are shown.

  Returns:
    The sheet; models whose files cannot be read are left out, None where that
    leaves nothing.
  """
  portray = _make_painter(pipeline)
  config, trial = evaluation.config, evaluation.trial
  rows = []
  for i in chosen:
    file = evaluation.queries[i]
    try:
      mesh = make_query(
        *read_geometry(file.path),
        name=file.name,
        protocol=config.protocol,
        face_budget=pipeline.face_budget,
      )
    except Dr3dError:
      continue
    shown = []
    for rank, place in enumerate(outcome.best[i, :MATCHES], start=1):
      images = portray(evaluation.gallery[place])
      if images is not None and outcome.score[i, rank - 1] > -np.inf:
        match = Match(
          rank,
          trial.models[place],
          trial.model_labels[place],
          float(outcome.score[i, rank - 1]),
          int(outcome.votes[i, rank - 1]),
        )
        shown.append(sheet.Shown(match, images))
    precision = outcome.measures["mAP"][i]
    rows.append(
      sheet.Row(
        name=f"{file.name}: {precision:.2f}",
        images=_draw(pipeline, mesh),
        matches=shown,
        label=file.label,
      )
    )
  return sheet.draw_answers(rows, matches=MATCHES) if rows else None


def draw_views(
  evaluation: Evaluation, pipeline: "Pipeline", *, count: int
) -> list[tuple[str, Image.Image]]:
  """What the pipeline sees of some models: names and sheets of its views.

  Args:
    evaluation: whose gallery they are of, from all over the list.
    pipeline: whose views are drawn, in the light that the network sees.
    count: models.
  """
  files = evaluation.gallery
  places = np.linspace(0, len(files) - 1, count + 2)[1:-1].astype(int)
  sheets = []
  for file in dict.fromkeys(files[place] for place in places):
    try:
      mesh = load_mesh(file.path, face_budget=pipeline.face_budget)
    except Dr3dError:
      continue
    images = sheet.portray(pipeline, mesh, size=SIZE)
    drawn = sheet.draw_views(images, columns=min(len(images), 6))
    sheets.append((file.name, drawn))
  return sheets


def _take_classes(
  order: Sequence[int], labels: Sequence[str], *, count: int
) -> list[int]:
  first: dict[str, int] = {}
  for i in order:
    first.setdefault(labels[i], i)
  return list(first.values())[:count]


def _make_painter(pipeline: "Pipeline"):
  """Draws models of the gallery, each file once."""

  @functools.cache
  def portray(file: ModelFile) -> np.ndarray | None:
    try:
      mesh = load_mesh(file.path, face_budget=pipeline.face_budget)
    except Dr3dError:
      return None
    return _draw(pipeline, mesh)

  return portray


def _draw(pipeline: "Pipeline", mesh: Mesh) -> np.ndarray:
  return sheet.portray(sheet.whiten(pipeline), mesh, size=SIZE)
