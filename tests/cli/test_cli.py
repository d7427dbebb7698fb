import dataclasses
import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

import dr3d
from dr3d import cli
from dr3d.cli import console, quickstart
from dr3d.cli.help import format_help
from dr3d.cli.parsing import parse
from dr3d.cli.subcommand import Flag, Subcommand, UsageError
from dr3d.runtime import progress as runtime_progress

ROOT = pathlib.Path(dr3d.__file__).parents[1]
TINY = dr3d.PipelineConfig(
  view_count=2,
  face_budget=256,
  render=dr3d.RenderConfig(size=32),
  embed=dr3d.EncoderConfig(feature_size=16, widths=(8, 16)),
)
SOLID = "flat/five.obj"  # the query; each further shape would compile again
REQUIRED = {
  "quickstart": ["--out=o"],
  "train": ["--models=m", "--workdir=w"],
  "index": ["--db=d", "--models=m"],
  "add": ["--db=d", "file.stl"],
  "remove": ["--db=d", "model"],
  "label": ["--db=d", "--label=x", "model"],
  "info": ["--db=d"],
  "rebuild": ["--db=d"],
  "query": ["--db=d", "file.stl"],
  "locate": ["q.jpg", "m.jpg", "--out=o"],
  "duplicates": ["--db=d"],
  "render": ["file.stl", "--out=o.png"],
  "evaluate": ["--db=d"],
}


def write_solid(path, *, sides, height):
  """A pyramid over a regular polygon, as OBJ."""
  path.parent.mkdir(parents=True, exist_ok=True)
  turn = np.arange(sides) * 2 * np.pi / sides
  vertices = [(np.cos(t), np.sin(t), 0) for t in turn] + [(0, 0, height)]
  faces = [(i + 1, (i + 1) % sides + 1, sides + 1) for i in range(sides)]
  faces += [(1, i + 2, i + 1) for i in range(1, sides - 1)]
  lines = ["v {} {} {}".format(*v) for v in vertices]
  path.write_text("\n".join(lines + ["f {} {} {}".format(*f) for f in faces]))
  return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models")
  for name, sides, height in (
    ("flat/four.obj", 4, 0.2),
    ("flat/five.obj", 5, 0.2),
    ("high/four.obj", 4, 4.0),
    ("high/five.obj", 5, 4.0),
  ):
    write_solid(folder / name, sides=sides, height=height)
  return folder


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
  directory = tmp_path_factory.mktemp("work") / "pipeline"
  dr3d.Pipeline.create(TINY).save(directory)
  return directory


@pytest.fixture(scope="module")
def database(tmp_path_factory, models, pipeline):
  directory = tmp_path_factory.mktemp("db") / "parts.db"
  made = dr3d.Database.create(directory, dr3d.Pipeline.load(pipeline))
  made.update(models)
  return directory


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
  """Restores the environment variables that a command sets.

  A slow machine must not add lines of progress to what is compared.
  """
  monkeypatch.setattr(runtime_progress, "LINE_SECONDS", 3_600.0)
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  for name in (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES",
    "TF_CPP_MIN_LOG_LEVEL",
  ):
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)


