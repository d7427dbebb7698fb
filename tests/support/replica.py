"""Services of one database, each a process with a cache of its own."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

from dr3d.client import Client
from support.service import TOKEN

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 60  # until a change must be seen


@contextlib.contextmanager
def replica(uri, cache, *, engine="auto"):
  """Yields a process that serves, and its address."""
  process = subprocess.Popen(
    [sys.executable, "-m", "support.service_program", uri, engine],
    env={
      **os.environ,
      "DR3D_CACHE": str(cache),
      "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    },
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    yield process, process.stdout.readline().strip()
  finally:
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(60)
    process.kill()
    process.wait()
    process.stdout.close()


def connect(url, **options):
  return Client(url, token=TOKEN, **options)


def wait_for(condition):
  end = time.monotonic() + SECONDS
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.05)
