r"""Attacks a service on loopback, and measures what an honest client notices.

    python -m experiments.attack_service
    python -m experiments.attack_service --source=/path/to/former/version

Each attack is bounded in seconds and bytes, comes from one other address of
loopback, and is one that a former version did not withstand. While it runs, an
honest client sends a query every quarter of a second, and a probe asks
/api/health. Prints one row for each attack:

    memory   largest resident memory of the service over that before
    readers  memory of the processes that read files, MiB: largest before, and
             during; it is bounded by --memory for each of them, not by --strict
    p95      seconds of the honest client's queries, before and during
    health   share of the probes that were answered within two seconds
    outcome  what the attack achieved

Needs Linux. With --strict, the exit status is 1 if memory exceeds 1.5 times its
level before, p95 three times that before, or a probe was not answered.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import numpy as np
import trimesh
from absl import app, flags

from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.evaluation.report.table import format_table
from experiments.process import (
  list_children,
  list_descendants,
  measure_memory,
)
from experiments.tiny import make_tiny_pipeline

SOURCE = flags.DEFINE_string(
  "source", str(pathlib.Path(__file__).parents[1]), "Folder with the package."
)
SECONDS = flags.DEFINE_float("seconds", 12, "Duration of each attack.")
ONLY = flags.DEFINE_list("only", [], "Names of attacks; all if empty.")
STRICT = flags.DEFINE_bool("strict", False, "Fail if a bound is exceeded.")

ATTACKER = "127.0.0.66"
TOKEN = "a token for this experiment alone"
MODELS = 60
MAX_MEMORY, MAX_SLOWDOWN = 1.5, 3.0  # bounds of --strict
_PAUSE = 0.25  # seconds between two queries of the honest client
_PROBE_SECONDS = 2.0
_BOUNDARY = "Content-Type: multipart/form-data; boundary=x"
_PART = (
  b"--x\r\nContent-Disposition: form-data; name=file; filename=a.stl\r\n\r\n"
)
_MEBIBYTE = bytes(1 << 20)


@dataclasses.dataclass
class Target:
  """A running service.

  Attributes:
    process: the service.
    port: it listens on, at 127.0.0.1.
    directory: of the database.
    log: file with its stderr.
    quiet: seconds of half of the honest client's queries before the attack.
    is_ending: whether it was told to stop, so that it need not answer.
  """

  process: subprocess.Popen
  port: int
  directory: pathlib.Path
  log: pathlib.Path
  quiet: float = 0.0
  is_ending: bool = False

  @property
  def url(self) -> str:
    """Its address."""
    return f"http://127.0.0.1:{self.port}"


@dataclasses.dataclass
class Notes:
  """What the honest client and the probe have seen.

  Attributes:
    seconds: of each query that was answered.
    status: of all queries.
    probes: whether each probe was answered in time.
    memory: of the service, MiB, sampled.
    readers: of its children, likewise.
    accepted_unverified: answers accepted without a registration that say
      nothing of it.
  """

  seconds: list[float] = dataclasses.field(default_factory=list)
  status: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  probes: list[bool] = dataclasses.field(default_factory=list)
  memory: list[float] = dataclasses.field(default_factory=list)
  readers: list[float] = dataclasses.field(default_factory=list)
  accepted_unverified: int = 0

  @property
  def p95(self) -> float:
    """95th percentile of the seconds; infinite if nothing was answered."""
    return float(np.percentile(self.seconds, 95)) if self.seconds else np.inf


Attack = Callable[[Target], Awaitable[str]]


def main(argv: list[str]) -> None:
  del argv
  logging.getLogger("httpx").setLevel(logging.WARNING)
  rows, is_within = [], True
  with tempfile.TemporaryDirectory() as temporary:
    root = pathlib.Path(temporary)
    make_database(root)
    for name, attack in ATTACKS.items():
      if ONLY.value and name not in ONLY.value:
        continue
      row, passed = asyncio.run(run(root, name, attack))
      is_within &= passed
      print(*row, sep=" | ", flush=True)
      rows.append(row)
  header = ("attack", "memory", "readers", "p95", "ratio", "health", "outcome")
  print(format_table(header, rows, right=(1, 2, 4)))
  sys.exit(STRICT.value and not is_within)


def make_database(root: pathlib.Path) -> None:
  """Indexes simple bodies with a pipeline that is fast."""
  folder = root / "models"
  for number in range(MODELS):
    body = trimesh.creation.box((3 + number, 5, 7))
    if number % 2:
      body = trimesh.creation.cylinder(3, 5 + number, sections=24)
    path = folder / ("box", "rod")[number % 2] / f"{number}.stl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body.export(file_type="stl"))
  database = Database.create(root / "db", make_tiny_pipeline())
  database.update(folder, reader=FileReader(jobs=0))
  (root / "token").write_text(TOKEN)


async def run(
  root: pathlib.Path, name: str, attack: Attack
) -> tuple[tuple[str, ...], bool]:
  """Runs one attack on a service of its own; returns a row of the table."""
  with start(root) as target:
    await wait_until_ready(target)
    await watch(target, asyncio.sleep(4))  # starts all readers
    before, _ = await watch(target, asyncio.sleep(8))
    target.quiet = float(np.median(before.seconds or [0.0]))
    notes, outcome = await watch(
      target, asyncio.wait_for(attack_for_a_while(attack, target), 60)
    )
    if notes.accepted_unverified:
      outcome += f"; {notes.accepted_unverified} accepted without a check"
  level = np.median(before.memory)
  growth = max(notes.memory) / level
  ratio = notes.p95 / before.p95
  health = np.mean(notes.probes) if notes.probes else 0.0
  passed = bool(growth <= MAX_MEMORY and ratio <= MAX_SLOWDOWN and health == 1)
  status = ", ".join(f"{n} x {s}" for s, n in sorted(notes.status.items()))
  return (
    name,
    f"{growth:.2f}",
    f"{max(before.readers):.0f} -> {max(notes.readers):.0f}",
    f"{before.p95:.2f} -> {notes.p95:.2f}",
    f"{ratio:.1f}",
    f"{health:.0%}",
    f"{outcome}; honest: {status}",
  ), passed


async def attack_for_a_while(attack: Attack, target: Target) -> str:
  """Attacks; then waits, so that the honest client has time for queries."""
  outcome, _ = await asyncio.gather(
    attack(target), asyncio.sleep(SECONDS.value)
  )
  return outcome


@contextlib.contextmanager
def start(root: pathlib.Path, *arguments: str) -> Iterator[Target]:
  """Starts the service of --source."""
  command = [sys.executable, "-m", "dr3d", "serve", f"--db={root / 'db'}"]
  log = root / "log"
  with log.open("wb") as file:
    process = subprocess.Popen(
      [*command, "--port=0", *arguments],
      stdout=subprocess.PIPE,
      stderr=file,
      text=True,
      cwd=root,
      env={**os.environ, "PYTHONPATH": SOURCE.value, "DR3D_TOKEN": TOKEN},
    )
  assert process.stdout is not None
  found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
  if found is None:
    raise SystemExit(f"dr3d serve did not start: {log.read_text()}")
  try:
    yield Target(process, int(found[1]), root / "db", log)
  finally:
    process.send_signal(signal.SIGTERM)
    try:
      process.wait(90)
    except subprocess.TimeoutExpired:
      process.kill()


async def wait_until_ready(target: Target) -> None:
  async with httpx.AsyncClient() as client:
    while (await client.get(f"{target.url}/api/ready")).status_code != 200:
      await asyncio.sleep(0.2)


async def watch(target: Target, work: Awaitable) -> tuple[Notes, str]:
  """Does work while an honest client, a probe and a meter run."""
  notes = Notes()
  tasks = [
    asyncio.create_task(watcher(target, notes))
    for watcher in (query_honestly, probe, measure)
  ]
  outcome = "did not end"
  with contextlib.suppress(TimeoutError):
    outcome = str(await work)
  for task in tasks:
    task.cancel()
  await asyncio.gather(*tasks, return_exceptions=True)
  return notes, outcome


async def query_honestly(target: Target, notes: Notes) -> None:
  """Sends one query after the other, with pauses, until the service stops."""
  data = trimesh.creation.cylinder(3, 20, sections=20).export(file_type="stl")
  async with httpx.AsyncClient(timeout=60) as client:
    while not target.is_ending:
      start = time.perf_counter()
      try:
        response = await client.post(
          f"{target.url}/api/query", files={"file": ("honest.stl", data)}
        )
      except httpx.HTTPError as error:
        notes.status[type(error).__name__] += 1
      except asyncio.CancelledError:
        # A query that is still unanswered counts with the time that it took.
        if time.perf_counter() - start > 1:
          notes.seconds.append(time.perf_counter() - start)
        raise
      else:
        notes.status[str(response.status_code)] += 1
        notes.seconds.append(time.perf_counter() - start)
        if response.status_code == 200:
          notes.accepted_unverified += is_silently_worse(response.json())
      await asyncio.sleep(_PAUSE)


def is_silently_worse(answer: dict) -> bool:
  """Whether an answer is accepted though no match was registered."""
  return answer["prediction"]["accepted"] and all(
    match["distance"] is None for match in answer["matches"]
  )


async def probe(target: Target, notes: Notes) -> None:
  """Asks on new connections whether the service lives."""
  while not target.is_ending:
    try:
      async with httpx.AsyncClient(timeout=_PROBE_SECONDS) as client:
        response = await client.get(f"{target.url}/api/health")
      notes.probes.append(response.status_code == 200)
    except httpx.HTTPError:
      notes.probes.append(False)
    await asyncio.sleep(0.2)


async def measure(target: Target, notes: Notes) -> None:
  while True:
    with contextlib.suppress(OSError):
      own, _ = measure_memory(target.process.pid)
      notes.memory.append(own)
      notes.readers.append(measure_readers(target.process.pid))
    await asyncio.sleep(0.1)


def measure_readers(pid: int) -> float:
  """Memory of all processes below a process, MiB, each its own share (PSS)."""
  total = 0.0
  for child in list_descendants(pid):
    with contextlib.suppress(OSError):
      text = pathlib.Path(f"/proc/{child}/smaps_rollup").read_text()
      found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
      total += int(found[1]) / 1024 if found else 0.0
  return total


@contextlib.asynccontextmanager
async def connect(
  target: Target,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
  """Yields a connection from the attacker's address."""
  reader, writer = await asyncio.open_connection(
    "127.0.0.1", target.port, local_addr=(ATTACKER, 0)
  )
  try:
    yield reader, writer
  finally:
    writer.close()


