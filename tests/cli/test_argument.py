"""Wrong arguments fail with one sentence, before jax is imported.

A subprocess lists the large modules that it has imported, because a time limit
would depend on the machine.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import dr3d
from dr3d import cli
from dr3d.cli import evaluate, pipeline_flag, query_output

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(dr3d.__file__).parents[1]
HEAVY = ("jax", "flax", "scipy", "trimesh", "scann", "orbax", "PIL", "fastapi")
SCRIPT = f"""
import json, sys
from dr3d import cli
statuses = [cli.main(argv) for argv in json.loads(sys.argv[1])]
heavy = [name for name in {HEAVY} if name in sys.modules]
print(json.dumps([statuses, heavy]))
"""

BAD_USAGE = [
  ["index", "--db=new", "--models=folder", "--jobs=-1"],
  ["train", "--models=folder", "--workdir=new", "--steps=2", "--explore=3"],
  ["train", "--models=folder", "--workdir=new", "--init=pretrained",
   "--views=7"],
  ["train", "--models=folder", "--workdir=new", "--init=pretrained",
   "--encoder=lite0"],
  ["train", "--models=folder", "--workdir=new", "--encoder=lite0",
   "--size=80"],
  ["query", "good.stl", "--db=d", "--json", "--csv"],
  ["query", "good.stl", "--db=d", "--server=http://x"],
  ["query", "good.stl", "--server=x"],
  ["query", "good.stl", "--server=http://x", "--pairs=a.png"],
  ["query", "good.stl", "--server=http://x", "--refine"],
  ["query", "good.stl", "--db=d", "--pairs=a.txt"],
  ["query", "good.stl", "--db=d", "--refine=0"],
  ["query", "good.stl", "--db=d", "--tolerance=2"],
  ["query", "good.stl", "--db=d", "--where=steel"],
  ["query", "good.stl", "--db=d", "--min-score=2"],
  ["add", "good.stl", "--db=d", "--set=steel"],
  ["duplicates", "--db=d", "--json", "--csv"],
  ["duplicates", "--db=d", "--html=a.txt"],
  ["duplicates", "--db=d", "--weakest=alike"],
  ["render", "good.stl", "--out=a.stl"],
  ["evaluate", "--db=d", "--threshold=2"],
  ["evaluate", "--db=d", "--report=a.txt"],
  ["evaluate", "--db=d", "--rotation=x"],
  ["serve", "--db=d", "--host=0.0.0.0"],
  ["serve", "--db=d", "--port=70000"],
]  # fmt: skip
"""Wrong flags and contradictory combinations: status 2."""

BAD_PATHS = [
  ["quickstart", "--out=good.stl"],
  ["train", "--models=none", "--workdir=new"],
  ["train", "--models=good.stl", "--workdir=new"],
  ["train", "--models=folder", "--workdir=good.stl"],
  ["train", "--models=folder", "--workdir=new", "--labels=none.csv"],
  ["train", "--models=folder", "--workdir=new", "--init=none"],
  ["index", "--db=new", "--models=none"],
  ["index", "--db=good.stl", "--models=folder"],
  ["index", "--db=new", "--models=folder", "--labels=none.csv"],
  ["index", "--db=new", "--models=folder", "--pipeline=none"],
  ["add", "good.stl", "--db=none"],
  ["remove", "model", "--db=none"],
  ["info", "--db=none"],
  ["rebuild", "--db=none"],
  ["query", "good.stl", "--db=none"],
  ["query", "good.stl", "--db=good.stl"],
  ["duplicates", "--db=none"],
  ["render", "none.stl", "--out=a.png"],
  ["render", "good.stl", "--out=a.png", "--pipeline=none"],
  ["evaluate", "--db=none"],
  ["serve", "--db=none"],
  ["serve", "--db=none", "--token-file=none"],
]
"""Missing files, folders and databases: status 1."""


def run_all(argvs, cwd):
  """Runs commands in one process: statuses, imported modules, error lines."""
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT, json.dumps(argvs)],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  statuses, heavy = json.loads(done.stdout.splitlines()[-1])
  return statuses, heavy, done.stderr.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("work")
  (path / "good.stl").write_text("solid")
  (path / "folder").mkdir()
  return path


@pytest.mark.parametrize(("argvs", "status"), [(BAD_USAGE, 2), (BAD_PATHS, 1)])
def test_wrong_arguments_fail_with_one_line_before_large_imports(
  folder, argvs, status
):
  statuses, heavy, lines = run_all(argvs, folder)
  assert statuses == [status] * len(argvs)
  assert heavy == []
  assert len(lines) == len(argvs)
  for line in lines:
    assert line.startswith("dr3d: ")
    assert line.endswith(".")
  if status == 2:
    for argv, line in zip(argvs, lines, strict=True):
      assert line.startswith(f"dr3d: {argv[0]}: ")
      assert line.endswith(f"; see dr3d {argv[0]} --help.")


def test_missing_files_fail_before_jax_is_imported(folder, tmp_path):
  from support.standin import MeasuringPipeline

  from dr3d.database.writer import Database

  (tmp_path / "models").mkdir()
  (tmp_path / "models" / "a.obj").write_text(
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 2\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"
  )
  database = Database.create(
    tmp_path / "db", MeasuringPipeline(), load_pipeline=MeasuringPipeline.load
  )
  database.update(tmp_path / "models")
  commands = [
    ["query", "none.stl", f"--db={tmp_path / 'db'}"],
    ["add", "none.stl", f"--db={tmp_path / 'db'}"],
    ["evaluate", "--queries=none", f"--db={tmp_path / 'db'}"],
    ["evaluate", "--method=none", f"--db={tmp_path / 'db'}"],
    ["rebuild", "--pipeline=none", f"--db={tmp_path / 'db'}"],
  ]
  statuses, heavy, lines = run_all(commands, folder)
  assert statuses == [1] * len(commands)
  assert "jax" not in heavy
  assert "trimesh" not in heavy
  # A slow machine adds lines of progress.
  lines = [line for line in lines if line.startswith("dr3d: ")]
  assert len(lines) == len(commands)
  assert lines[:2] == ["dr3d: none.stl does not exist."] * 2


def test_help_imports_no_large_module(folder):
  argvs = [["--help"], ["--version"]]
  argvs += [[name, "--help"] for name in cli.SUBCOMMANDS]
  statuses, heavy, lines = run_all(argvs, folder)
  assert statuses == [0] * len(argvs)
  assert heavy == []
  assert lines == []


def test_names_copied_to_avoid_imports_equal_the_originals():
  from dr3d.evaluation import method
  from dr3d.retrieval import pipeline

  assert evaluate.METHODS == method.NAMES
  assert pipeline_flag.CONFIG_FILE == pipeline.CONFIG_FILE
  assert pipeline_flag.find_pipeline("pretrained") == pipeline.PRETRAINED
  assert pipeline_flag.find_pipeline("full") == pipeline.PRETRAINED_FULL


@pytest.mark.parametrize(
  ("probability", "text"),
  [(0.5, "50%"), (0.994, "99.4%"), (0.9999, "> 99.9%"), (1.0, "> 99.9%"),
   (0.0, "< 0.1%")],
)  # fmt: skip
def test_probability_is_never_printed_as_certain(probability, text):
  assert query_output.format_probability(probability) == text
