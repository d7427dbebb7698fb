"""Each notebook runs from its first cell to its last."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).parents[2] / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONG = {"search_folder", "fit_silhouettes"}
"""Those whose programs run often enough to be worth the compiler's time."""
SECONDS = 600  # for one cell; compiling on a busy machine is slow


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
  if path.stem in LONG:
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
  notebook = nbformat.read(path, as_version=4)
  NotebookClient(
    notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}
  ).execute()


def test_there_are_notebooks_without_outputs():
  assert len(NOTEBOOKS) == 5
  for path in NOTEBOOKS:  # outputs would be neither read nor reviewed
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