@pytest.fixture
def run(capsys):
  """Runs the command; returns exit status, stdout and stderr."""

  def call(*argv):
    status = cli.main([str(argument) for argument in argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err

  return call


def run_process(*argv):
  environment = {**os.environ, "PYTHONPATH": str(ROOT)}
  return subprocess.run(
    [sys.executable, "-m", "dr3d", *map(str, argv)],
    capture_output=True,
    text=True,
    timeout=300,
    env=environment,
  )


# Help and usage.


def test_help_lists_all_subcommands_and_quickstart(run):
  for argv in (["--help"], ["-h"], ["help"]):
    status, out, err = run(*argv)
    assert (status, err) == (0, "")
    assert all(f"\n  {subcommand} " in out for subcommand in cli.SUBCOMMANDS)
    assert "dr3d quickstart --out=" in out


@pytest.mark.parametrize("subcommand", cli.SUBCOMMANDS)
def test_help_of_subcommand_has_usage_and_example(run, subcommand):
  status, out, err = run(subcommand, "--help")
  assert (status, err) == (0, "")
  assert out.startswith(f"dr3d {subcommand} ")
  assert f"Example:\n  dr3d {subcommand} " in out
  assert max(map(len, out.splitlines())) < 80
  assert run("help", subcommand)[1] == out
  # help takes precedence over wrong flags
  assert run(subcommand, "--nonsense", "-h") == (0, out, "")


def test_help_of_subcommand_has_only_its_own_flags(run):
  assert "--workdir" not in run("query", "--help")[1]
  assert "--json" not in run("train", "--help")[1]


def test_defaults_of_train_flags_equal_those_of_the_library():
  from dr3d.cli.train import SUBCOMMAND, make_config

  values, _ = parse(SUBCOMMAND, REQUIRED["train"])
  assert make_config(values) == dr3d.TrainConfig()


def test_no_arguments_print_help_and_fail(run):
  status, out, err = run()
  assert (status, out) == (2, "")
  assert "Usage: dr3d SUBCOMMAND" in err


def test_version_flag_prints_the_version(run):
  assert run("--version") == (0, f"dr3d {dr3d.__version__}\n", "")


def test_unknown_subcommand_fails_with_a_suggestion(run):
  status, out, err = run("qurey", "--db=x")
  assert (status, out) == (2, "")
  assert err.count("\n") == 1
  assert "unknown subcommand 'qurey' (did you mean query?)" in err


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["query", "a.stl"], "query: give either --db=DB or --server=URL"),
    (["query", "--db=d"], "query: FILE is missing"),
    (
      ["query", "--db=d", "--kk=3", "a"],
      "unknown flag --kk (did you mean --k?)",
    ),
    (["query", "--db=d", "--k=0", "a"], "--k=0: must be an integer, at"),
    (["query", "--db=d", "--k=1.5", "a"], "--k=1.5: must be an integer"),
    (["query", "--db=d", "--k=many", "a"], "--k=many: must be an integer"),
    (["query", "--db=", "a"], "--db=: must not be empty"),
    (["query", "a", "--db"], "Missing value for flag --db"),
    (["query", "--db=d", "--json=perhaps", "a"], "--json=perhaps"),
    (["index", "--models=m"], "index: --db=DB is missing"),
    (["index", "--db=d"], "index: --models=DIR is missing"),
    (["index", "--db=d", "--models=m", "x"], "accepts flags only, not 'x'"),
    (["train", "--models=m"], "train: --workdir=DIR is missing"),
    (["train", *REQUIRED["train"], "--size=50"], "a multiple of 16, at least"),
    (["train", *REQUIRED["train"], "--views=1"], "at least 2"),
    (
      ["train", *REQUIRED["train"], "--freeze=legs"],
      "must be one of viewpoint",
    ),
    (
      ["train", *REQUIRED["train"], "--pose=lying"],
      "must be one of principal, file",
    ),
    (["render", "--out=a.png"], "render: FILE is missing"),
    (["render", "--out=a.png", "a", "b"], "accepts 1 FILE, got 2"),
    (["render", "a.stl"], "render: --out=FILE.png is missing"),
    (
      ["render", "a.stl", "--out=a.stl"],
      "must end in one of .jpeg, .jpg, .png",
    ),
    (["quickstart"], "quickstart: --out=DIR is missing"),
  ],
)
def test_wrong_usage_fails_with_one_sentence_and_status_two(run, argv, message):
  status, out, err = run(*argv)
  assert (status, out) == (2, "")
  assert message in err
  assert err.startswith("dr3d: ")
  assert err.endswith(f"see dr3d {argv[0]} --help.\n")
  assert err.count("\n") == 1


def collect(flags, files):
  del flags, files
  return 0


