"""The collapse check, on logs written by hand."""

import pytest

from dr3d.error import TrainingError
from dr3d.retrieval.hook import (
  COLLAPSED_SPREAD,
  COLLAPSED_STEPS_MAX,
  check_collapse,
)


def make_rows(spreads):
  return [{"step": i + 1, "spread": s} for i, s in enumerate(spreads)]


def test_enough_collapsed_rows_raise_with_last_step():
  rows = make_rows([1.0] * 3 + [0.0] * COLLAPSED_STEPS_MAX)
  with pytest.raises(TrainingError, match=f"up to step {len(rows)} all"):
    check_collapse(rows)


def test_one_row_fewer_passes():
  check_collapse(make_rows([0.0] * (COLLAPSED_STEPS_MAX - 1)))
  check_collapse(make_rows([1.0] + [0.0] * (COLLAPSED_STEPS_MAX - 1)))


def test_recovered_row_starts_count_again():
  half = [0.0] * (COLLAPSED_STEPS_MAX - 1)
  check_collapse(make_rows([*half, COLLAPSED_SPREAD, *half]))
