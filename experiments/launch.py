r"""Launches a sweep of trainings, and gathers what they give into one table.

    python -m experiments.launch --config=experiments/configs/part.py \
      --data=parts --workdir=work/sweep \
      --sweep=optimizer.embed_rate=1e-3,3e-3 --sweep=seed=0,1

Each combination is a run of `experiments.train` in a folder of its own. The
same command resumes runs that were killed, and leaves complete ones. With
--table nothing is launched.

--on=local runs them here, and --on=slurm as jobs of Slurm, both by submitit: a
job whose time ends, or that is preempted, is queued again and resumes.
--on=xmanager runs them by XManager's local executor. XManager's other
executors, Vertex and Kubernetes, build a container image by Docker, which was
not at hand, so they are not offered.
"""

import contextlib
import dataclasses
import itertools
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from dr3d.evaluation.report.table import format_table

EXECUTORS = ("local", "slurm", "xmanager")
ROOT = pathlib.Path(__file__).resolve().parents[1]

CONFIG = flags.DEFINE_string("config", None, "Configuration of the runs.")
DATA = flags.DEFINE_string("data", None, "Folder of mesh files.")
INDEX = flags.DEFINE_string("index_csv", None, "See `experiments.train`.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the sweep; made.")
SWEEP = flags.DEFINE_multi_string(
  "sweep", [], "FIELD=VALUE,... of the configuration; several are combined."
)
ON = flags.DEFINE_enum("on", "local", EXECUTORS, "What runs them.")
TOGETHER = flags.DEFINE_integer("together", 1, "Runs at a time, here.")
MINUTES = flags.DEFINE_integer("minutes", 240, "Time of a job, on Slurm.")
GPUS = flags.DEFINE_integer("gpus", 1, "GPUs of a job, on Slurm.")
PARTITION = flags.DEFINE_string("partition", None, "Of Slurm.")
TABLE = flags.DEFINE_bool("table", False, "Launches nothing.")
COLUMNS = flags.DEFINE_list(
  "columns", ["task_loss", "separation_loss"], "Columns of the logs to show."
)


@dataclasses.dataclass(frozen=True)
class Run:
  """One training.

  Attributes:
    values: fields of the configuration and their values, as they are typed.
    workdir: of the training.
    command: that trains, or resumes.
  """

  values: tuple[tuple[str, str], ...]
  workdir: pathlib.Path
  command: tuple[str, ...]