def test_flags_and_files_are_parsed_in_any_order():
  subcommand = Subcommand(
    "try", "s", "d", "e", (Flag("k", "h", "N", 1, "integer"),), collect, "F..."
  )
  for argv in (["a", "--k=3", "b"], ["--k", "3", "a", "b"], ["a", "b", "-k=3"]):
    values, files = parse(subcommand, argv)
    assert (values.k, files) == (3, ["a", "b"])
  values, files = parse(subcommand, ["--", "--k=3"])
  assert (values.k, files) == (1, ["--k=3"])


def test_two_parses_do_not_share_values():
  subcommand = Subcommand(
    "try", "s", "d", "e", (Flag("k", "h", "N", 1, "integer"),), collect
  )
  assert parse(subcommand, ["--k=3"])[0].k == 3
  assert parse(subcommand, [])[0].k == 1


def test_lists_numbers_and_switches_are_parsed():
  flags = (
    Flag("names", "h", "A,B", "", "names", choices=("a", "b")),
    Flag("share", "h", "X", 0.5, "number", minimum=0),
    Flag("on", "h", kind="switch"),
  )
  subcommand = Subcommand("try", "s", "d", "e", flags, collect)
  values, _ = parse(subcommand, ["--names=b, a", "--share=0.25", "--on"])
  assert (values.names, values.share, values.on) == (("b", "a"), 0.25, True)
  values, _ = parse(subcommand, ["--on", "--noon"])
  assert (values.names, values.on) == ((), False)
  for bad in ("--names=a,c", "--share=-1", "--share=nan"):
    with pytest.raises(UsageError, match="must be"):
      parse(subcommand, [bad])
  assert "Default: 0.5." in format_help(subcommand)
  assert (
    format_help(subcommand).count("Default:") == 2
  )  # of share and verbosity


# What goes wrong elsewhere.


@pytest.mark.parametrize(
  ("error", "status", "message"),
  [
    (dr3d.Dr3dError("x is wrong."), 1, "dr3d: x is wrong.\n"),
    (KeyboardInterrupt(), 130, ""),
    (OSError(28, "No space left", "out"), 1, "dr3d: out: No space left.\n"),
    (MemoryError(), 1, "dr3d: not enough memory.\n"),
    (KeyError("x"), 1, "unexpected KeyError: 'x'. This is a bug in dr3d"),
  ],
)
def test_every_exception_prints_one_line(
  monkeypatch, run, error, status, message
):
  def fail(argv):
    raise error

  monkeypatch.setattr(cli, "_run", fail)
  result = run("query")
  assert result[:2] == (status, "")
  assert message in result[2]
  assert result[2].count("\n") == bool(message)


# quickstart.


OUTCOME = types.SimpleNamespace(
  tally=types.SimpleNamespace(
    count=30, right=26, accepted=19, accepted_right=18,
    false_accepts=2, unknown=15,
    classes=7,
  ),
  database=pathlib.Path("my parts/parts.db"),
  picture=pathlib.Path("my parts/answers.png"),
  scan=pathlib.Path("my parts/scanned/nut/m3.stl"),
  seconds=41.2,
)  # fmt: skip


def test_quickstart_prints_its_outcome_and_the_next_commands(
  monkeypatch, run, tmp_path
):
  calls = []
  module = types.ModuleType("dr3d.quickstart")
  module.run = lambda directory, *, show: calls.append(directory) or OUTCOME
  monkeypatch.setitem(sys.modules, "dr3d.quickstart", module)
  monkeypatch.setattr(dr3d, "quickstart", module, raising=False)
  monkeypatch.setattr(sys, "argv", [".venv/bin/dr3d"])
  status, out, _ = run("quickstart", f"--out={tmp_path}")
  assert (status, calls) == (0, [tmp_path])
  assert "26 of 30" in out
  assert "out of 7 kinds" in out
  assert "for 19 scans dr3d says that it is sure, and 18 of these" in out
  assert "for 11 it asks you to look" in out
  assert "it was of 2 of 15" in out
  assert (
    "  .venv/bin/dr3d query --db='my parts/parts.db'"
    " 'my parts/scanned/nut/m3.stl'\n"
  ) in out