def head(method: str, path: str, *lines: str) -> bytes:
  text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines])
  return f"{text}\r\n\r\n".encode()


async def read_status(reader: asyncio.StreamReader) -> str:
  line = await reader.readline()
  return line.split()[1].decode() if line.startswith(b"HTTP/") else "closed"


def describe(counts: collections.Counter) -> str:
  return ", ".join(f"{n} x {what}" for what, n in sorted(counts.items()))


async def flood(
  target: Target, one: Callable[[], Awaitable[str]], *, count: int
) -> collections.Counter:
  """Repeats something in several tasks until the time is over."""
  end = time.monotonic() + SECONDS.value
  found: collections.Counter = collections.Counter()

  async def repeat() -> None:
    while time.monotonic() < end:
      try:
        found[await asyncio.wait_for(one(), SECONDS.value)] += 1
      except (OSError, httpx.HTTPError, TimeoutError) as error:
        found[type(error).__name__] += 1
        await asyncio.sleep(0.05)

  await asyncio.gather(*(repeat() for _ in range(count)))
  return found


async def send_bodies(target: Target) -> str:
  """PATCH of 1 GiB without a token, as a form."""
  sent = 0

  async def one() -> str:
    nonlocal sent
    async with connect(target) as (reader, writer):
      writer.write(
        head("PATCH", "/api/models/x", _BOUNDARY, "Transfer-Encoding: chunked")
      )
      while sent < 1 << 30:
        writer.write(b"100000\r\n" + _MEBIBYTE + b"\r\n")
        await writer.drain()
        sent += 1 << 20
      writer.write(b"0\r\n\r\n")
      return await read_status(reader)

  found = await flood(target, one, count=4)
  return f"{sent >> 20} MiB sent: {describe(found)}"


