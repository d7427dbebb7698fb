"""Which run a working directory holds."""

import pytest

from dr3d.error import TrainingError
from dr3d.training.workdir import lock_run, run_once

RUN = {"seed": 0, "rates": {"embed": 0.1, "render": 0.2}, "parts": ("a", "b")}


def test_same_run_is_accepted_again(tmp_path):
  lock_run(tmp_path / "run", RUN)
  lock_run(tmp_path / "run", RUN)


def test_another_run_raises_with_names_of_differing_fields(tmp_path):
  lock_run(tmp_path, RUN)
  other = {
    "seed": 1,
    "rates": {"embed": 0.1, "render": 0.3},
    "parts": ("a", "b"),
    "added": None,
  }
  with pytest.raises(TrainingError, match=r"differs in rates\.render, seed;"):
    lock_run(tmp_path, other)


def test_damaged_config_raises_with_its_path(tmp_path):
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(TrainingError, match=r"config\.json cannot be read"):
    lock_run(tmp_path, RUN)


def run_text(tmp_path, make):
  return run_once(
    make,
    workdir=tmp_path,
    run=RUN,
    name="text",
    load=lambda path: path.read_text(),
    save=lambda text, path: path.write_text(text),
  )


def test_product_is_made_once(tmp_path):
  assert run_text(tmp_path, lambda: "first") == "first"
  assert run_text(tmp_path, lambda: "second") == "first"


def test_failed_run_leaves_no_product(tmp_path):
  def fail():
    raise TrainingError("collapsed")

  with pytest.raises(TrainingError, match="collapsed"):
    run_text(tmp_path, fail)
  assert run_text(tmp_path, lambda: "second") == "second"