def test_quickstart_with_train_trains_in_the_given_folder(
  monkeypatch, run, tmp_path
):
  calls = []
  module = types.ModuleType("dr3d.quickstart_training")
  module.run = lambda directory, *, command: calls.append(directory)
  monkeypatch.setitem(sys.modules, "dr3d.quickstart_training", module)
  monkeypatch.setattr(dr3d, "quickstart_training", module, raising=False)
  assert run("quickstart", f"--out={tmp_path}", "--train") == (0, "", "")
  assert calls == [tmp_path]


@pytest.mark.parametrize(
  ("program", "expected"),
  [
    ("a b/bin/dr3d", "'a b/bin/dr3d'"),
    ("/src/dr3d/__main__.py", "/bin/py -m dr3d"),
    ("/on/path/dr3d", "dr3d"),
  ],
)
def test_command_is_printed_as_the_user_called_it(
  monkeypatch, program, expected
):
  found = {"dr3d": "/on/path/dr3d"}
  monkeypatch.setattr(quickstart.shutil, "which", found.get)
  assert quickstart.find_command(program, "/bin/py") == expected


# train.


@pytest.fixture
def trained(monkeypatch):
  """Replaces the training and records its arguments."""
  calls = []

  def train(meshes, labels, *, config, workdir, init):
    calls.append((meshes, labels, config, workdir, init))

  module = importlib.import_module("dr3d.retrieval.train")
  monkeypatch.setattr(module, "train", train)
  return calls


def test_train_passes_flags_and_prints_the_next_command(
  run, trained, models, tmp_path
):
  work = tmp_path / "my work"
  status, out, err = run(
    "train",
    f"--models={models}",
    f"--workdir={work}",
    "--steps=7",
    "--views=3",
    "--size=32",
    "--faces=100",
    "--pose=file",
    "--freeze=light,material",
    "--seed=5",
  )
  assert (status, err) == (0, "")
  ((meshes, labels, config, workdir, init),) = trained
  assert init is None
  assert labels == ("flat", "flat", "high", "high")
  assert [mesh.face_count for mesh in meshes] == [8, 6, 8, 6]
  assert workdir == str(work)
  assert config.seed == 5
  assert config.optimizer.steps == 7
  assert config.optimizer.trainable == ("viewpoint", "camera")
  assert config.pipeline.view_count == 3
  assert config.pipeline.render.size == 32
  assert config.pipeline.face_budget == 100
  assert config.pipeline.pose == "file"
  assert "4 models of 2 classes" in out
  assert f"dr3d index --db=parts.db --models={models} --pipeline='" in out


def test_train_with_init_keeps_the_configuration_of_the_pipeline(
  run, trained, models, pipeline, tmp_path
):
  flags = (f"--models={models}", f"--workdir={tmp_path / 'on'}")
  assert run("train", *flags, f"--init={pipeline}")[0] == 0
  assert trained[0][4].config == trained[0][2].pipeline
  assert trained[0][2].pipeline == dr3d.Pipeline.load(pipeline).config
  status, _, err = run("train", *flags, f"--init={pipeline}", "--views=77")
  assert status == 2
  assert "which --views=77 cannot change" in err


def test_train_with_explore_uses_the_models_objective(
  run, trained, models, tmp_path
):
  flags = (f"--models={models}", f"--workdir={tmp_path}", "--steps=7")
  assert run("train", *flags, "--explore=3")[0] == 0
  config = trained[0][2]
  assert (config.optimizer.explore, config.loss.objective) == (3, "models")
  status, _, err = run("train", *flags, "--explore=8")
  assert status == 2
  assert "--explore=8 is more than --steps=7" in err
  assert len(trained) == 1


def test_train_with_freeze_all_has_no_trainable_parts(
  run, trained, models, tmp_path
):
  run("train", f"--models={models}", f"--workdir={tmp_path}", "--freeze=all")
  assert trained[0][2].optimizer.trainable == ()


