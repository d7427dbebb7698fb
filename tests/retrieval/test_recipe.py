"""Configurations of a run: the patent's own, and contradictions."""

import dataclasses

import jax
import numpy as np
import pytest
from support.run import CONFIG, call, make_models

from dr3d.nn.encoder import EncoderConfig
from dr3d.render.triangle import RenderConfig
from dr3d.retrieval.batch import BatchConfig
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig
from dr3d.retrieval.recipe import check_config, literal_config
from dr3d.retrieval.step import LossConfig

EMBED = CONFIG.pipeline.embed


def shorten(config, **pipeline):
  """A run of three steps on images of 16 pixels."""
  return dataclasses.replace(
    config,
    pipeline=dataclasses.replace(
      config.pipeline, view_count=2, embed=EMBED, **pipeline
    ),
    optimizer=dataclasses.replace(
      config.optimizer, steps=3, average=0.0, render_rate=0.05
    ),
  )


def test_literal_run_has_no_guards_and_counts_all_of_eq_3b(tmp_path):
  config = shorten(
    literal_config(), render=RenderConfig(size=16, framing="sphere")
  )
  loss = config.loss
  assert (loss.task, loss.mining, loss.margin) == ("triplet", "all", "patent")
  assert (loss.objective, loss.within) == ("literal", 1)
  assert loss.spread == loss.repulsion == loss.coverage == loss.models == 0
  assert config.batch.sampling == "pair"
  assert config.augmentation is None
  call(tmp_path, config)
  log = (tmp_path / "log.jsonl").read_text()
  assert log.count("task_loss") == 3


def test_run_of_many_options_moves_camera_centres(tmp_path):
  """Wide images, free centres, positives by pose, a shared loss."""
  config = shorten(
    CONFIG,
    width=32,
    free_center=True,
    render=RenderConfig(size=16, framing="sphere"),
  )
  config = dataclasses.replace(
    config,
    loss=LossConfig(task="triplet", alike="both", shared=0.5),
    pipeline=dataclasses.replace(
      config.pipeline, embed=dataclasses.replace(EMBED, exchange="recurrence")
    ),
  )
  pipeline = call(tmp_path, config)
  assert pipeline.views.offset.shape == (2, 2)
  assert np.abs(pipeline.views.offset).min() > 1e-4
  assert np.abs(pipeline.views.principal).min() > 1e-4
  (mesh, *_), _ = make_models()
  assert pipeline.render(mesh).shape == (2, 16, 32, 4)
  assert pipeline.render(mesh, size=48).shape == (2, 48, 96, 4)
  loaded = Pipeline.load(tmp_path / "pipeline")
  assert loaded.config == config.pipeline
  np.testing.assert_array_equal(loaded.embed([mesh]), pipeline.embed([mesh]))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"loss": LossConfig(alike="pose")}, "needs positives and negatives"),
    (
      {"loss": LossConfig(task="contrastive", alike="pose", models=1.0)},
      r"set loss\.models to 0",
    ),
    ({"loss": LossConfig(shared=-1.0)}, r"shared must be at least 0, got -1"),
    (
      {
        "pipeline": PipelineConfig(embed=EncoderConfig(exchange="norm")),
        "batch": BatchConfig(view_count=3),
      },
      "must be None, got 3",
    ),
    (
      {
        "pipeline": PipelineConfig(
          embed=EncoderConfig(exchange="norm", backbone="lite0")
        )
      },
      "need the small encoder",
    ),
  ],
)
def test_contradictions_raise(options, message):
  with pytest.raises(ValueError, match=message):
    check_config(dataclasses.replace(CONFIG, **options), None)


def test_free_center_with_framing_of_the_object_raises():
  with pytest.raises(ValueError, match="free_center needs"):
    Pipeline.create(PipelineConfig(free_center=True))


def test_later_options_are_written_only_if_used():
  """Fingerprints of former pipelines must stay."""
  from dr3d.retrieval.pipeline_config import config_from_json, config_to_json

  values = config_to_json(PipelineConfig())
  assert set(values) == {
    *("view_count", "pose", "face_budget", "light_count", "render", "embed"),
  }
  assert set(values["embed"]) == {
    "feature_size",
    "widths",
    "depth",
    "attention",
  }
  used = PipelineConfig(
    width=96, free_center=True, embed=EncoderConfig(exchange="norm", stem=8)
  )
  values = config_to_json(used)
  assert config_from_json(values, None) == used
  assert jax.tree.leaves(values)  # plain values only
