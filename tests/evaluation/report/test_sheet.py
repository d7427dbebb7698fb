import numpy as np
import pytest
from PIL import Image

from dr3d.evaluation.report import canvas, sheet
from dr3d.evaluation.report.sheet import (
  RenderedMatch,
  Row,
  draw_answers,
  draw_views,
)
from dr3d.search.answer import Match, Prediction

RED = (255, 0, 0)


def make_images(count, *, size=64, color=(1, 0, 0), alpha=1.0):
  image = np.zeros((count, size, size, 4), np.float32)
  image[..., :3] = np.asarray(color) * alpha
  image[..., 3] = alpha
  return image


def make_match(label, rank=1, *, votes=2, count=3, **kwargs):
  match = Match(rank, f"{label}/{rank}.stl", label, 0.9, votes)
  return RenderedMatch(match, make_images(count, **kwargs))


def count_pixels(picture, color):
  return int(np.all(np.asarray(picture) == color, axis=-1).sum())


def test_sheet_has_a_cell_for_each_view():
  picture = draw_views(make_images(6))
  assert picture.mode == "RGB"
  # the number in its corner hides a little of each view
  assert 6 * 64**2 * 0.97 < count_pixels(picture, RED) < 6 * 64**2


def test_views_fill_rows_from_the_left():
  images = make_images(3)
  images[0, ..., :3], images[2, ..., :3] = (0, 1, 0), (0, 0, 1)
  pixels = np.asarray(draw_views(images, columns=2)).astype(int)
  centers = [
    np.argwhere(np.all(pixels == np.eye(3, dtype=int)[k] * 255, -1)).mean(0)
    for k in (1, 0, 2)  # green, red, blue
  ]
  assert centers[0][0] == pytest.approx(centers[1][0], abs=3)
  assert centers[0][1] < centers[1][1]
  assert centers[2][0] > centers[0][0]
  assert centers[2][1] == pytest.approx(centers[0][1], abs=3)


def test_half_transparent_pixel_is_blended_with_white():
  picture = draw_views(make_images(1, color=(0.5, 0.5, 0.5), alpha=0.5))
  # 0.5 · 0.5 + (1 - 0.5) · 1 = 0.75
  assert count_pixels(picture, (191, 191, 191)) > 3000


@pytest.mark.parametrize(
  ("count", "columns"), [(1, 1), (2, 2), (4, 2), (6, 3), (12, 4), (20, 5)]
)
def test_sheet_without_column_count_is_nearly_square(count, columns):
  assert sheet._column_count(count) == columns


def test_right_match_is_marked_green_and_wrong_one_red():
  def marks(label, truth):
    row = Row(
      "q.stl", make_images(3, color=(0, 0, 0)), [make_match(label)], truth
    )
    picture = draw_answers([row])
    return (
      count_pixels(picture, canvas.RIGHT) > 10,
      count_pixels(picture, canvas.WRONG) > 10,
    )

  assert marks("nut", "nut") == (True, False)
  assert marks("nut", "screw") == (False, True)
  assert marks("nut", "") == (False, False)


def test_row_shows_no_more_matches_than_asked_for():
  def row(matches):
    return Row(
      "q", make_images(4), [make_match("nut", i) for i in range(matches)]
    )

  picture = draw_answers([row(5), row(1)], views=3, matches=2)
  # rows: 3 + 2 · 2 views, and 3 + 1 · 2
  assert count_pixels(picture, RED) == (7 + 5) * 64**2


def test_query_without_matches_is_shown():
  picture = draw_answers([Row("q", make_images(2), [])])
  assert count_pixels(picture, RED) == 2 * 64**2


def test_long_name_stays_within_its_card():
  name = "a_very_long_file_name_" * 20
  row = Row(name, make_images(2, color=(1, 1, 1)), [make_match("x" * 500)])
  pixels = np.asarray(draw_answers([row]))
  columns = np.flatnonzero(np.any(np.all(pixels == canvas.INK, -1), axis=0))
  borders = np.flatnonzero(
    np.mean(np.all(pixels == canvas.BORDER, -1), axis=0) > 0.5
  )
  assert len(borders) == 4
  assert not set(columns) & set(borders)
  assert borders[0] < columns.min() < columns.max() < borders[3]


def test_shortened_text_keeps_both_ends():
  font = canvas.get_font(14)
  room = font.getlength("abcdefgh")
  short = canvas.shorten("abcdefghijklmnopqrstuvwxyz", font, room)
  assert short.startswith("ab")
  assert short.endswith("z")
  assert "..." in short
  assert font.getlength(short) <= room
  assert canvas.shorten("abc", font, room) == "abc"
  assert canvas.shorten("abc", font, 0) == ""