def test_train_lists_and_skips_unreadable_files(run, trained, tmp_path):
  write_solid(tmp_path / "models/a/good.obj", sides=4, height=1)
  (tmp_path / "models/a/bad.stl").write_text("solid nothing")
  labels = tmp_path / "labels.csv"
  labels.write_text("file,class\na/good.obj,tent\n")
  status, out, err = run(
    "train",
    f"--models={tmp_path / 'models'}",
    f"--labels={labels}",
    f"--workdir={tmp_path / 'work'}",
  )
  assert status == 0
  assert err.startswith("dr3d: skipped: a/bad.stl ")
  assert err.count("\n") == 1
  assert trained[0][1] == ("tent",)
  assert f"--labels={labels}" in out


def test_train_without_readable_files_fails(run, trained, tmp_path):
  (tmp_path / "bad.stl").write_text("solid nothing")
  status, out, err = run("train", f"--models={tmp_path}", "--workdir=w")
  assert (status, out, trained) == (1, "", [])
  assert "dr3d: none of 1 models can be read; the first: bad.stl" in err


def test_train_with_one_class_fails(run, tmp_path):
  write_solid(tmp_path / "models/a/one.obj", sides=4, height=1)
  status, _, err = run(
    "train", f"--models={tmp_path / 'models'}", f"--workdir={tmp_path / 'w'}"
  )
  assert status == 1
  assert "at least two classes" in err
  assert err.count("\n") == 1


def test_train_with_missing_folder_fails(run, tmp_path):
  status, _, err = run("train", f"--models={tmp_path / 'no'}", "--workdir=w")
  assert (status, err) == (
    1,
    f"dr3d: {tmp_path / 'no'} does not exist; give a folder of mesh files.\n",
  )


# index.


def test_index_creates_and_updates_a_database(run, models, pipeline, tmp_path):
  db = tmp_path / "parts.db"
  # the folder of the training run stands for its pipeline
  status, out, err = run(
    "index", f"--db={db}", f"--models={models}", f"--pipeline={pipeline.parent}"
  )
  assert (status, err) == (0, "")
  assert out == (
    f"{db}: 4 models to search; 4 new, 0 changed, 0 unchanged, 0 missing,"
    " 0 failed.\n"
    "Unit assumed for files that state none: mm for 4.\n"
  )
  status, out, _ = run("index", f"--db={db}", f"--models={models}")
  assert status == 0
  assert "0 new, 0 changed, 4 unchanged" in out


def test_index_fails_only_if_no_model_can_be_searched(
  run, models, pipeline, tmp_path
):
  db, folder = tmp_path / "db", tmp_path / "models"
  folder.mkdir()
  (folder / "bad.stl").write_text("solid nothing")
  flags = (f"--db={db}", f"--models={folder}", f"--pipeline={pipeline}")
  status, out, err = run("index", *flags)
  assert status == 1
  assert "0 models to search" in out
  assert err.startswith("dr3d: failed: bad.stl ")
  shutil.copy(models / SOLID, folder)
  status, out, err = run("index", *flags)
  assert status == 0
  assert "1 models to search; 1 new" in out
  assert "1 failed" in out
  assert "bad.stl" in err


def test_index_tells_files_of_other_formats(run, models, pipeline, tmp_path):
  folder = tmp_path / "models"
  shutil.copytree(models, folder)
  for name in ("a.sldprt", "b.fbx", "c.fbx", "d.png"):
    (folder / name).write_text("x")
  flags = (f"--db={tmp_path / 'db'}", f"--models={folder}")
  status, out, _ = run("index", *flags, f"--pipeline={pipeline}")
  assert status == 0
  line = "3 files of 2 other formats were not read: 2 .fbx, 1 .sldprt"
  assert line in out.splitlines()[-1]
  status, out, _ = run("index", *flags, "--json")
  result = json.loads(out)
  assert status == 0
  assert result["other_files"] == {"fbx": 2, "sldprt": 1}
  assert (result["searchable"], result["unchanged"]) == (4, 4)
  assert result["failures"] == []


def test_index_uses_the_pretrained_pipeline_by_default(run, models, tmp_path):
  db = tmp_path / "db"
  status, out, _ = run("index", f"--db={db}", f"--models={models}")
  assert status == 0
  assert "4 models to search" in out
  fingerprint = dr3d.Database.open(db).fingerprint
  assert fingerprint == dr3d.Pipeline.load().fingerprint


