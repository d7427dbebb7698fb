"""What the command sets before jax is imported: cache, cores, who may log."""

import logging
import os
import pathlib
import sys
import warnings

MOST_CORES = 12  # no view set is shared out further

_LEVELS = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.INFO}
_NOISY = ("absl", "jax", "orbax", "trimesh")


def prepare(*, verbosity: int) -> None:
  """Sets the cache, the cores and the logs.

  Args:
    verbosity: -2 errors only, -1 warnings, 0 information, 1 everything.
  """
  set_cache()
  use_cores()
  set_logs(verbosity)


def cache_directory() -> pathlib.Path:
  """Where compiled programs are kept: `$DR3D_CACHE`, or the user's cache."""
  own = os.environ.get("DR3D_CACHE")
  if own:
    return pathlib.Path(own)
  base = os.environ.get("XDG_CACHE_HOME")
  return (pathlib.Path(base) if base else _home() / ".cache") / "dr3d"


def set_cache() -> None:
  """Lets JAX keep compiled programs, so that a second command starts fast.

  Through the environment, which jax reads when it is imported: variables that
  the user has set stay.
  """
  directory = cache_directory() / "jax"
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(directory))
  # Small ones too: they are a hundred, and take seconds together.
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
  # XLA's own caches hold absolute paths and help on GPUs only.
  os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")


def use_cores() -> None:
  """Lets JAX count each core as a device, so that views are shared out.

  One device would draw the views one after the other. Through the environment,
  as in `set_cache`.
  """
  os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(count_cores()))


def count_cores() -> int:
  """Cores that this process may use, as many of them as are of use."""
  if hasattr(os, "sched_getaffinity"):
    cores = len(os.sched_getaffinity(0))
  else:
    cores = os.cpu_count() or 1
  return min(cores, MOST_CORES)


def set_logs(verbosity: int) -> None:
  """Silences what the libraries would tell a person who did not ask."""
  level = _LEVELS.get(verbosity, logging.DEBUG)
  logging.basicConfig(
    stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
  )
  for name in ("", *_NOISY):
    logging.getLogger(name).setLevel(level)
  if verbosity < -1:
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def is_verbose() -> bool:
  """Whether information may be logged."""
  return logging.getLogger().isEnabledFor(logging.INFO)


def _home() -> pathlib.Path:
  try:
    return pathlib.Path.home()
  except RuntimeError:  # a user without a home, as in some containers
    import tempfile

    return pathlib.Path(tempfile.gettempdir())
