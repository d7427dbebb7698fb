"""Serves a database until standard input is closed: python -m ... LOCATION."""

import sys

from dr3d.database import shared
from dr3d.server import live_state, preview
from support.service import serving


def main(location):
  preview.with_white_light = lambda pipeline: pipeline
  live_state._POLL_SECONDS = 0.1
  with serving(shared.find_directory(location)) as (http, _):
    print(http.base_url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
  main(sys.argv[1])
