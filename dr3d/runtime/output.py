"""Suppresses what C++ libraries print and no setting turns off."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def suppress_output(descriptor: int = 2) -> Iterator[None]:
  """Discards what is written to a file descriptor, by default stderr."""
  try:
    saved = os.dup(descriptor)
  except OSError:  # the descriptor is closed: nothing can be printed
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
