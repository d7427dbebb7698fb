"""The flags of `dr3d train` and the configurations that they make."""

import math
import subprocess
import sys

import pytest

from dr3d.cli.parsing import parse
from dr3d.cli.subcommand import UsageError
from dr3d.cli.train import SUBCOMMAND
from dr3d.cli.train_config import check_arguments, check_init, make_config

REQUIRED = ("--models=m", "--workdir=w")


def configure(*flags):
  values, _ = parse(SUBCOMMAND, [*REQUIRED, *flags])
  return make_config(values)


def test_every_choice_reaches_the_configuration():
  config = configure(
    "--sampling=pair",
    "--loss=triplet",
    "--mining=semihard",
    "--margin=patent",
    "--alike=both",
    "--pose-angle=45",
    "--objective=models",
    "--shared=0.5",
    "--within=0.25",
    "--feature-size=32",
    "--width=96",
    "--free-center",
    "--shadows",
    "--appearance",
  )
  loss = config.loss
  assert config.batch.sampling == "pair"
  assert (loss.task, loss.mining, loss.margin) == (
    "triplet",
    "semihard",
    "patent",
  )
  assert (loss.alike, loss.pose_angle) == ("both", math.radians(45))
  assert (loss.objective, loss.shared, loss.within) == ("models", 0.5, 0.25)
  pipeline = config.pipeline
  assert pipeline.embed.feature_size == 32
  assert (pipeline.width, pipeline.free_center) == (96, True)
  assert (pipeline.render.framing, pipeline.render.shadows) == ("sphere", True)
  assert (pipeline.appearance, pipeline.light_count) == (True, 1)


@pytest.mark.parametrize(
  ("name", "attention", "exchange"),
  [
    ("attention", True, "none"),
    ("norm", False, "norm"),
    ("recurrence", False, "recurrence"),
  ],
)
def test_exchange_draws_all_views_in_each_step(name, attention, exchange):
  config = configure(f"--exchange={name}")
  embed = config.pipeline.embed
  assert (embed.attention, embed.exchange) == (attention, exchange)
  assert config.batch.view_count is None


def test_literal_recipe_is_that_of_the_library_unless_flags_differ():
  from dr3d.retrieval.recipe import literal_config

  assert configure("--recipe=literal") == literal_config()
  config = configure("--recipe=literal", "--margin=unit", "--within=0")
  assert config.loss.margin == "unit"
  assert config.loss.within == 0
  assert config.loss.objective == "literal"


@pytest.mark.parametrize(
  ("flags", "reason"),
  [
    (("--mining=hard",), "--mining is of the triplet loss"),
    (("--margin=unit", "--loss=contrastive"), "--margin is of the triplet"),
    (("--alike=pose",), "needs positives and negatives"),
    (("--pose-angle=20", "--loss=triplet"), "--pose-angle is of --alike"),
    (("--shared=1", "--objective=task"), "--shared adds to a loss"),
    (("--explore=3", "--objective=task"), "omit one of the two"),
    (("--explore=3", "--exchange=norm"), "--explore compares single views"),
    (("--free-center", "--framing=object"), "needs --framing=sphere"),
    (("--encoder=lite0", "--exchange=norm"), "needs --encoder=small"),
    (("--encoder=lite0", "--appearance"), "lite0 sees grey images"),
    (("--encoder=lite0", "--feature-size=400"), "at most 320, got 400"),
    (("--encoder=lite0", "--width=48"), "--width to be a multiple of 32"),
  ],
)
def test_flags_that_contradict_each_other_are_refused(flags, reason):
  values, _ = parse(SUBCOMMAND, [*REQUIRED, *flags])
  with pytest.raises(UsageError, match=reason):
    check_arguments(values)


@pytest.mark.parametrize(
  "flag",
  [
    "--width=96",
    "--appearance",
    "--shadows",
    "--exchange=norm",
    "--free-center",
  ],
)
def test_flags_that_the_first_pipeline_fixes_are_refused(flag):
  values, _ = parse(SUBCOMMAND, [*REQUIRED, "--init=pretrained", flag])
  with pytest.raises(UsageError, match=r"the pipeline of --init has"):
    check_init(values)
  values, _ = parse(SUBCOMMAND, [*REQUIRED, "--init=pretrained"])
  check_init(values)


@pytest.mark.parametrize(
  "flag",
  [
    "--loss=cosine",
    "--mining=most",
    "--margin=0",
    "--alike=size",
    "--sampling=triple",
    "--within=-1",
    "--feature-size=1",
    "--exchange=mean",
    "--recipe=best",
  ],
)
def test_wrong_value_is_refused_before_jax_is_imported(flag):
  """In two seconds: a child without jax on its path fails if it wants it."""
  code = (
    "import sys; sys.modules['jax'] = None\n"
    "from dr3d.cli import main\n"
    f"sys.exit(main(['train', *{REQUIRED!r}, {flag!r}]))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 2
  assert done.stderr.startswith("dr3d: train: flag")
  assert "must be" in done.stderr