def test_index_with_wrong_arguments_creates_no_database(
  run, models, pipeline, tmp_path
):
  for flags, message in (
    ((f"--models={models}", "--pipeline=no"), "no contains no pipeline"),
    (
      (f"--models={tmp_path / 'no'}", f"--pipeline={pipeline}"),
      "does not exist",
    ),
    (
      (f"--models={models}", f"--pipeline={pipeline}", "--labels=no.csv"),
      "no.csv cannot be read",
    ),
  ):
    status, out, err = run("index", f"--db={tmp_path / 'x'}", *flags)
    assert (status, out) == (1, "")
    assert message in err
    assert not (tmp_path / "x").exists()


# query.


def test_query_json_has_an_entry_for_each_file(run, database, models, tmp_path):
  bad = tmp_path / "bad.stl"
  bad.write_text("solid nothing")
  good = models / SOLID
  absent = tmp_path / "absent.obj"
  status, out, err = run(
    "query", bad, f"--db={database}", good, "--json", absent, "--k=3"
  )
  assert status == 1
  first, second, third = json.loads(out)
  assert set(first) == {"query", "error"}
  assert first["query"] == str(bad)
  assert str(bad) in first["error"]
  assert third["error"] == f"{absent} does not exist."
  assert err.splitlines() == [
    f"dr3d: {entry['error']}" for entry in (first, third)
  ]
  assert set(second) == {
    *("query", "prediction", "matches", "size", "unit_question", "misses"),
    "notes",
  }
  assert set(second["prediction"]) == {
    *("label", "confidence", "probability", "reject_reason", "accepted"),
    "model",
  }
  fields = {field.name for field in dataclasses.fields(dr3d.Match)}
  assert {"rank", "model", "label", "score", "votes"} < fields
  assert [set(match) for match in second["matches"]] == [fields] * 3
  best = second["matches"][0]
  assert best["model"] == SOLID  # it is in the database itself
  assert best["score"] == pytest.approx(1, abs=1e-4)
  assert best["votes"] == 2
  assert (best["distance"], best["same"]) == (0, True)
  prediction = second["prediction"]
  assert prediction.pop("probability") > 0.99
  assert prediction == {
    "label": "flat",
    "confidence": 1.0,
    "reject_reason": "",
    "model": "",
    "accepted": True,
  }


def test_query_prints_a_table(run, database, models):
  status, out, err = run("query", models / SOLID, f"--db={database}")
  assert (status, err) == (0, "")
  title, size, header, best, *rest = out.rstrip().splitlines()
  assert title.endswith(
    "five.obj: flat (100% of the votes, probability > 99.9%, accepted)"
  )
  assert size.startswith("  size ")
  assert size.endswith(" as drawn (unit mm, assumed; --unit=NAME states it)")
  assert header.split() == [
    *("rank", "model", "label", "score", "votes"),
    *("distance", "in", "mm", "size", "in", "mm", "note"),
  ]
  assert best.split()[:6] == ["1", SOLID, "flat", "1.000", "2", "0.0%"]
  assert best.endswith(" x 0.2  same shape, same size")
  assert len(rest) == 3


def test_query_continues_after_a_file_that_fails(
  run, database, models, tmp_path
):
  folder = tmp_path / "folder.stl"
  folder.mkdir()
  status, out, err = run("query", folder, models / SOLID, f"--db={database}")
  assert status == 1
  assert err == f"dr3d: {folder} is a directory, not a mesh file.\n"
  assert SOLID in out


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_query_of_missing_database_prints_one_error(run, tmp_path, flags):
  status, out, err = run(
    "query", f"--db={tmp_path / 'no'}", "a.stl", "b.stl", *flags
  )
  assert (status, out) == (1, "")
  assert err.startswith(f"dr3d: {tmp_path / 'no'} holds no dr3d database: ")
  assert f"dr3d index --db={tmp_path / 'no'} --models=DIR" in err


