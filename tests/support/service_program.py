"""Serves a database until standard input is closed.

python -m support.service_program LOCATION [ENGINE]
"""

import sys

from dr3d.database import shared
from dr3d.index import model_index, scann
from dr3d.search import candidate
from dr3d.server import live_state, preview
from support.service import serving


def main(location, engine="auto"):
  preview.with_white_light = lambda pipeline: pipeline
  live_state._POLL_SECONDS = 0.1
  if engine != "auto":  # is asked, though the database is small
    candidate._DIRECT = 0
    model_index.MIN_MODELS = 8
    model_index._MODELS_PER_MATCH = 2
    model_index._DENSE_MODELS = 1.0
    scann._FETCH_MIN = 8
    scann._OVERFETCH = 2
  directory = shared.find_directory(location)
  with serving(directory, engine=engine) as (http, _):
    print(http.base_url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
  main(*sys.argv[1:])
