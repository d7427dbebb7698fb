import re
import sys
import time

import pytest

from dr3d.runtime import progress

pytestmark = pytest.mark.fast


def test_long_task_prints_plain_lines_without_a_terminal(monkeypatch, capsys):
  monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
  with progress.open_bar(4, "indexing", initial=1) as bar:
    bar.update(1)
    time.sleep(0.3)  # no update: the lines come nevertheless
    bar.set_postfix_str("1 failed", refresh=False)
    bar.update(2)
  lines = capsys.readouterr().err.split("\n")
  assert len(lines) > 3
  assert any(
    re.fullmatch(r"indexing: 2 of 4 files, \d+ s", line) for line in lines
  )
  assert re.fullmatch(r"indexing: 4 of 4 files, \d+ s, 1 failed", lines[-2])
  assert lines[-1] == ""


def test_other_output_stays_as_it_is_beside_lines(capsys):
  with progress.open_bar(4, "indexing") as bar:
    bar.update(1)
    bar.write("one", file=sys.stderr)
  assert capsys.readouterr().err == "one\n"


def test_hidden_bar_prints_nothing(monkeypatch, capsys):
  monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
  with progress.open_bar(4, "indexing", hidden=True) as bar:
    time.sleep(0.05)
    bar.update(4)
  assert capsys.readouterr() == ("", "")


def test_error_in_a_task_is_raised_and_ends_the_lines(monkeypatch, capsys):
  monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
  with pytest.raises(KeyError), progress.open_bar(4, "indexing"):
    raise KeyError
  before = capsys.readouterr().err
  time.sleep(0.05)
  assert capsys.readouterr().err == ""
  assert "None" not in before


@pytest.mark.parametrize(("seconds", "is_shown"), [(0.05, False), (0.5, True)])
def test_bar_with_a_delay_appears_only_for_a_long_task(
  monkeypatch, capsys, seconds, is_shown
):
  monkeypatch.setattr(progress, "BAR_SECONDS", 0.02)
  monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
  with progress.open_bar(1, "querying", delay=0.2):
    time.sleep(seconds)
  assert ("querying" in capsys.readouterr().err) == is_shown