def test_query_of_empty_database_prints_one_error(run, pipeline, tmp_path):
  dr3d.Database.create(tmp_path / "db", dr3d.Pipeline.load(pipeline))
  status, out, err = run("query", f"--db={tmp_path / 'db'}", "a.stl", "b.stl")
  assert (status, out) == (1, "")
  assert err.count("\n") == 1
  assert "no indexed model" in err


def test_query_of_unlabelled_models_names_the_model_with_most_votes(
  run, models, pipeline, tmp_path
):
  (tmp_path / "models").mkdir()
  solid = tmp_path / "models/one.obj"
  shutil.copy(models / SOLID, solid)
  flags = (f"--db={tmp_path / 'db'}", f"--models={tmp_path / 'models'}")
  run("index", *flags, f"--pipeline={pipeline}")
  _, out, _ = run("query", flags[0], solid)
  assert "one.obj: one.obj (100% of the votes; no vote went to" in out


def test_process_prints_answers_on_stdout_only(database, models, tmp_path):
  odd = tmp_path / os.fsdecode(b"caf\xe9.stl")
  done = run_process("query", "--json", f"--db={database}", models / SOLID, odd)
  assert done.returncode == 1
  found, absent = json.loads(done.stdout)
  assert found["matches"][0]["model"] == SOLID
  assert absent["query"] == f"{tmp_path}/caf\\xe9.stl"
  assert absent["error"] == f"{tmp_path}/caf\\xe9.stl does not exist."
  printed = done.stderr.splitlines()
  # A slow machine adds lines of progress.
  printed = [line for line in printed if not line.startswith("querying: ")]
  assert printed == [f"dr3d: {absent['error']}"]


def test_closed_pipe_prints_no_error():
  command = f"{sys.executable} -m dr3d --help | true; echo ${{PIPESTATUS[0]}}"
  done = subprocess.run(
    ["bash", "-c", f"sleep 0; {command}"],
    capture_output=True,
    text=True,
    cwd=ROOT,
    timeout=60,
  )
  assert done.stdout.strip() in ("0", "1")
  assert done.stderr == ""


# render.


@pytest.mark.parametrize("look", ["plain", "network"])
def test_render_writes_an_image_of_the_views(
  run, pipeline, models, tmp_path, look
):
  path = tmp_path / "new" / "sheet.png"
  file = models / SOLID
  status, out, err = run(
    "render",
    file,
    f"--out={path}",
    f"--pipeline={pipeline}",
    "--size=32",
    f"--look={look}",
  )
  assert (status, out, err) == (0, f"{path}: 2 views of {file}\n", "")
  pixels = np.asarray(Image.open(path)).astype(int)
  colored = np.ptp(pixels, axis=-1).max() > 60
  assert colored == (look == "network")


def test_render_with_missing_file_or_pipeline_fails(
  run, models, tmp_path, pipeline
):
  out = f"--out={tmp_path / 'a.png'}"
  status, _, err = run(
    "render", tmp_path / "a.stl", out, f"--pipeline={pipeline}"
  )
  assert (status, err) == (1, f"dr3d: {tmp_path / 'a.stl'} does not exist.\n")
  status, _, err = run("render", models / SOLID, out, f"--pipeline={tmp_path}")
  assert status == 1
  assert "contains no pipeline" in err
  assert not (tmp_path / "a.png").exists()


def test_render_to_unwritable_path_fails(run, models, pipeline, tmp_path):
  (tmp_path / "file").write_text("in the way")
  path = tmp_path / "file" / "sheet.png"
  status, _, err = run(
    "render",
    models / SOLID,
    f"--out={path}",
    f"--pipeline={pipeline}",
    "--size=32",
    "--look=network",
  )
  assert status == 1
  assert err == f"dr3d: {tmp_path / 'file'}: File exists.\n"


def test_progress_of_a_short_task_prints_nothing(capsys):
  with console.progress(3, "reading") as progress:
    progress(1, 3)
    progress(3, 3)
  assert capsys.readouterr() == ("", "")
