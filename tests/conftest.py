"""Fixtures that several test modules ask for by name."""

import jax
import pytest


@pytest.fixture
def _x64():
  before = jax.config.jax_enable_x64
  jax.config.update("jax_enable_x64", True)
  yield
  jax.config.update("jax_enable_x64", before)
