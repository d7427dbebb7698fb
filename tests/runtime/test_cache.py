import os
import pathlib
import subprocess
import sys

import pytest

from dr3d.runtime import cache

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(cache.__file__).parents[2]
NAMES = (
  "JAX_COMPILATION_CACHE_DIR",
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
  "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES",
)


@pytest.fixture(autouse=True)
def before_jax(monkeypatch, tmp_path):
  """A process that has not imported jax; its variables are restored."""
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  monkeypatch.delitem(sys.modules, "jax", raising=False)
  for name in NAMES:
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)


def test_cache_directory_follows_the_environment(monkeypatch, tmp_path):
  cache.set_cache()
  directory = os.environ["JAX_COMPILATION_CACHE_DIR"]
  assert directory == str(tmp_path / "cache" / "jax")
  monkeypatch.delenv("DR3D_CACHE")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  assert cache.cache_directory() == tmp_path / "dr3d"
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.setenv("HOME", "/home/somebody")
  path = pathlib.Path("/home/somebody/.cache/dr3d")
  assert cache.cache_directory() == path


def test_cache_set_by_the_user_is_kept(monkeypatch):
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/mine")
  cache.set_cache()
  assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/mine"


@pytest.mark.parametrize("value", cache.OFF)
def test_cache_that_is_off_sets_nothing(monkeypatch, value):
  monkeypatch.setenv("DR3D_CACHE", value)
  cache.set_cache()
  assert not any(name in os.environ for name in NAMES)


@pytest.mark.parametrize(
  ("first", "value", "expected"),
  [
    ("dr3d", "my", "my/jax 0.0"),
    ("jax", "my", "my/jax 0.0"),
    ("dr3d", "off", "None 1.0"),
  ],
)
def test_import_of_the_library_turns_on_the_cache(first, value, expected):
  code = (
    f"import {first}, dr3d, jax; print(jax.config.jax_compilation_cache_dir,"
    " jax.config.jax_persistent_cache_min_compile_time_secs)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    env={**os.environ, "DR3D_CACHE": value},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr
