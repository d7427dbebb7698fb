"""The log of a run."""

import pytest

from dr3d.training import log
from dr3d.training.log import Log, read_rows


@pytest.fixture
def path(tmp_path):
  return tmp_path / "log.jsonl"


def write(path, steps, *, after=0):
  with Log(path, step=after) as rows:
    for step in steps:
      rows.write({"step": step, "loss": step / 2})


def steps(path):
  return [row["step"] for row in read_rows(path)]


def test_missing_log_has_no_rows(path):
  assert steps(path) == []


def test_rows_after_checkpoint_are_dropped(path):
  write(path, [1, 2, 3, 4])
  write(path, [3, 4, 5], after=2)
  assert steps(path) == [1, 2, 3, 4, 5]


def test_row_cut_short_is_dropped(path):
  write(path, [1, 2])
  path.write_text(path.read_text()[:-5])
  assert steps(path) == [1]
  write(path, [2], after=1)
  assert list(read_rows(path)) == [
    {"step": 1, "loss": 0.5},
    {"step": 2, "loss": 1.0},
  ]


def test_row_is_in_file_as_soon_as_it_is_written(path):
  with Log(path, step=0) as rows:
    rows.write({"step": 1})
    assert steps(path) == [1]


def test_recent_rows_are_bounded_but_file_is_whole(path, monkeypatch):
  monkeypatch.setattr(log, "RECENT_ROWS", 3)
  write(path, range(1, 6))
  with Log(path, step=5) as rows:
    rows.write({"step": 6})
    assert [row["step"] for row in rows.recent] == [4, 5, 6]
  assert steps(path) == [1, 2, 3, 4, 5, 6]
