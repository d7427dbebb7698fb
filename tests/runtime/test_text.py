"""Names of unknown origin do nothing when they are printed."""

import csv
import io

import hypothesis
import pytest
from hypothesis import strategies as st

from dr3d.cli import console
from dr3d.cli.query_output import write_csv
from dr3d.runtime.text import CONTROL, escape_cell, escape_row, neutralize

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
  ("text", "safe"),
  [
    ("\x1b[2Jname", "\\x1b[2Jname"),
    ("a\u202elts.exe", "a\\u202elts.exe"),
    ("\x9b31m", "\\x9b31m"),
    ("a\nb\tc", "a\nb\tc"),
    ("Keil ü 日本", "Keil ü 日本"),
  ],
)
def test_control_characters_become_escapes(text, safe):
  assert neutralize(text) == safe


@hypothesis.given(st.text())
def test_neutral_text_has_no_control_characters(text):
  safe = neutralize(text, keep="")
  assert not CONTROL.search(safe)
  assert neutralize(safe, keep="") == safe


@pytest.mark.parametrize(
  "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r="]
)
def test_formula_becomes_text_in_a_cell(text):
  assert escape_cell(text).startswith("'")


@pytest.mark.parametrize("value", [-1.5, 0, None, True, "bolt", "a=b"])
def test_other_cells_stay_as_they_are(value):
  assert escape_cell(value) is value or escape_cell(value) == value


def test_csv_of_a_query_has_no_formula(capsys):
  write_csv([{"query": '=HYPERLINK("http://x")', "error": "@x\x1b[31m"}])
  (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
  assert row["query"].startswith("'=")
  assert row["error"] == "'@x\\x1b[31m"
  assert escape_row({"a": "=1"}) == {"a": "'=1"}


def test_console_prints_no_escape(capsys):
  console.print_answer("a\x1b]0;title\x07")
  console.print_error("b\u202e")
  captured = capsys.readouterr()
  assert captured.out == "a\\x1b]0;title\\x07\n"
  assert captured.err == "b\\u202e\n"
