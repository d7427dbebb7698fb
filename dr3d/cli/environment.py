"""Settings that must be made before jax is imported: cache, cores, logs."""

import logging
import os
import pathlib
import sys
import warnings

MAX_CORES = 12  # views of the pretrained pipeline; a core renders whole views

_LEVELS = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.INFO}
_LOGGERS = ("absl", "jax", "orbax", "trimesh")


def prepare(*, verbosity: int) -> None:
  """Sets the cache, the cores and the logs.

  Args:
    verbosity: -2 errors only, -1 warnings, 0 information, 1 everything.
  """
  set_cache()
  use_cores()
  set_logs(verbosity)


def cache_directory() -> pathlib.Path:
  """Returns the cache folder: `$DR3D_CACHE`, or dr3d in the user's cache."""
  own = os.environ.get("DR3D_CACHE")
  if own:
    return pathlib.Path(own)
  base = os.environ.get("XDG_CACHE_HOME")
  return (pathlib.Path(base) if base else _home() / ".cache") / "dr3d"


def set_cache() -> None:
  """Makes JAX cache compiled programs, so that the next command starts fast.

  Sets environment variables, which jax reads when it is imported. Variables
  that the user has set are kept.
  """
  directory = cache_directory() / "jax"
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(directory))
  # Small programs too: about a hundred of them take seconds together.
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
  # XLA's own caches contain absolute paths and are useful on GPUs only.
  os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")


def use_cores() -> None:
  """Makes JAX use each core as a device, so that views render in parallel.

  Sets an environment variable, as `set_cache` does.
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


def _home() -> pathlib.Path:
  try:
    return pathlib.Path.home()
  except RuntimeError:  # a user without a home folder, as in some containers
    import tempfile

    return pathlib.Path(tempfile.gettempdir())
