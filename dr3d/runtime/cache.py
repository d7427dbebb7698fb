"""The cache of compiled programs, so that the next process starts fast."""

import os
import pathlib
import sys

OFF = ("off", "0")
"""Values of `DR3D_CACHE` that leave JAX as it is."""


def cache_directory() -> pathlib.Path:
  """Returns the cache folder: `$DR3D_CACHE`, or dr3d in the user's cache."""
  own = os.environ.get("DR3D_CACHE")
  if own and own not in OFF:
    return pathlib.Path(own)
  base = os.environ.get("XDG_CACHE_HOME")
  return (pathlib.Path(base) if base else _home() / ".cache") / "dr3d"


def set_cache() -> None:
  """Makes JAX cache compiled programs on the disk.

  Sets environment variables, which JAX reads when it is imported, or JAX itself
  if it was imported before. What the user has set is kept. If `DR3D_CACHE` is
  one of `OFF`, nothing is set.
  """
  if os.environ.get("DR3D_CACHE") in OFF:
    return
  values: dict[str, str | float] = {
    "jax_compilation_cache_dir": str(cache_directory() / "jax"),
    # Small programs too: about a hundred of them take seconds together.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    # XLA's own caches contain absolute paths and are useful on GPUs only.
    "jax_persistent_cache_enable_xla_caches": "none",
  }
  jax = sys.modules.get("jax")
  if jax is None or not hasattr(jax, "config"):
    for name, value in values.items():
      os.environ.setdefault(name.upper(), str(value))
  elif jax.config.jax_compilation_cache_dir is None:
    for name, value in values.items():
      jax.config.update(name, value)


def _home() -> pathlib.Path:
  try:
    return pathlib.Path.home()
  except RuntimeError:  # a user without a home folder, as in some containers
    import tempfile

    return pathlib.Path(tempfile.gettempdir())
