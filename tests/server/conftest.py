"""Fixtures of the tests of the service."""

import pytest

from dr3d.server import live_state, preview


@pytest.fixture(scope="module", autouse=True)
def _fast_service():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(preview, "with_white_light", lambda pipeline: pipeline)
    patch.setattr(live_state, "_POLL_SECONDS", 0.1)
    yield
