import numpy as np
import pytest
import trimesh

pytest.importorskip("cv2")

from dr3d.mesh import make_mesh
from dr3d.nn.config import EncoderConfig
from dr3d.render.config import RenderConfig
from dr3d.retrieval.photo.probe import embed_probes
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.pipeline_config import PipelineConfig
from dr3d.search.similarity import TURNS


@pytest.fixture(name="encoder", scope="module")
def _encoder():
  """With random weights."""
  return Pipeline.create(
    PipelineConfig(
      view_count=2,
      light_count=1,
      render=RenderConfig(size=32),
      embed=EncoderConfig(feature_size=16, backbone="photo"),
    )
  )


def test_photographs_of_a_model_differ_and_the_seed_decides(encoder):
  boxes = [trimesh.creation.box(sides) for sides in ((1, 2, 3), (1, 1, 4))]
  meshes = [make_mesh(body.vertices, body.faces) for body in boxes]
  probes = embed_probes(meshes, encoder, count=3)
  assert probes.shape == (2, 3, TURNS, 16)
  assert np.linalg.norm(probes, axis=-1) == pytest.approx(1, abs=1e-5)
  assert np.abs(probes[:, 0] - probes[:, 1]).max() > 0.01
  assert (embed_probes(meshes, encoder, count=3) == probes).all()
  assert (embed_probes(meshes, encoder, count=3, seed=1) != probes).any()


def test_more_photographs_than_are_drawn_at_once_is_an_error(encoder):
  with pytest.raises(ValueError, match="count must be 1 to 8, got 9"):
    embed_probes([], encoder, count=9)