class Training:
  """A job of submitit; it resumes if it is queued again."""

  def __init__(self, command: Sequence[str]):
    self.command = list(command)

  def __call__(self) -> None:
    """Trains.

    Raises:
      CalledProcessError: the training fails.
    """
    subprocess.run(self.command, cwd=ROOT, check=True)

  def checkpoint(self) -> Any:
    """What Slurm queues when it ends a job early: the same command."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(Training(self.command))


def main(_) -> None:
  for name in ("config", "data", "workdir"):
    if flags.FLAGS[name].value is None:
      raise app.UsageError(f"--{name} is missing.")
  runs = make_runs(SWEEP.value, pathlib.Path(WORKDIR.value or "").absolute())
  failed: list[str] = []
  if not TABLE.value:
    launch = launch_xmanager if ON.value == "xmanager" else launch_submitit
    failed = launch(runs)
  print(make_table(runs, COLUMNS.value))
  for reason in failed:
    print(reason, file=sys.stderr)
  if failed:
    print("The same command resumes them.", file=sys.stderr)
    sys.exit(1)


def make_runs(sweep: Sequence[str], workdir: pathlib.Path) -> list[Run]:
  """Makes all combinations.

  Args:
    sweep: `FIELD=VALUE,...` each.
    workdir: of the sweep.

  Raises:
    UsageError: a text has no value, or a field occurs twice.
  """
  fields: dict[str, list[str]] = {}
  for text in sweep:
    field, _, values = text.partition("=")
    if not field or not values or field in fields:
      raise app.UsageError(
        f"--sweep={text} must be FIELD=VALUE,... and name each field once."
      )
    fields[field] = values.split(",")
  runs = []
  for chosen in itertools.product(*fields.values()):
    pairs = tuple(zip(fields, chosen, strict=True))
    name = "_".join(f"{field}={value}" for field, value in pairs) or "only"
    runs.append(_make_run(pairs, workdir / name.replace("/", "-")))
  return runs


def _make_run(
  values: tuple[tuple[str, str], ...], workdir: pathlib.Path
) -> Run:
  command = [sys.executable, "-m", "experiments.train"]
  command += [f"--config={pathlib.Path(CONFIG.value or '').absolute()}"]
  command += [f"--data={pathlib.Path(DATA.value or '').absolute()}"]
  if INDEX.value:
    command += [f"--index_csv={pathlib.Path(INDEX.value).absolute()}"]
  command += [f"--workdir={workdir}"]
  command += [f"--config.{field}={value}" for field, value in values]
  return Run(values, workdir, tuple(command))


def launch_submitit(runs: Sequence[Run]) -> list[str]:
  """Runs trainings as jobs, here or on Slurm; returns why some failed."""
  import submitit

  jobs = pathlib.Path(WORKDIR.value or "").absolute() / "jobs"
  executor = submitit.AutoExecutor(folder=jobs, cluster=ON.value)
  executor.update_parameters(timeout_min=MINUTES.value)
  if ON.value == "slurm":
    executor.update_parameters(
      slurm_array_parallelism=TOGETHER.value,
      slurm_partition=PARTITION.value,
      gpus_per_node=GPUS.value,
    )
    with executor.batch():
      waiting = [(run, executor.submit(Training(run.command))) for run in runs]
    return [text for pair in waiting for text in _wait(*pair)]
  failed: list[str] = []
  active: list[tuple[Run, Any]] = []
  for run in runs:
    if len(active) == TOGETHER.value:
      failed += _wait(*active.pop(0))
    active.append((run, executor.submit(Training(run.command))))
  for pair in active:
    failed += _wait(*pair)
  return failed


def _wait(run: Run, job: Any) -> list[str]:
  error = job.exception()
  if error is None:
    return []
  return [f"{run.workdir.name} ended early: see {job.paths.stderr}."]


def launch_xmanager(runs: Sequence[Run]) -> list[str]:
  """Runs trainings by XManager here; returns which are incomplete.

  XManager starts all jobs of an experiment at once, and ends all if one fails.
  So there are as many experiments as groups of --together runs.
  """
  from xmanager import xm, xm_local

  for start in range(0, len(runs), TOGETHER.value):
    with (
      contextlib.suppress(RuntimeError),  # a run failed; the table tells which
      xm_local.create_experiment(experiment_title="dr3d") as experiment,
    ):
      for run in runs[start : start + TOGETHER.value]:
        (executable,) = experiment.package(
          [
            xm.binary(
              path=sys.executable,
              executor_spec=xm_local.Local.Spec(),
              args=xm.SequentialArgs.from_collection(list(run.command[1:])),
            )
          ]
        )
        experiment.add(xm.Job(executable=executable, executor=xm_local.Local()))
  return [
    f"{run.workdir.name} ended early: see the output above."
    for run in runs
    if not is_complete(run)
  ]


def is_complete(run: Run) -> bool:
  """Whether a training has made its pipeline."""
  return (run.workdir / "pipeline").is_dir()


def make_table(runs: Sequence[Run], columns: Sequence[str]) -> str:
  """What the runs have given so far: the last row of each log."""
  from dr3d.training.log import read_rows

  cells = []
  for run in runs:
    rows = list(read_rows(run.workdir / "log.jsonl"))
    last = rows[-1] if rows else {}
    shown = [last.get(column) for column in columns]
    cells.append(
      (
        *(value for _, value in run.values),
        f"{last.get('step', 0)}",
        *("-" if value is None else f"{value:.4g}" for value in shown),
        f"{sum(row['seconds'] for row in rows):.1f}",
        "yes" if is_complete(run) else "no",
      )
    )
  names = [field for field, _ in runs[0].values]
  header = (*names, "steps", *columns, "s", "complete")
  right = range(len(names), len(header) - 1)
  return format_table(header, cells, right=list(right))


if __name__ == "__main__":
  app.run(main)
