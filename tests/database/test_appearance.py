"""Two parts of one shape and different colours are told apart where wanted."""

import dataclasses

import numpy as np
import pytest
import trimesh

from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import DatabaseError
from dr3d.mesh import load_mesh
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.triangle import RenderConfig
from dr3d.retrieval.pipeline import Pipeline, PipelineConfig

COLORS = {"red": [230, 20, 20, 255], "blue": [20, 20, 230, 255]}
CONFIG = PipelineConfig(
  view_count=2,
  face_budget=64,
  light_count=1,
  render=RenderConfig(size=32),
  embed=EncoderConfig(feature_size=16, widths=(8, 16)),
)
HERE = FileReader(jobs=0)


def write_part(path, color=None):
  path.parent.mkdir(parents=True, exist_ok=True)
  part = trimesh.creation.box((10, 20, 30))
  if color is not None:
    part.visual.face_colors = COLORS[color]
  part.export(path)
  return path


@pytest.fixture(scope="module")
def pipelines():
  plain = Pipeline.create(CONFIG)
  config = dataclasses.replace(CONFIG, appearance=True)
  return plain, dataclasses.replace(plain, config=config)


@pytest.fixture
def models(tmp_path):
  for color in COLORS:
    write_part(tmp_path / f"models/{color}.ply", color)
  return tmp_path / "models"


def make_database(pipeline, folder, models):
  database = Database.create(folder / "db", pipeline)
  assert not database.update(models, reader=HERE).failures
  return database


def test_database_with_appearance_finds_the_part_of_the_same_colour(
  pipelines, models, tmp_path
):
  database = make_database(pipelines[1], tmp_path, models)
  assert database.appearance
  assert Database.open(tmp_path / "db").inspect()["appearance"] is True
  for color in COLORS:
    answer = database.query(write_part(tmp_path / f"asked/{color}.ply", color))
    first, second = answer.matches
    assert first.model == f"{color}.ply"
    assert first.score > 0.999 > second.score + 0.01
    assert first.same
    assert second.same  # of one shape
    assert answer.notes == ()


def test_processes_that_read_files_read_colours(tmp_path):
  paths = [
    write_part(tmp_path / f"a.{suffix}", "red")
    for suffix in ("ply", "glb", "obj", "stl")
  ]
  *colored, plain = FileReader(jobs=1).read(
    paths, face_budget=64, unit="mm", appearance=True
  )
  red = np.float32(np.array(COLORS["red"][:3]) / 255)
  for processed in colored:
    shown = processed.mesh.colors.reshape(-1, 3)
    np.testing.assert_allclose(shown, np.tile(red, (len(shown), 1)), atol=0.01)
  assert plain.mesh.colors is None


def test_query_without_colours_is_answered_with_a_note(
  pipelines, models, tmp_path
):
  database = make_database(pipelines[1], tmp_path, models)
  answer = database.query(write_part(tmp_path / "white.stl"))
  assert len(answer.matches) == 2
  assert "has no colours and counts as white" in answer.notes[0]


def test_other_database_does_not_see_colours(pipelines, models, tmp_path):
  database = make_database(pipelines[0], tmp_path, models)
  assert not database.appearance
  features = [database.find_features(f"{color}.ply") for color in COLORS]
  np.testing.assert_array_equal(*features)
  answer = database.query(models / "red.ply")
  assert answer.matches[0].score == answer.matches[1].score
  assert answer.notes == ()


def test_stored_colours_give_the_vectors_again(pipelines, models, tmp_path):
  database = make_database(pipelines[1], tmp_path, models)
  before = database.find_features("red.ply")
  other = dataclasses.replace(
    pipelines[1], views=dataclasses.replace(pipelines[1].views)
  )
  changed = dataclasses.replace(
    other, weights=Pipeline.create(CONFIG, seed=1).weights
  )
  database.rebuild(changed)
  assert not np.allclose(database.find_features("red.ply"), before)
  database.rebuild(pipelines[1])
  np.testing.assert_array_equal(database.find_features("red.ply"), before)
  answer = database.query_similar("red.ply")
  assert answer.matches[0].model == "blue.ply"


def test_switch_to_a_pipeline_with_appearance_is_refused(
  pipelines, models, tmp_path
):
  database = make_database(pipelines[0], tmp_path, models)
  with pytest.raises(DatabaseError, match="has no colours of its models"):
    database.rebuild(pipelines[1])
  assert database.query(models / "red.ply").matches


def test_appearance_needs_an_encoder_that_sees_colours():
  embed = dataclasses.replace(CONFIG.embed, backbone="lite0")
  with pytest.raises(ValueError, match="appearance needs the small encoder"):
    Pipeline.create(dataclasses.replace(CONFIG, appearance=True, embed=embed))


def test_mesh_without_colours_has_the_vectors_of_a_white_one(
  pipelines, tmp_path
):
  plain, colored = pipelines
  mesh = load_mesh(write_part(tmp_path / "a.stl"), face_budget=64)
  np.testing.assert_allclose(
    colored.embed([mesh]), plain.embed([mesh]), atol=1e-6
  )
