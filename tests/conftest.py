"""Fixtures and profiles that several test modules ask for by name."""

import gc
import os
import pathlib

# Most programs run a few times here, and compiling them is most of the work:
# without the compiler's optimizations the tests take a quarter less of time.
# Processes that tests start inherit it; "0" tests what a user runs.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest
from hypothesis import HealthCheck, settings

# What takes longest starts first, so that no worker ends long after the other.
_LONG = (
  "experiments/test_notebooks.py",
  "retrieval/test_train.py",
  "training/test_hosts.py",
  "retrieval/test_step.py",
  "render/test_renderer.py",
  "server/test_two_services.py",
  "retrieval/test_recipe.py",
  "render/raster/test_outline.py",
  "server/test_browser.py",
  "experiments/test_inverse.py",
  "database/test_ray.py",
  "shape/test_picture.py",
  "experiments/test_benchmark.py",
  "runtime/test_device.py",
)

_COMMON = {
  "deadline": None,  # the machine may have other work
  "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}
settings.register_profile(
  "few", max_examples=30, stateful_step_count=15, derandomize=True, **_COMMON
)
settings.register_profile(
  "thorough", max_examples=1000, stateful_step_count=40, **_COMMON
)
settings.load_profile("few")


def pytest_collection_modifyitems(items):
  root = pathlib.Path(__file__).parent
  rank = {root / name: i for i, name in enumerate(_LONG)}
  items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture
def optimized():
  """Compiles as for a user, for a test whose programs run many times."""
  before = jax.config.read("jax_disable_most_optimizations")
  jax.config.update("jax_disable_most_optimizations", False)
  yield
  jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
  """Drops what modules have compiled before memory maps run out.

  Each compiled program holds some; Linux grants a process 65 530, and the
  compiler dies where it gets no more. One module makes 12 000 at the most.
  """
  yield
  maps = pathlib.Path("/proc/self/maps")  # of Linux
  if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
    jax.clear_caches()
    gc.collect()


def _use_x64():
  """Computes in double precision while a test, or a module, runs."""
  before = jax.config.jax_enable_x64
  jax.config.update("jax_enable_x64", True)
  yield
  jax.config.update("jax_enable_x64", before)


x64 = pytest.fixture(_use_x64, name="x64")
x64_module = pytest.fixture(_use_x64, name="x64_module", scope="module")


@pytest.fixture(scope="module")
def postgresql():
  """A PostgreSQL server; the tests that need it are skipped without one."""
  pytest.importorskip("psycopg")
  from experiments import postgres_server

  if postgres_server.find_programs() is None:
    pytest.skip("PostgreSQL is not installed")
  with postgres_server.running() as found:
    yield found
