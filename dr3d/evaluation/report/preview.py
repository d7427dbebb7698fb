"""Contact sheets of an evaluation: queries beside matches, and views."""

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

VIEW_SIZE = 96  # pixels
MATCH_COUNT = 4  # shown for each query
QUERY_VIEWS = 3  # shown of a query; one less of a match


def choose_queries(
  result: MethodResult, labels: Sequence[str], *, count: int
) -> tuple[list[int], list[int]]:
  """Chooses the queries with the best and the worst average precision.

  Each list holds one query of a class, so that it does not show the same class
  again and again. Ties keep the order of the queries.

  Args:
    result: of Q queries.
    labels: of the queries.
    count: of queries in each list, at most.

  Returns:
    Indices of the best queries, best first, and of the worst, worst first. No
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
  """Draws queries, changed by the protocol, beside their best matches.

  Args:
    evaluation: whose queries they are.
    result: of a method.
    several: indices of the queries of each sheet.
    pipeline: renders the models; its first views are shown.

  Returns:
    The sheets, without the models whose files cannot be read; None for a sheet
    that is left without any query.
  """
  renderer = _PreviewRenderer(pipeline)
  return [
    _draw_sheet(evaluation, result, chosen, renderer, pipeline.face_budget)
    for chosen in several
  ]


def _draw_sheet(
  evaluation: Evaluation,
  result: MethodResult,
  chosen: Sequence[int],
  renderer: "_PreviewRenderer",
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
    for rank, index in enumerate(result.best[i, :MATCH_COUNT], start=1):
      images = renderer.draw_file(evaluation.gallery[index])
      if images is not None and result.score[i, rank - 1] > -np.inf:
        match = Match(
          rank,
          task.models[index],
          task.model_labels[index],
          float(result.score[i, rank - 1]),
          int(result.votes[i, rank - 1]),
        )
        shown.append(sheet.RenderedMatch(match, images))
    precision = result.measures["mAP"][i]
    rows.append(
      sheet.Row(
        name=f"{file.name}: {precision:.2f}",
        images=renderer.draw(mesh),
        matches=shown,
        label=file.label,
      )
    )
  return (
    sheet.draw_answers(rows, views=QUERY_VIEWS, matches=MATCH_COUNT)
    if rows
    else None
  )


def draw_views(
  evaluation: Evaluation, pipeline: "Pipeline", *, count: int
) -> list[tuple[str, Image.Image]]:
  """Draws some models as the network T sees them, in its learned light.

  Args:
    evaluation: the models are spread evenly over its gallery.
    pipeline: whose views are drawn.
    count: of models.

  Returns:
    Names of the models and sheets of their views.
  """
  files = evaluation.gallery
  indices = np.linspace(0, len(files) - 1, count + 2)[1:-1].astype(int)
  sheets = []
  for file in dict.fromkeys(files[index] for index in indices):
    mesh = _read(file, pipeline.face_budget)
    if mesh is None:
      continue
    images = sheet.render_preview(pipeline, mesh, size=VIEW_SIZE)
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
  """Renders models in white light, and each file of the gallery only once.

  Renders no more views than a sheet shows.
  """

  def __init__(self, pipeline: "Pipeline"):
    from dr3d.camera.view import take_views  # brings jax

    count = min(QUERY_VIEWS, pipeline.views.count)
    white = sheet.with_white_light(pipeline)
    self._pipeline = dataclasses.replace(
      white,
      config=dataclasses.replace(white.config, view_count=count),
      views=take_views(white.views, np.arange(count)),
    )
    self._seen: dict[ModelFile, np.ndarray | None] = {}

  def draw(self, mesh: Mesh) -> np.ndarray:
    """Renders a mesh: float32 [N, VIEW_SIZE, VIEW_SIZE, 4]."""
    return sheet.render_preview(self._pipeline, mesh, size=VIEW_SIZE)

  def draw_file(self, file: ModelFile) -> np.ndarray | None:
    """Renders a file; returns None if it cannot be read."""
    if file not in self._seen:
      mesh = _read(file, self._pipeline.face_budget)
      self._seen[file] = None if mesh is None else self.draw(mesh)
    return self._seen[file]


def _read(file: ModelFile, face_budget: int) -> Mesh | None:
  try:
    return load_mesh(file.path, face_budget=face_budget)
  except Dr3dError:
    return None
