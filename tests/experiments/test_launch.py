"""A sweep is launched, killed, resumed, and gathered into a table."""

import json
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import launch

_TRAINING = """
import json, pathlib, sys
options = dict(part.lstrip("-").split("=", 1) for part in sys.argv[1:])
workdir = pathlib.Path(options["workdir"])
workdir.mkdir(parents=True, exist_ok=True)
log = workdir / "log.jsonl"
done = len(log.read_text().splitlines()) if log.exists() else 0
for step in range(done + 1, 5):
  row = {"step": step, "task_loss": float(options["rate"]) / step, "seconds": 1}
  with log.open("a") as file:
    file.write(json.dumps(row) + "\\n")
  if step == 2 and options["seed"] == "1" and not done:
    sys.exit("killed")
(workdir / "pipeline").mkdir(exist_ok=True)
"""


@pytest.fixture
def runs(tmp_path):
  """Four trainings that a script stands for; one is killed at first."""
  flags.FLAGS(["test"])
  with flagsaver.flagsaver(workdir=str(tmp_path), config="c", data="d"):
    made = launch.make_runs(["rate=0.5,2", "seed=0,1"], tmp_path)
    yield [
      launch.Run(
        run.values,
        run.workdir,
        (
          *(sys.executable, "-c", _TRAINING, f"--workdir={run.workdir}"),
          *(f"--{field}={value}" for field, value in run.values),
        ),
      )
      for run in made
    ]


def check(runs, launch_them):
  failed = launch_them(runs)
  assert [text.partition(" ")[0] for text in failed] == [
    "rate=0.5_seed=1",
    "rate=2_seed=1",
  ]
  rows = [
    line.split()
    for line in launch.make_table(runs, ["task_loss", "none"]).splitlines()
  ]
  assert rows[0] == [
    *("rate", "seed", "steps", "task_loss", "none", "s", "complete")
  ]
  assert rows[1:] == [
    ["0.5", "0", "4", "0.125", "-", "4.0", "yes"],
    ["0.5", "1", "2", "0.25", "-", "2.0", "no"],
    ["2", "0", "4", "0.5", "-", "4.0", "yes"],
    ["2", "1", "2", "1", "-", "2.0", "no"],
  ]
  assert not launch_them(runs)
  for run in runs:
    log = (run.workdir / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2, 3, 4]
    assert launch.is_complete(run)


def test_killed_jobs_of_submitit_are_resumed(runs):
  pytest.importorskip("submitit")
  check(runs, launch.launch_submitit)


def test_killed_jobs_of_xmanager_are_resumed(runs, monkeypatch, tmp_path):
  pytest.importorskip("xmanager")
  monkeypatch.setenv("HOME", str(tmp_path))
  check(runs, launch.launch_xmanager)


def test_command_trains_with_the_values_of_the_run(tmp_path):
  flags.FLAGS(["test"])
  with flagsaver.flagsaver(config="a/c.py", data="parts", index_csv=None):
    (run,) = launch.make_runs(["optimizer.steps=7"], tmp_path)
  assert run.workdir == tmp_path / "optimizer.steps=7"
  assert run.command[1:3] == ("-m", "experiments.train")
  assert run.command[-2:] == (
    f"--workdir={run.workdir}",
    "--config.optimizer.steps=7",
  )


@pytest.mark.parametrize("sweep", [["steps"], ["steps="], ["a=1", "a=2"]])
def test_sweep_without_values_or_with_a_field_twice_raises(sweep, tmp_path):
  with pytest.raises(launch.app.UsageError, match="must be FIELD=VALUE"):
    launch.make_runs(sweep, tmp_path)
