r"""Measures a service under load: latency, throughput, overload, memory.

Starts `dr3d serve` on a database and queries it with files over loopback. Each
of several clients sends its next query when the last one is answered:

    python -m experiments.load_service --db=quickstart/parts.db \
      --files='quickstart/scanned/*/*.stl'

Prints three tables: latency percentiles and queries a second for each number
of clients; responses under ten times as many clients as may be active; and the
memory of the service and of its child processes over many requests.
"""

import asyncio
import collections
import glob
import logging
import pathlib
import re
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
from absl import app, flags

from dr3d.evaluation.report.table import format_table
from dr3d.registration.relation import VERIFIED_COUNT
from experiments.process import measure_cpu, measure_memory

_DB = flags.DEFINE_string("db", None, "Folder of the database.", required=True)
_FILES = flags.DEFINE_string(
  "files", None, "Glob pattern of query files.", required=True
)
_CLIENTS = flags.DEFINE_list(
  "clients", ["1", "8", "32"], "Numbers of concurrent clients."
)
_REQUESTS = flags.DEFINE_integer(
  "requests", 200, "Queries for each number of clients."
)
_MEMORY = flags.DEFINE_integer(
  "memory_requests", 2000, "Queries of the memory measurement."
)
_OVERLOAD = flags.DEFINE_float(
  "overload_seconds", 20, "Duration of the overload."
)
_VERIFY = flags.DEFINE_integer(
  "verify", VERIFIED_COUNT, "Matches registered to a query."
)

_QUEUE = 32  # queries that may be active at once


def main(argv):
  del argv
  logging.getLogger("httpx").setLevel(logging.WARNING)
  files = [
    (pathlib.Path(name).name, pathlib.Path(name).read_bytes())
    for name in sorted(glob.glob(_FILES.value))
  ]
  print(f"{len(files)} files, verify={_VERIFY.value}")
  process, url = start(["--rate=0", f"--queue={_QUEUE}"])
  try:
    asyncio.run(wait_until_ready(url))
    compiled = asyncio.run(read_metric(url, "dr3d_compiled_programs_total"))
    asyncio.run(
      send_queries(url, files, clients=2, count=20)
    )  # starts children
    show_latency(url, files, process.pid)
    show_overload(url, files)
    show_memory(url, files, process.pid)
    more = asyncio.run(read_metric(url, "dr3d_compiled_programs_total"))
    print(f"programs compiled while serving: {more - compiled:.0f}")
  finally:
    process.send_signal(signal.SIGTERM)
    print(f"exit status {process.wait(120)}")


def start(arguments: list[str]) -> tuple[subprocess.Popen, str]:
  """Starts the service; returns its process and its address."""
  process = subprocess.Popen(
    [
      *(sys.executable, "-m", "dr3d", "serve"),
      f"--db={_DB.value}",
      "--port=0",
      *arguments,
    ],
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout is not None
  line = process.stdout.readline()
  found = re.search(r"http://[^;\s]+", line)
  if found is None:
    raise SystemExit(f"dr3d serve did not start: {line}")
  return process, found.group()


async def wait_until_ready(url: str) -> None:
  start = time.monotonic()
  async with httpx.AsyncClient() as client:
    while (await client.get(f"{url}/api/ready")).status_code != 200:
      await asyncio.sleep(0.2)
  print(f"ready after {time.monotonic() - start:.1f} s")


async def read_metric(url: str, name: str) -> float:
  async with httpx.AsyncClient() as client:
    text = (await client.get(f"{url}/metrics")).text
  found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
  assert found is not None
  return float(found.group(1))


async def send_queries(
  url: str,
  files: list[tuple[str, bytes]],
  *,
  clients: int,
  count: int | None = None,
  seconds: float = float("inf"),
) -> tuple[list[float], collections.Counter, float]:
  """Sends a number of queries, or sends queries for some seconds.

  Returns:
    Seconds of each response with status 200, responses by status, and the
    duration.
  """
  latency: list[float] = []
  status: collections.Counter = collections.Counter()
  numbers = iter(range(count or 1 << 40))
  start = time.perf_counter()

  async def one(client_number: int) -> None:
    # One address may not have all places, so each client has its own.
    high, low = divmod(client_number, 250)
    transport = httpx.AsyncHTTPTransport(
      local_address=f"127.0.{high}.{low + 1}"
    )
    async with httpx.AsyncClient(timeout=120, transport=transport) as client:
      await repeat(client)

  async def repeat(client: httpx.AsyncClient) -> None:
    for number in numbers:
      if time.perf_counter() - start > seconds:
        return
      begun = time.perf_counter()
      try:
        response = await client.post(
          f"{url}/api/query?verify={_VERIFY.value}",
          files={"file": files[number % len(files)]},
        )
      except httpx.HTTPError as error:
        status[type(error).__name__] += 1
        continue
      status[response.status_code] += 1
      if response.status_code == 200:
        latency.append(time.perf_counter() - begun)
      elif count is None:  # a rejected client retries after a pause
        await asyncio.sleep(0.2)

  await asyncio.gather(*map(one, range(clients)))
  return latency, status, time.perf_counter() - start


def show_latency(url: str, files: list[tuple[str, bytes]], pid: int) -> None:
  rows = []
  first = 0.0
  for clients in map(int, _CLIENTS.value):
    before = measure_cpu(pid)
    latency, status, seconds = asyncio.run(
      send_queries(url, files, clients=clients, count=_REQUESTS.value)
    )
    rate = len(latency) / seconds
    first = first or rate
    p50, p95 = np.percentile(latency, [50, 95])
    rows.append(
      (
        str(clients),
        f"{p50:.3f}",
        f"{p95:.3f}",
        f"{rate:.1f}",
        f"{rate / first:.2f}",
        f"{(measure_cpu(pid) - before) / len(latency):.3f}",
        str(dict(status)),
      )
    )
  header = (
    "clients",
    "p50, s",
    "p95, s",
    "queries/s",
    "ratio",
    "CPU s/query",
    "responses",
  )
  print(format_table(header, rows, right=(0, 1, 2, 3, 4, 5)))


def show_overload(url: str, files: list[tuple[str, bytes]]) -> None:
  latency, status, seconds = asyncio.run(
    send_queries(url, files, clients=10 * _QUEUE, seconds=_OVERLOAD.value)
  )
  print(
    f"{10 * _QUEUE} clients for {seconds:.0f} s, {_QUEUE} may be active: "
    f"{dict(status)}, {len(latency) / seconds:.1f} responses a second, p95 "
    f"{np.percentile(latency, 95):.2f} s"
  )


def show_memory(url: str, files: list[tuple[str, bytes]], pid: int) -> None:
  rows: list[tuple[str, str, str]] = []
  for done in range(0, _MEMORY.value + 1, max(1, _MEMORY.value // 8)):
    if rows:
      asyncio.run(
        send_queries(url, files, clients=8, count=done - int(rows[-1][0]))
      )
    own, children = measure_memory(pid)
    rows.append((str(done), f"{own:.0f}", f"{children:.0f}"))
  header = ("requests", "service, MiB", "children, MiB")
  print(format_table(header, rows, right=(0, 1, 2)))


if __name__ == "__main__":
  app.run(main)
