r"""Sends damaged files of every format to a running service.

    python -m experiments.fuzz_service --count=500

The files are those of `fuzz_reader`: valid files of each format family, with
bytes or structure changed. Each is sent as a query over loopback, several at a
time. After each family an honest query must get the answer that it got before
the first one, /api/health must answer, and the service must be the process that
was started. Prints one row a family:

    200         files that were read and answered
    4xx         files that were rejected with a reason
    503         files whose process ended three times, or that found none free
    memory      resident memory of the service, MiB, after the family
    readers     memory of the processes that read files, MiB, the largest seen
    lost        processes that ended, or files that met a limit, so far

The exit status is 1 if the service answered anything with 500, gave another
answer, or ended, or if its memory grew by half.
"""

import asyncio
import collections
import logging
import pathlib
import re
import sys
import tempfile
import time

import httpx
import trimesh
from absl import app, flags

from dr3d.evaluation.report.table import format_table
from experiments.attack_service import (
  Target,
  make_database,
  measure_readers,
  start,
  wait_until_ready,
)
from experiments.corpus import FAMILIES, write_corpus
from experiments.process import measure_memory

COUNT = flags.DEFINE_integer("count", 500, "Files of each family.")
SEED = flags.DEFINE_integer("fuzz_seed", 0, "Seed of the mutations.")
FAMILY = flags.DEFINE_enum("family", None, sorted(FAMILIES), "Only this one.")
CLIENTS = flags.DEFINE_integer("clients", 4, "Files that are sent at once.")

MAX_GROWTH = 1.5  # of the memory of the service
TIMEOUT = 5  # seconds to read a file, so that the run ends; serve has 30


def main(argv: list[str]) -> None:
  del argv
  logging.getLogger("httpx").setLevel(logging.WARNING)
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    make_database(root)
    with start(root, "--rate=0", f"--timeout={TIMEOUT}") as target:
      is_right = asyncio.run(run(root, target))
  sys.exit(not is_right)


async def run(root: pathlib.Path, target: Target) -> bool:
  """Sends all files; returns whether the service withstood them."""
  await wait_until_ready(target)
  rows, is_right = [], True
  async with httpx.AsyncClient(base_url=target.url, timeout=300) as client:
    for _ in range(20):  # so that all processes and buffers are there
      before = await ask_honestly(client)
    level, _ = measure_memory(target.process.pid)
    for family in [FAMILY.value] if FAMILY.value else sorted(FAMILIES):
      begin = time.perf_counter()
      folder = root / family
      folder.mkdir()
      paths = list(
        write_corpus(folder, count=COUNT.value, seed=SEED.value, family=family)
      )
      status, readers = await send_all(client, target, paths)
      memory, _ = measure_memory(target.process.pid)
      is_same = await ask_honestly(client) == before
      is_alive = (await client.get("/api/health")).status_code == 200
      is_alive &= target.process.poll() is None
      is_right &= is_same and is_alive and not status["500"]
      is_right &= memory <= MAX_GROWTH * level
      rejected = sum(n for code, n in status.items() if code[0] == "4")
      other = {
        code: n
        for code, n in status.items()
        if code not in ("200", "503") and code[0] != "4"
      }
      row = (
        family,
        str(len(paths)),
        str(status["200"]),
        str(rejected),
        str(status["503"]),
        str(other or ""),
        f"{memory:.0f}",
        f"{readers:.0f}",
        f"{await count_lost(client):.0f}",
        "the same" if is_same else "ANOTHER",
        f"{time.perf_counter() - begin:.0f}",
      )
      print(*row, sep=" | ", flush=True)
      rows.append(row)
  header = (
    *("family", "files", "200", "4xx", "503", "other", "memory", "readers"),
    *("lost", "honest answer", "seconds"),
  )
  print(format_table(header, rows, right=(1, 2, 3, 4, 6, 7, 8, 10)))
  print(f"memory of the service before: {level:.0f} MiB")
  return is_right


async def ask_honestly(client: httpx.AsyncClient) -> dict:
  """Answer to a good file."""
  data = trimesh.creation.cylinder(3, 20, sections=20).export(file_type="stl")
  response = await client.post(
    "/api/query", files={"file": ("honest.stl", data)}
  )
  return response.raise_for_status().json()


async def send_all(
  client: httpx.AsyncClient, target: Target, paths: list[pathlib.Path]
) -> tuple[collections.Counter[str], float]:
  """Sends files; returns the statuses and the largest memory of readers."""
  status: collections.Counter[str] = collections.Counter()
  todo = iter(enumerate(paths))
  largest = 0.0

  async def send() -> None:
    nonlocal largest
    for number, path in todo:
      response = await client.post(
        "/api/query",
        # Every tenth is shown too, and none is registered to models.
        params={"verify": 0, "evidence": number % 10 == 0},
        files={"file": (path.name, path.read_bytes())},
      )
      status[str(response.status_code)] += 1
      if response.status_code >= 500 and response.status_code != 503:
        print(f"{path.name}: {response.text}", flush=True)
      if number % 20 == 0:
        largest = max(largest, measure_readers(target.process.pid))

  await asyncio.gather(*(send() for _ in range(CLIENTS.value)))
  return status, largest


async def count_lost(client: httpx.AsyncClient) -> float:
  """Processes that the service lost so far."""
  text = (await client.get("/metrics")).text
  found = re.search(r"^dr3d_workers_lost_total (\S+)$", text, re.MULTILINE)
  assert found is not None
  return float(found[1])


if __name__ == "__main__":
  app.run(main)