async def hold_idle(target: Target) -> str:
  """1 010 connections that send nothing."""
  async with contextlib.AsyncExitStack() as stack:
    opened = 0
    for _ in range(1010):
      with contextlib.suppress(OSError):
        await stack.enter_async_context(connect(target))
        opened += 1
    await asyncio.sleep(SECONDS.value)
  return f"{opened} connections"


async def upload_slowly(target: Target) -> str:
  """Up to 60 uploads of one byte a second, more each half second."""
  length = "Content-Length: 100000"
  start = head("POST", "/api/query", _BOUNDARY, length) + _PART
  async with contextlib.AsyncExitStack() as stack:
    readers: list[asyncio.StreamReader] = []
    writers: list[asyncio.StreamWriter] = []
    for wave in range(2 * round(SECONDS.value)):
      for _ in range(40 if not wave else 4 if len(writers) < 60 else 0):
        with contextlib.suppress(OSError):
          reader, writer = await stack.enter_async_context(connect(target))
          writer.write(start)
          readers.append(reader)
          writers.append(writer)
      for writer in writers:
        writer.write(b"-")
      await asyncio.sleep(0.5)
    held = 0
    for reader in readers:
      try:
        await asyncio.wait_for(read_status(reader), 0.01)
      except TimeoutError:
        held += 1
      except OSError:
        continue
  return f"{held} of {len(readers)} uploads still accepted"


