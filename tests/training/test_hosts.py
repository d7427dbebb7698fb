"""Two processes of two devices each train as one process does."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from support.system import read_log

pytestmark = pytest.mark.skipif(
  os.name == "nt", reason="there is no kill -9, and no gloo"
)

_ROOT = pathlib.Path(__file__).parents[2]

_PREPARE = """
  import pathlib, sys
  import jax
  port, count, index, workdir = sys.argv[1:]
  jax.config.update("jax_num_cpu_devices", 4 // int(count))
  from dr3d.runtime import host
  if int(count) > 1:
    host.connect(
      f"localhost:{port}", count=int(count), index=int(index), heartbeat=10
    )
  assert len(jax.devices()) == 4
"""

# A mean over the batch, of which each device has its share.
_TOY = """
  import functools, time
  import jax.numpy as jnp
  import numpy as np
  from jax.sharding import PartitionSpec
  from dr3d.runtime.device import AXIS, share_devices
  from dr3d.training.loop import Hooks, LoopConfig, run_steps

  devices = share_devices(8, hosts="all")
  stored = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
  read = set()

  class Rows:
    shape = stored.shape
    def __getitem__(self, rows):
      read.update(rows.tolist())
      return stored[rows]

  def gradient(weights, batch):
    error = batch - weights
    return jax.lax.pmean(error.mean(0), AXIS), jax.lax.pmean(
      (error ** 2).mean(), AXIS
    )

  @jax.jit
  def step(state, batch, key):
    slope, loss = jax.shard_map(
      gradient, mesh=devices, out_specs=PartitionSpec(),
      in_specs=(PartitionSpec(), PartitionSpec(AXIS)), check_vma=False,
    )(state["weights"], batch)
    noise = 0.01 * jax.random.normal(key, (3,))
    return {"weights": state["weights"] + 0.3 * slope + noise}, {"loss": loss}

  def slow(state, number):
    time.sleep(PAUSE)
    return state

  state = run_steps(
    {"weights": jnp.zeros(3)},
    step,
    lambda number: host.take_rows(
      Rows(), np.arange(number, number + 8), devices
    ),
    config=LoopConfig(steps=30, checkpoint_every=5),
    workdir=pathlib.Path(workdir),
    devices=devices,
    hooks=Hooks(after_step=slow),
    progress=False,
  )
  host.run_first(
    lambda: np.save(f"{workdir}/product.npy", np.asarray(state["weights"])),
    "save",
  )
  print(sorted(read))
"""

_TRAIN = """
  sys.path.insert(0, "tests")
  import dataclasses
  from support import run
  config = dataclasses.replace(
    run.CONFIG, optimizer=dataclasses.replace(run.CONFIG.optimizer, steps=3)
  )
  pipeline = run.call(workdir, config)
  print(pipeline.views.quaternion.shape)
"""


_STARTED = []


@pytest.fixture(autouse=True)
def _end_processes():
  yield
  while _STARTED:
    process = _STARTED.pop()
    if process.poll() is None:
      process.kill()
      process.communicate()


def start(body, workdir, *, count=1, pause=0.0):
  """Starts the processes of a run."""
  source = "\n".join(map(textwrap.dedent, (_PREPARE, body)))
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = str(free.getsockname()[1])
  workdir.mkdir(exist_ok=True)
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, "-c", source.replace("PAUSE", str(pause))),
        *(port, str(count), str(index), str(workdir)),
      ],
      cwd=_ROOT,
      env={**os.environ, "PYTHONPATH": str(_ROOT), "JAX_PLATFORMS": "cpu"},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in range(count)
  ]
  _STARTED.extend(processes)
  return processes


def compare_logs(one, two, *, rel):
  for a, b in zip(read_log(one), read_log(two), strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_allclose(
        a[name], b[name], rtol=rel, atol=1e-5, err_msg=name
      )


def finish(processes):
  outputs = [process.communicate(timeout=900) for process in processes]
  for process, (_, errors) in zip(processes, outputs, strict=True):
    assert not process.returncode, errors[-2000:]
  return [output.splitlines()[-1] for output, _ in outputs]


def test_hosts_read_their_share_and_give_the_numbers_of_one(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  finish(start(_TOY, one))
  read = finish(start(_TOY, two, count=2))
  compare_logs(one, two, rel=1e-6)
  np.testing.assert_allclose(
    np.load(two / "product.npy"), np.load(one / "product.npy"), rtol=1e-5
  )
  first, second = map(json.loads, read)
  # Rows n to n + 7 of each step: four for each host, so their ends differ.
  assert first == list(range(0, 33))
  assert second == list(range(4, 37))


def test_lost_host_ends_the_run_which_resumes_from_its_checkpoint(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  whole = start(_TOY, one)
  first, second = start(_TOY, two, count=2, pause=0.2)
  deadline = time.monotonic() + 120
  while not (two / "checkpoints" / "10").is_dir():
    assert time.monotonic() < deadline
    assert first.poll() is None, first.communicate()[1][-2000:]
    time.sleep(0.05)
  second.send_signal(signal.SIGKILL)
  second.communicate()
  first.communicate(timeout=60)  # the heartbeat, or the broken connection
  assert first.returncode != 0
  rows = read_log(two)
  assert 10 <= len(rows) < 30
  finish(whole)
  finish(start(_TOY, two, count=2))
  compare_logs(one, two, rel=1e-6)
  np.testing.assert_allclose(
    np.load(two / "product.npy"), np.load(one / "product.npy"), rtol=1e-5
  )


def test_training_of_retrieval_on_two_hosts_is_that_of_one(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  single = finish(start(_TRAIN, one))
  assert single == finish(start(_TRAIN, two, count=2))[:1]
  compare_logs(one, two, rel=2e-3)
  assert (two / "pipeline" / "pipeline.json").read_text() == (
    one / "pipeline" / "pipeline.json"
  ).read_text()
