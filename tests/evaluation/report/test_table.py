import pytest

from dr3d.evaluation.report.table import format_table

pytestmark = pytest.mark.fast


def test_columns_are_as_wide_as_their_widest_cell():
  text = format_table(("n", "name"), [("1", "nut"), ("10", "b")], right=(0,))
  assert text.splitlines() == ["   n  name", "   1  nut", "  10  b"]