def make_bomb() -> bytes:
  """A DAE of some kilobytes whose nodes are doubled 30 times."""
  body = trimesh.creation.box((1, 1, 1)).export(file_type="dae").decode()
  geometry = re.search(r'<geometry id="([^"]+)"', body)
  assert geometry is not None
  nodes = [
    f'<node id="n0"><instance_geometry url="#{geometry[1]}"/></node>',
    *(
      f'<node id="n{i}"><instance_node url="#n{i - 1}"/>'
      f'<instance_node url="#n{i - 1}"/></node>'
      for i in range(1, 31)
    ),
  ]
  library = f"<library_nodes>{''.join(nodes)}</library_nodes>"
  body = body.replace(
    "<library_visual_scenes>", library + "<library_visual_scenes>"
  )
  return re.sub(
    r"(<visual_scene[^>]*>).*?(</visual_scene>)",
    r'\1<node id="root"><instance_node url="#n30"/></node>\2',
    body,
    flags=re.DOTALL,
  ).encode()


async def send_bombs(target: Target) -> str:
  """Four at a time of a DAE whose nodes are doubled 30 times."""
  return await send_files(target, make_bomb(), "bomb.dae", count=4)


async def send_nested(target: Target) -> str:
  """GlTF of 200 000 nested brackets."""
  data = b'{"asset":{"version":"2.0"},"buffers":' + b"[" * 200_000
  return await send_files(target, data, "nested.gltf", count=4)


async def send_files(
  target: Target, data: bytes, name: str, *, count: int
) -> str:
  transport = httpx.AsyncHTTPTransport(local_address=ATTACKER)
  timeout = SECONDS.value
  async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:

    async def one() -> str:
      response = await client.post(
        f"{target.url}/api/query", files={"file": (name, data)}
      )
      return str(response.status_code)

    return describe(await flood(target, one, count=count))


async def send_parts(target: Target) -> str:
  """Forms of a million parts."""
  body = b"--x\r\n\r\n\r\n" * 1_000_000 + b"--x--\r\n"

  async def one() -> str:
    async with connect(target) as (reader, writer):
      length = f"Content-Length: {len(body)}"
      writer.write(head("POST", "/api/query", _BOUNDARY, length))
      status = asyncio.create_task(read_status(reader))
      with contextlib.suppress(ConnectionError):
        for start in range(0, len(body), 1 << 16):
          writer.write(body[start : start + (1 << 16)])
          await writer.drain()
          if status.done():
            break
      return await status

  return describe(await flood(target, one, count=2))


async def kill_processes(target: Target) -> str:
  """All processes that read and register are killed again and again.

  Each three seconds, in which a machine that is not busy answers six queries;
  a busy one gets as many in between.
  """
  kills, end = 0, time.monotonic() + SECONDS.value
  period = max(3.0, 6 * target.quiet)
  while time.monotonic() < end:
    for child in list_descendants(target.process.pid):
      with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
        kills += 1
    await asyncio.sleep(period)
  return f"{kills} kills, each {period:.1f} s"


