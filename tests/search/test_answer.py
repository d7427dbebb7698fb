import builtins
import doctest

import pytest

from dr3d.database.model import Shape
from dr3d.error import Dr3dError
from dr3d.search import answer
from dr3d.search.answer import Answer, Match, Prediction

pytestmark = pytest.mark.fast

ANSWER = Answer(
  Prediction("nut", 0.9, 0.97, "ambiguous"),
  (
    Match(1, "<b>.stl", "nut", 0.9, 5, extent=(3.0, 2.0, 1.0), same=True),
    Match(2, "b.stl", "", 0.5, 0),
  ),
)


def test_dataframe_has_a_row_for_each_match_and_its_size():
  pytest.importorskip("pandas")
  table = ANSWER.to_dataframe()
  assert list(table["model"]) == ["<b>.stl", "b.stl"]
  assert table.loc[0, ["length", "width", "height"]].tolist() == [3, 2, 1]
  assert table["height"].isna().tolist() == [False, True]
  assert table.loc[0, "same"] is True
  assert Answer(ANSWER.prediction, ()).to_dataframe().shape == (
    0,
    table.shape[1],
  )


def test_example_prints_what_it_says():
  pytest.importorskip("pandas")
  assert doctest.testmod(answer) == (0, 3)


def test_dataframe_without_pandas_says_what_to_install(monkeypatch):
  real = builtins.__import__

  def fail(name, *args, **options):
    if name == "pandas":
      raise ImportError
    return real(name, *args, **options)

  monkeypatch.setattr(builtins, "__import__", fail)
  with pytest.raises(Dr3dError, match="pip install pandas"):
    ANSWER.to_dataframe()


def test_html_shows_prediction_and_matches_and_escapes_names():
  html = ANSWER._repr_html_()
  assert "nut: not accepted (ambiguous), probability 0.97" in html
  assert "&lt;b&gt;.stl" in html
  assert "<b>" not in html
  assert "3 x 2 x 1" in html


def test_answer_is_shown_as_lines_without_a_notebook(capsys):
  ANSWER.show()
  first, best, second = capsys.readouterr().out.splitlines()
  assert first.startswith("nut: not accepted")
  assert " ".join(best.split()) == "1 <b>.stl nut 0.900 3 x 2 x 1"
  assert second.split()[-1] == "-"


def test_answer_is_shown_with_pictures_in_a_notebook(monkeypatch):
  shown = []
  monkeypatch.setattr(answer, "is_notebook", lambda: True)
  monkeypatch.setattr(answer, "display_html", shown.append)

  class Source:
    def load_shapes(self, names):
      assert names == ["<b>.stl", "b.stl"]
      return {"b.stl": Shape(b"", b"PNG")}

  ANSWER.show(Source())
  (html,) = shown
  assert "<table>" in html
  assert html.count("data:image/png") == 1
