"""Which engine holds a set of vectors."""

import importlib.util
import sys

import numpy as np
import pytest
from support.vectors import clusters, needs_scann

from dr3d.index.engine import build_index, choose_engine

pytestmark = pytest.mark.fast


def test_unknown_engine_raises_with_its_name():
  with pytest.raises(ValueError, match="got 'faiss'"):
    build_index(np.eye(3), engine="faiss")


@needs_scann
def test_auto_depends_on_the_number_of_vectors():
  assert choose_engine(19_999) == "exact"
  assert choose_engine(20_000) == "scann"
  vectors = clusters(5, count=300)
  assert build_index(vectors).engine == "exact"
  assert build_index(vectors, exact_below=300).engine == "scann"
  assert build_index(vectors[:10], exact_below=1).engine == "exact"


def test_auto_is_exact_without_scann(monkeypatch):
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    "find_spec",
    lambda name, *rest: None if name == "scann" else find(name, *rest),
  )
  monkeypatch.setitem(sys.modules, "scann", None)
  vectors = clusters(6, count=300)
  assert build_index(vectors, exact_below=1).engine == "exact"
  with pytest.raises(ImportError):
    build_index(vectors, engine="scann")
