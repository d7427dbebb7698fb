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
from dr3d.evaluation.report.chart import Curve, draw_curves
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
# Query 2 finds its own class last; queries 3 and 5 are taken for a<b.
SIMILARITY = np.array(
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


class PageParser(html.parser.HTMLParser):
  """Collects tags, titles and text of a page; rejects unclosed elements."""

  empty = ("meta", "img", "br", "html", "!doctype")

  def __init__(self):
    super().__init__()
    self.open, self.tags, self.titles, self.text = [], [], [], ""

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.titles += [value for name, value in attrs if name == "title"]
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
  page_parser = PageParser()
  page_parser.feed(text)
  page_parser.close()
  assert page_parser.open == []
  return page_parser


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
    lambda q, g: Similarity(SIMILARITY[q][:, None], SIMILARITY[q]),
  )
  side = ModelSet(tuple(files), ("",) * 6, meshes=tuple(range(6)))
  return evaluate(
    side, side, [method], own=True, config=EvaluateConfig(verify=0)
  )


@pytest.fixture
def rendered(monkeypatch):
  """Replaces the renderer; lists how many views it was asked for."""
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


def test_page_shows_charts_views_queries_and_confusion(
  evaluation, rendered, tmp_path
):
  path = tmp_path / "new" / "page.html"
  write(evaluation, path, name="parts & more")
  parsed = read(path.read_text())
  assert parsed.tags.count("svg") == 2
  assert parsed.tags.count("img") == 2 + page.MODEL_COUNT
  for text in (
    "parts & more",
    "Protocol: leave-one-out",
    "66.7",  # NN
    "False accepts",
    "Best queries of table",
    "a<b: 1 of 3 taken for nut",
    "nut: 2 of 3 taken for a<b",
  ):
    assert text in parsed.text
  assert parsed.titles == [  # a cell for each count but 0, in row order
    "a<b: 2 of 3 taken for a<b",
    "a<b: 1 of 3 taken for nut",
    "nut: 2 of 3 taken for a<b",
    "nut: 1 of 3 taken for nut",
  ]
  assert set(rendered) == {preview.QUERY_VIEWS, 4}
  assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_page_without_model_files_has_no_images(evaluation, rendered, tmp_path):
  for path in tmp_path.glob("*.obj"):
    path.unlink()
  path = tmp_path / "page.html"
  write(evaluation, path, name="parts")
  parsed = read(path.read_text())
  assert "img" not in parsed.tags
  assert parsed.text.count("files of these models cannot be read") == 3
  assert rendered == []


def test_page_that_cannot_be_written_raises(evaluation, rendered, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(Dr3dError, match=r"page\.html cannot be written"):
    write(evaluation, tmp_path / "file" / "page.html", name="parts")


def test_best_and_worst_queries_hold_one_of_each_class(evaluation):
  (result,) = evaluation.results
  best, worst = preview.choose_queries(result, LABELS, count=2)
  assert (best, worst) == ([0, 4], [2, 5])
  assert preview.choose_queries(result, LABELS, count=1) == ([0], [2])


def test_confusion_counts_labels_by_vote(evaluation):
  counts, rows, columns = page.count_confusion(
    evaluation.task, evaluation.results[0]
  )
  assert rows == columns == ["a<b", "nut"]
  np.testing.assert_array_equal(counts, [[2, 1], [2, 1]])


def draw(*curves):
  return draw_curves(curves, x_label="recall", y_label="precision")


def test_curves_stand_where_their_numbers_say():
  x = np.array([0, 0.5, np.nan, 1])
  text = draw(Curve("_one & $two$", x, np.array([1, 0.25, 0.3, 0])))
  marker = r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: #3b7dd8'
  points = np.array(re.findall(marker, text), float)[:3]  # then the legend's
  # Two points fix the scale of an axis, the third must agree.
  np.testing.assert_allclose(
    (points[1] - points[0])[0] * 2, np.ptp(points[:, 0]), rtol=1e-4
  )
  np.testing.assert_allclose(
    (points[1] - points[0])[1], 0.75 * np.ptp(points[:, 1]), rtol=1e-4
  )
  assert (np.diff(points[:, 1]) > 0).all()  # y points down in SVG
  assert "_one & $two$" in read(text).text


def test_long_curves_have_no_markers():
  x = np.linspace(0, 1, 50)
  assert 'style="fill: #3b7dd8' not in draw(Curve("a", x, x))


def test_chart_takes_colours_from_page_and_is_repeatable():
  curve = Curve("a", np.array([0, 1]), np.array([0, 1]))
  text = draw(curve)
  assert "currentColor" in text
  assert "var(--line)" in text
  assert "#000000" not in text
  assert text == draw(curve)