def test_wrapped_lines_fit_and_keep_all_words():
  font = canvas.get_font(14)
  text = "how similar a model is to the query"
  lines = canvas.wrap(text, font, 100)
  assert " ".join(lines) == text
  assert len(lines) > 2
  assert max(map(font.getlength, lines)) <= 100
  assert canvas.wrap("unbreakable", font, 1) == ["unbreakable"]


def test_prediction_is_shown_as_accepted_or_not():
  def colors(prediction):
    images = make_images(2, size=256, color=(0, 0, 0))  # thick letters
    picture = draw_answers([Row("q", images, [], "", prediction)], views=2)
    return (
      count_pixels(picture, canvas.RIGHT) > 0,
      count_pixels(picture, canvas.REJECTED) > 0,
    )

  assert colors(Prediction("nut", 1.0, 0.999)) == (True, False)
  assert colors(Prediction("nut", 0.5, 0.4, "ambiguous")) == (False, True)
  assert colors(None) == (False, False)


def test_card_says_what_was_predicted_and_why_not_accepted():
  row = Row("q", make_images(1), [], "screw", Prediction("nut", 0.5, 0.4, "x"))
  texts = [text for text, _ in sheet._tell_row(row)]
  assert texts == ["q", "class screw", "not accepted (x): nut, 40% likely"]
  sure = Row("q", make_images(1), [], "", Prediction("nut", 1.0, 0.9999))
  assert sheet._tell_row(sure)[1][0] == "accepted: nut, over 99% likely"


def test_match_name_leaves_out_folder_that_is_its_label():
  texts = [text for text, _ in sheet._tell_match(make_match("nut").match)]
  assert texts == ["1.stl", "nut", "score 0.900, 2 votes"]
  other = Match(1, "b/a.stl", "", 0.5, 1)
  texts = [text for text, _ in sheet._tell_match(other)]
  assert texts == ["b/a.stl", "no label", "score 0.500, 1 vote"]


def test_key_explains_only_what_is_shown():
  match = make_match("nut")
  prediction = Prediction("nut", 1.0, 0.99)
  images = make_images(1)
  assert sheet._list_keys([Row("q", images, [])]) == []
  assert sheet._list_keys([Row("q", images, [match])]) == [sheet.NUMBERS_KEY]
  assert sheet._list_keys([Row("q", images, [match], "nut", prediction)]) == [
    sheet.NUMBERS_KEY,
    sheet.PREDICTION_KEY,
    sheet.MARK_KEY,
  ]


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (np.zeros((0, 8, 8, 4)), r"got \(0, 8, 8, 4\)"),
    (np.zeros((2, 8, 8, 3)), r"got \(2, 8, 8, 3\)"),
    (np.zeros((8, 8, 4)), r"got \(8, 8, 4\)"),
  ],
)
def test_images_of_wrong_shape_raise(images, message):
  with pytest.raises(ValueError, match=message):
    draw_views(images)


def test_no_rows_or_mixed_sizes_raise():
  with pytest.raises(ValueError, match="got none"):
    draw_answers([])
  row = Row("q", make_images(2), [make_match("nut", size=32)])
  with pytest.raises(ValueError, match="one size"):
    draw_answers([row])


def test_saved_sheet_makes_its_folder_and_leaves_no_other_file(tmp_path):
  path = tmp_path / "new" / "sheet.png"
  sheet.save(draw_views(make_images(2)), path)
  assert Image.open(path).size == draw_views(make_images(2)).size
  assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


class FakePipeline:
  """Renders pixel (h, w) of view n as h + w + n."""

  def render(self, mesh, *, size):
    n, h, w, c = np.indices((2, size, size, 4))
    return (n + h + w + 0 * c).astype(np.float32)


def test_preview_averages_four_pixels():
  images = sheet.render_preview(FakePipeline(), None, size=3)
  assert images.shape == (2, 3, 3, 4)
  n, h, w, c = np.indices((2, 3, 3, 4))
  np.testing.assert_allclose(images, n + 2 * h + 2 * w + 1 + 0 * c)


def test_white_light_keeps_viewpoints_and_cameras():
  from dr3d.camera.view import make_views, sphere_views
  from dr3d.retrieval.pipeline import Pipeline, PipelineConfig

  views = make_views(sphere_views(2), distance=2.5)
  pipeline = Pipeline(PipelineConfig(view_count=2), views, {"w": 1})
  white = sheet.with_white_light(pipeline)
  assert white.config == pipeline.config
  assert white.weights == pipeline.weights
  for name in ("quaternion", "distance", "fov"):
    np.testing.assert_allclose(
      getattr(white.views, name), getattr(views, name), atol=1e-6
    )
  intensity = np.asarray(white.views.light.intensity)
  assert intensity.shape == (2, 1, 3)
  assert np.ptp(intensity) == 0
  assert white.views.light.direction.shape == (2, 1, 3)
