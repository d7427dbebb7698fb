"""Keeps from the terminal what C++ libraries print and no setting turns off."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def suppress_output(descriptor: int = 2) -> Iterator[None]:
  """Throws away what is written to a descriptor: standard error, or another."""
  try:
    saved = os.dup(descriptor)
  except OSError:  # it is closed, so there is nothing to protect
    yield
    return
  sink = os.open(os.devnull, os.O_WRONLY)
  try:
    os.dup2(sink, descriptor)
    yield
  finally:
    os.dup2(saved, descriptor)
    os.close(saved)
    os.close(sink)
