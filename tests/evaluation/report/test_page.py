import html.parser
import re

import numpy as np
import pytest

import dr3d
from dr3d.data.folder import ModelFile
from dr3d.error import Dr3dError
from dr3d.evaluation.method import Method
from dr3d.evaluation.model_set import ModelSet
from dr3d.evaluation.report import page, preview, sheet
from dr3d.evaluation.report.chart import (
  HEIGHT,
  LEFT,
  RIGHT,
  TOP,
  WIDTH,
  Curve,
  draw_confusion,
  draw_curves,
)
from dr3d.evaluation.report.summary import summarize_all
from dr3d.evaluation.run import EvaluateConfig, evaluate
from dr3d.evaluation.similarity import Similarity

pytestmark = pytest.mark.fast

TINY = dr3d.PipelineConfig(
  view_count=4,
  render=dr3d.RenderConfig(size=32),
  embed=dr3d.EncoderConfig(feature_size=8, widths=(8,)),
)
LABELS = ("a<b", "a<b", "a<b", "nut", "nut", "nut")
# Query 2 finds its own last; queries 3 and 5 are taken for a<b.
LIKENESS = np.array(
  [
    [9, 8, 7, 1, 2, 3],
    [8, 9, 7, 1, 2, 3],
    [1, 2, 9, 8, 7, 6],
    [8, 3, 2, 9, 7, 6],
    [1, 2, 3, 8, 9, 7],
    [8, 2, 3, 7, 6, 9],
  ],
  float,
)


class FileReader(html.parser.HTMLParser):
  """Collects the tags and the text of a page; refuses what is not closed."""

  empty = ("meta", "img", "br", "html", "!doctype")

  def __init__(self):
    super().__init__()
    self.open, self.tags, self.text = [], [], ""

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    if tag not in self.empty:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append(tag)

  def handle_endtag(self, tag):
    if tag not in self.empty:
      assert self.open.pop() == tag

  def handle_data(self, data):
    self.text += data


def read(text):
  reader = FileReader()
  reader.feed(text)
  reader.close()
  assert reader.open == []
  return reader


@pytest.fixture
def evaluation(tmp_path):
  files = []
  for i, label in enumerate(LABELS):
    path = tmp_path / f"{i}.obj"
    path.write_text(
      "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    )
    files.append(ModelFile(path, f"{i}.obj", label))
  method = Method(
    "table",
    lambda meshes, progress: np.arange(len(meshes)),
    lambda q, g: Similarity(LIKENESS[q][:, None], LIKENESS[q]),
  )
  side = ModelSet(tuple(files), ("",) * 6, meshes=tuple(range(6)))
  return evaluate(
    side, side, [method], own=True, config=EvaluateConfig(verify=0)
  )


@pytest.fixture
def painted(monkeypatch):
  """Stands for the renderer; tells how many views were drawn."""
  drawn = []

  def render_preview(pipeline, mesh, *, size):
    drawn.append(pipeline.views.count)
    return np.full((pipeline.views.count, size, size, 4), 0.5, np.float32)

  monkeypatch.setattr(sheet, "render_preview", render_preview)
  return drawn


def write(evaluation, path, *, name):
  means = summarize_all(evaluation)
  pipeline = dr3d.Pipeline.create(TINY)
  page.write_page(evaluation, means, path, name=name, pipeline=pipeline)


def test_a_page_shows_curves_views_queries_and_confusions(
  evaluation, painted, tmp_path
):
  path = tmp_path / "new" / "page.html"
  write(evaluation, path, name="parts & more")
  reader = read(path.read_text())
  assert reader.tags.count("svg") == 3
  assert reader.tags.count("img") == 2 + page.MODELS
  for text in (
    "parts & more",
    "Protocol: leave-one-out",
    "66.7",  # NN
    "Reliable and wrong",
    "Best queries of table",
    "a<b: 1 of 3 taken for nut",
    "nut: 2 of 3 taken for a<b",
  ):
    assert text in reader.text
  assert set(painted) == {preview.VIEWS, 4}
  assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_page_without_the_files_has_no_pictures(
  evaluation, painted, tmp_path
):
  for path in tmp_path.glob("*.obj"):
    path.unlink()
  path = tmp_path / "page.html"
  write(evaluation, path, name="parts")
  reader = read(path.read_text())
  assert "img" not in reader.tags
  assert reader.text.count("files of these models cannot be read") == 3
  assert painted == []


def test_a_page_that_cannot_be_written_is_told(evaluation, painted, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(Dr3dError, match=r"page\.html cannot be written"):
    write(evaluation, tmp_path / "file" / "page.html", name="parts")


def test_best_and_worst_queries_are_one_of_a_class(evaluation):
  (result,) = evaluation.results
  best, worst = preview.choose_queries(result, LABELS, count=2)
  assert (best, worst) == ([0, 4], [2, 5])
  assert preview.choose_queries(result, LABELS, count=1) == ([0], [2])


def test_confusions_are_counted(evaluation):
  counts, rows, columns = page.count_confusion(
    evaluation.task, evaluation.results[0]
  )
  assert rows == columns == ["a<b", "nut"]
  np.testing.assert_array_equal(counts, [[2, 1], [2, 1]])


def test_curves_are_where_their_numbers_say():
  curve = Curve(
    "one & two", np.array([0, 0.5, np.nan, 1]), np.array([1, 0.25, 0.3, 0])
  )
  text = draw_curves([curve], x_label="x", y_label="y")
  (points,) = re.findall(r'<polyline[^>]*points="([^"]*)"', text)
  wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP
  places = [tuple(map(float, point.split(","))) for point in points.split()]
  assert len(places) == 3
  assert places[0] == (LEFT, TOP)
  assert places[1][0] == pytest.approx(LEFT + wide / 2, abs=0.1)
  assert places[2][0] == pytest.approx(LEFT + wide, abs=0.1)
  assert TOP < places[1][1] < places[2][1] < high
  assert "one & two" in read(text).text


def test_a_confusion_has_a_cell_for_each_number_but_zero():
  text = draw_confusion(
    np.array([[3, 1, 0], [0, 0, 2]]), ["a", "b"], ["a", "b", ""]
  )
  reader = read(text)
  assert reader.tags.count("title") == 3
  assert "a: 1 of 4 taken for b" in reader.text
  assert "b: 2 of 2 taken for no label" in reader.text