async def kill_readers(target: Target) -> str:
  """The process that reads a file is killed with its parent, as by a crash.

  The others are left, as a system that runs out of memory would leave them.
  """
  kills, end = 0, time.monotonic() + SECONDS.value
  period = max(3.0, 6 * target.quiet)
  while time.monotonic() < end:
    until = time.monotonic() + period
    busy: list[int] = []
    while not busy and time.monotonic() < until:
      await asyncio.sleep(0.01)
      children = map(int, list_children(target.process.pid))
      busy = [child for child in children if list_descendants(child)]
    for child in busy[:1]:
      for process in [*list_descendants(child), child]:
        with contextlib.suppress(OSError):
          os.kill(process, signal.SIGKILL)
          kills += 1
    await asyncio.sleep(max(0.0, until - time.monotonic()))
  return f"{kills} kills, each {period:.1f} s"


async def probe_files(target: Target) -> str:
  """Uploads that refer to existing and to missing files."""
  messages: dict[str, str] = {}
  transport = httpx.AsyncHTTPTransport(local_address=ATTACKER)
  async with httpx.AsyncClient(transport=transport, timeout=60) as client:
    for path in ("/etc/hostname", "/etc/missing", "/dev/stdin"):
      tree = {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": f"../../../../../..{path}", "byteLength": 3}],
        "images": 5,
      }
      data = json.dumps(tree).encode()
      response = await client.post(
        f"{target.url}/api/query", files={"file": ("a.gltf", data)}
      )
      messages[path] = response.text.replace(path, "")
  leaks = any("/tmp" in text for text in messages.values())
  return (
    f"{len(set(messages.values()))} different messages for 3 paths,"
    f" {'with' if leaks else 'without'} folders of the service"
  )


async def guess_tokens(target: Target) -> str:
  """Wrong tokens."""
  transport = httpx.AsyncHTTPTransport(local_address=ATTACKER)
  async with httpx.AsyncClient(transport=transport, timeout=60) as client:

    async def one() -> str:
      headers = {"Authorization": f"Bearer guess {time.monotonic()}"}
      response = await client.delete(
        f"{target.url}/api/models/x", headers=headers
      )
      return str(response.status_code)

    found = await flood(target, one, count=8)
  lines = target.log.read_text().count("token")
  audit = target.directory / "audit.jsonl"
  entries = audit.read_text().count("rejected") if audit.exists() else 0
  return f"{describe(found)}; {lines} lines logged, {entries} audited"


async def list_models(target: Target) -> str:
  """Listings, information and metrics, 32 at a time."""
  paths = ("api/models?limit=1000", "api/info", "metrics", "api/duplicates")
  transport = httpx.AsyncHTTPTransport(local_address=ATTACKER)
  numbers = iter(range(1 << 40))
  async with httpx.AsyncClient(transport=transport, timeout=60) as client:

    async def one() -> str:
      path = paths[next(numbers) % len(paths)]
      response = await client.get(f"{target.url}/{path}")
      return str(response.status_code)

    return describe(await flood(target, one, count=32))


async def read_environment(target: Target) -> str:
  """The token in the environment of processes that read files."""
  children = list_descendants(target.process.pid)
  with_token = 0
  for child in children:
    with contextlib.suppress(OSError):
      text = pathlib.Path(f"/proc/{child}/environ").read_bytes()
      with_token += TOKEN.encode() in text
  await asyncio.sleep(2)
  return f"{with_token} of {len(children)} processes have the token"


async def delay_end(target: Target) -> str:
  """One slow upload while the service is told to stop."""
  async with connect(target) as (_, writer):
    length = "Content-Length: 9999"
    writer.write(head("POST", "/api/query", _BOUNDARY, length) + _PART)
    await asyncio.sleep(2)
    target.is_ending = True
    await asyncio.sleep(1)  # for the last probe and query
    start = time.monotonic()
    target.process.send_signal(signal.SIGTERM)
    while target.process.poll() is None:
      if not writer.is_closing():
        writer.write(b"-")
      if time.monotonic() - start > 3 * SECONDS.value:
        return f"still runs after {3 * SECONDS.value:.0f} s"
      await asyncio.sleep(0.2)
  return f"ended after {time.monotonic() - start:.1f} s"


ATTACKS: dict[str, Attack] = {
  "bodies": send_bodies,
  "idle": hold_idle,
  "slow uploads": upload_slowly,
  "bombs": send_bombs,
  "nested": send_nested,
  "parts": send_parts,
  "kills": kill_processes,
  "kills of one": kill_readers,
  "files": probe_files,
  "guesses": guess_tokens,
  "listings": list_models,
  "environment": read_environment,
  "end": delay_end,
}


if __name__ == "__main__":
  app.run(main)
