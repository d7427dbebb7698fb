"""Pictures of the queries of an evaluation and of what was found for them."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.evaluation.protocol import make_query
from dr3d.evaluation.report import sheet
from dr3d.evaluation.run import Evaluation
from dr3d.evaluation.task import MethodResult
from dr3d.mesh import Mesh, load_mesh
from dr3d.mesh.io.reader import read_geometry
from dr3d.search.answer import Match

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline

SIZE = 96  # of a view, pixels
MATCHES = 4
VIEWS = 3  # of a query; one less of a match


def choose_queries(
  result: MethodResult, labels: Sequence[str], *, count: int
) -> tuple[list[int], list[int]]:
  """The queries with the best and with the worst lists, by average precision.

  A class comes once in each of the two, so that they show what is easy and
  what is hard and not one class; equal ones come in the order of the queries.

  Args:
    result: of Q queries.
    labels: of the queries.
    count: wanted of each.

  Returns:
    Places of the best queries, best first, and of the worst, worst first. No
    query is in both.
  """
  order = np.argsort(-result.measures["mAP"], kind="stable").tolist()
  worst = _take_classes(order[::-1], labels, count=count)
  best = _take_classes(
    [i for i in order if i not in worst], labels, count=count
  )
  return best, worst


def draw_queries(
  evaluation: Evaluation,
  result: MethodResult,
  several: Sequence[Sequence[int]],
  pipeline: "Pipeline",
) -> list[Image.Image | None]:
  """Sheets of queries, as they were asked, beside their best matches.

  Args:
    evaluation: whose queries they are.
    result: what was found.
    several: places of the queries of each sheet.
    pipeline: draws; its first views are shown.

  Returns:
    The sheets; models whose files cannot be read are left out, None where
    that leaves nothing.
  """
  easel = _PreviewRenderer(pipeline)
  return [
    _draw_sheet(evaluation, result, chosen, easel, pipeline.face_budget)
    for chosen in several
  ]


def _draw_sheet(
  evaluation: Evaluation,
  result: MethodResult,
  chosen: Sequence[int],
  easel: "_PreviewRenderer",
  face_budget: int,
) -> Image.Image | None:
  config, task = evaluation.config, evaluation.task
  rows = []
  for i in chosen:
    file = evaluation.queries[i]
    try:
      mesh = make_query(
        *read_geometry(file.path),
        name=file.name,
        protocol=config.protocol,
        face_budget=face_budget,
      )
    except Dr3dError:
      continue
    shown = []
    for rank, place in enumerate(result.best[i, :MATCHES], start=1):
      images = easel.draw_file(evaluation.gallery[place])
      if images is not None and result.score[i, rank - 1] > -np.inf:
        match = Match(
          rank,
          task.models[place],
          task.model_labels[place],
          float(result.score[i, rank - 1]),
          int(result.votes[i, rank - 1]),
        )
        shown.append(sheet.RenderedMatch(match, images))
    precision = result.measures["mAP"][i]
    rows.append(
      sheet.Row(
        name=f"{file.name}: {precision:.2f}",
        images=easel.draw(mesh),
        matches=shown,
        label=file.label,
      )
    )
  return (
    sheet.draw_answers(rows, views=VIEWS, matches=MATCHES) if rows else None
  )


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
    mesh = _read(file, pipeline.face_budget)
    if mesh is None:
      continue
    images = sheet.render_preview(pipeline, mesh, size=SIZE)
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


class _PreviewRenderer:
  """Draws models for people, each file of the gallery once.

  In white light and under as few views as a sheet has room for.
  """

  def __init__(self, pipeline: "Pipeline"):
    from dr3d.camera.view import take_views  # brings jax

    count = min(VIEWS, pipeline.views.count)
    white = sheet.with_white_light(pipeline)
    self._painter = dataclasses.replace(
      white,
      config=dataclasses.replace(white.config, view_count=count),
      views=take_views(white.views, np.arange(count)),
    )
    self._seen: dict[ModelFile, np.ndarray | None] = {}

  def draw(self, mesh: Mesh) -> np.ndarray:
    """Float32 [N, SIZE, SIZE, 4]."""
    return sheet.render_preview(self._painter, mesh, size=SIZE)

  def draw_file(self, file: ModelFile) -> np.ndarray | None:
    """The same; None where the file cannot be read."""
    if file not in self._seen:
      mesh = _read(file, self._painter.face_budget)
      self._seen[file] = None if mesh is None else self.draw(mesh)
    return self._seen[file]


def _read(file: ModelFile, face_budget: int) -> Mesh | None:
  try:
    return load_mesh(file.path, face_budget=face_budget)
  except Dr3dError:
    return None
