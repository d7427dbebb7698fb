"""Settings that must be made before jax is imported: cores and logs."""

import logging
import os
import sys
import warnings

MAX_CORES = 12  # views of the pretrained pipeline; a core renders whole views

_LEVELS = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.INFO}
_LOGGERS = ("absl", "jax", "orbax", "trimesh")


def prepare(*, verbosity: int) -> None:
  """Sets the cores and the logs.

  Args:
    verbosity: -2 errors only, -1 warnings, 0 information, 1 everything.
  """
  use_cores()
  set_logs(verbosity)


def use_cores() -> None:
  """Makes JAX use each core as a device, so that views render in parallel.

  Sets an environment variable, which jax reads when it is imported.
  """
  os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(count_cores()))


def count_cores() -> int:
  """Returns the number of cores that this process may use, up to 12."""
  if hasattr(os, "sched_getaffinity"):
    cores = len(os.sched_getaffinity(0))
  else:
    cores = os.cpu_count() or 1
  return min(cores, MAX_CORES)


def set_logs(verbosity: int) -> None:
  """Sets the log level of the libraries.

  Args:
    verbosity: see `prepare`.
  """
  level = _LEVELS.get(verbosity, logging.DEBUG)
  logging.basicConfig(
    stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
  )
  for name in ("", *_LOGGERS):
    logging.getLogger(name).setLevel(level)
  if verbosity < -1:
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def is_verbose() -> bool:
  """Returns whether messages of level INFO are logged."""
  return logging.getLogger().isEnabledFor(logging.INFO)
