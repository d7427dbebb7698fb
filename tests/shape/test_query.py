"""A code and the mesh that it stands for ask a database alike."""

import numpy as np
import pytest
import trimesh
from support.shapes import make_model

from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import Dr3dError, MeshError
from dr3d.mesh import make_mesh
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.config import RenderConfig
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.pipeline_config import PipelineConfig
from dr3d.search.query import Query
from dr3d.shape import key
from dr3d.shape.code_file import read_codes, write_codes
from dr3d.shape.query import make_query


@pytest.fixture(scope="module")
def pipeline():
  return Pipeline.create(
    PipelineConfig(
      view_count=3,
      render=RenderConfig(size=16),
      embed=EncoderConfig(feature_size=8, widths=(4, 8)),
      face_budget=200,
    )
  )


def test_vectors_of_a_code_are_those_of_its_mesh(pipeline):
  model = make_model()
  for code in model.codes:
    query = make_query(model, code, pipeline, resolution=32)
    mesh = model.decode(code, resolution=32, face_budget=pipeline.face_budget)
    (vectors,) = pipeline.embed([mesh])
    np.testing.assert_allclose(query.vectors, vectors, atol=1e-4)
    assert query.is_view_aligned
    assert query.mesh is None
    assert query.extent is None
    assert not query.is_unit_stated


def test_code_and_mesh_get_the_same_answer_of_a_database(pipeline, tmp_path):
  boxes = {"flat": (8, 7, 2), "tall": (3, 3.2, 8), "cube": (5, 5, 5)}
  models = tmp_path / "models"
  models.mkdir()
  for name, sides in boxes.items():
    trimesh.creation.box(sides).export(models / f"{name}.stl")
  database = Database.create(tmp_path / "boxes.db", pipeline)
  database.update(models, reader=FileReader(jobs=0))
  model = make_model()
  for code in model.codes:
    query = make_query(model, code, pipeline, resolution=32)
    mesh = model.decode(code, resolution=32, face_budget=pipeline.face_budget)
    (vectors,) = pipeline.embed([mesh])
    by_code = database.query(query, size="ignore")
    by_mesh = database.query(Query(vectors), size="ignore")
    assert [match.model for match in by_code.matches] == [
      match.model for match in by_mesh.matches
    ]
    scores = [
      [match.score for match in answer.matches] for answer in (by_code, by_mesh)
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)
    assert by_code.size is None


def test_code_of_an_empty_shape_raises(pipeline):
  model = make_model()
  # A decoder that is blind to everything but its last offset.
  blind = {**model.params, "decoder": _zeros(model.params["decoder"])}
  empty = type(model)(model.config, blind, model.codes)
  with pytest.raises(MeshError, match="no surface at 32³ points"):
    make_query(empty, model.codes[0], pipeline, resolution=32)


def _zeros(tree):
  if isinstance(tree, dict):
    return {name: _zeros(value) for name, value in tree.items()}
  return np.zeros_like(tree)


def test_codes_survive_a_file_and_others_are_told(tmp_path):
  model, path = make_model(), tmp_path / "codes.npy"
  write_codes(path, model.codes)
  np.testing.assert_array_equal(read_codes(path, model), model.codes)
  for wrong, message in (
    (np.zeros((2, 5)), r"not codes \[n, 8\]"),
    (np.zeros((0, 8)), "holds no code"),
    (np.full((1, 8), np.nan), "not finite numbers"),
    (np.full((1, 8), "a"), "not finite numbers"),
  ):
    np.save(path, wrong)
    with pytest.raises(Dr3dError, match=message):
      read_codes(path, model)


def test_pair_of_codes_does_not_turn_the_second_mesh_over():
  model = make_model()
  # A wedge has no symmetry about the axis across its two short sides.
  solid = trimesh.Trimesh(
    [[0, 0, 0], [8, 0, 0], [0, 3, 0], [0, 0, 2], [8, 0, 0.5], [0, 3, 2]]
  ).convex_hull
  first = make_mesh(solid.vertices, solid.faces)
  poses = key.encode_poses(model, first)
  assert np.ptp(poses, axis=0).max() > 1e-3
  turned = solid.vertices * [-1, -1, 1]
  second = make_mesh(turned, solid.faces)
  codes = key.encode_pair(model, first, second)
  rivals = key.encode_poses(model, second)
  far = np.linalg.norm(rivals - codes[0], axis=-1)
  np.testing.assert_allclose(codes[0], poses[0], atol=1e-6)
  np.testing.assert_allclose(codes[1], rivals[far.argmin()])
  assert far.min() < 0.2 * far.max()
