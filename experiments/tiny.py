"""A tiny pipeline, for programs that are killed and started many times."""

from dr3d.nn.encoder import EncoderConfig
from dr3d.render.triangle import RenderConfig
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig


def make_tiny_pipeline() -> Pipeline:
  """Returns an untrained pipeline of three views of 32 pixels."""
  return Pipeline.create(
    PipelineConfig(
      view_count=3,
      face_budget=64,
      render=RenderConfig(size=32),
      embed=EncoderConfig(feature_size=16, widths=(8, 16)),
    )
  )
