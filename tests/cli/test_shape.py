import json
import subprocess
import sys

import numpy as np
import pytest
import trimesh

from dr3d.cli import main
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.nn.encoder import EncoderConfig
from dr3d.render.config import RenderConfig
from dr3d.retrieval.pipeline import Pipeline
from dr3d.retrieval.pipeline_config import PipelineConfig


@pytest.fixture
def bolt(tmp_path):
  path = tmp_path / "bolt.stl"
  trimesh.creation.cylinder(1, 4).export(path)
  return str(path)


@pytest.mark.fast
@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["shape", "make", "--out=x"], "'make' must be one of encode, decode"),
    (["shape", "encode", "--out=x.npy"], "encode needs mesh files"),
    (["shape", "sample", "a.stl", "--out=x"], "sample takes 0 files, not 1"),
    (["shape", "interpolate", "a", "--out=x"], "takes 2 files, not 1"),
    (["shape", "encode", "a.stl", "--out=x.txt"], "must end in .npy"),
    (["shape", "sample", "--out=x", "--db=y"], "goes with interpolate only"),
    (["shape", "sample", "--out=x", "--refine=9"], "encode and interpolate"),
    (["shape", "sample", "--out=x", "--resolution=100"], "32, 64, 128 or 256"),
    (["query", "--db=x", "a.npy", "--refine"], "codes do not go with --refine"),
    (["query", "--server=http://x", "a.npy"], "codes do not go with --server"),
    (["query", "--db=x", "a.npy", "--size=match"], "a code has no size"),
    (["lift", "a.png", "--out=x.txt"], "must end in one of .glb"),
    (["lift", "a.png", "--out=x.glb", "--resolution=33"], "32, 64, 128"),
  ],
)
def test_wrong_usage_is_told_in_one_sentence(arguments, message, capsys):
  assert main(arguments) == 2
  error = capsys.readouterr().err
  assert message in error
  assert error.count("\n") == 1


@pytest.mark.fast
def test_usage_and_help_import_no_jax():
  code = (
    "import sys; from dr3d.cli import main;"
    "main(['shape', '--help']); main(['lift', 'a.png', '--out=b.txt']);"
    "sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.fast
def test_missing_files_are_named(capsys):
  assert main(["shape", "encode", "none.stl", "--out=x.npy"]) == 1
  assert "none.stl does not exist" in capsys.readouterr().err


def test_codes_of_another_model_are_rejected(tmp_path, capsys):
  path = tmp_path / "codes.npy"
  np.save(path, np.zeros((2, 5)))
  out = f"--out={tmp_path / 'out'}"
  assert main(["shape", "decode", str(path), out]) == 1
  assert "not codes [n, 128]" in capsys.readouterr().err
  path.write_text("text")
  assert main(["shape", "decode", str(path), out]) == 1
  assert "not a file of codes" in capsys.readouterr().err


def test_mesh_becomes_a_code_and_a_mesh_again(bolt, tmp_path, capsys):
  codes = tmp_path / "codes.npy"
  assert main(["shape", "encode", bolt, f"--out={codes}"]) == 0
  assert np.load(codes).shape == (1, 128)
  out = tmp_path / "decoded"
  command = ["shape", "decode", str(codes), f"--out={out}", "--resolution=32"]
  assert main(command) == 0
  mesh = trimesh.load(out / "001.glb", force="mesh")
  sides = np.sort(mesh.extents)
  assert sides[2] > 1.5 * sides[1]  # as long as a cylinder of 2 by 4 is
  assert (out / "sheet.png").stat().st_size > 500
  assert "001.glb" in capsys.readouterr().out
  assert sorted(p.name for p in out.iterdir()) == ["001.glb", "sheet.png"]


def test_codes_ask_a_database_by_their_views_and_by_themselves(
  bolt, tmp_path, capsys
):
  models = tmp_path / "models"
  models.mkdir()
  trimesh.creation.cylinder(1, 4).export(models / "rod.stl")
  trimesh.creation.box((5, 4, 1)).export(models / "plate.stl")
  pipeline = Pipeline.create(
    PipelineConfig(
      view_count=2,
      render=RenderConfig(size=16),
      embed=EncoderConfig(feature_size=8, widths=(4, 8)),
      face_budget=200,
    )
  )
  database = Database.create(tmp_path / "parts.db", pipeline)
  database.update(models, reader=FileReader(jobs=0))
  codes, plate = tmp_path / "codes.npy", str(models / "plate.stl")
  assert main(["shape", "encode", bolt, plate, f"--out={codes}"]) == 0
  capsys.readouterr()
  ask = ["query", f"--db={tmp_path / 'parts.db'}", str(codes), "--json"]
  names = [f"{codes}, code 1", f"{codes}, code 2"]

  assert main(ask) == 0
  answers = json.loads(capsys.readouterr().out)
  assert [answer["query"] for answer in answers] == names
  for answer in answers:
    assert len(answer["matches"]) == 2
    assert all(match["distance"] is None for match in answer["matches"])

  assert main([*ask, "--by=shape"]) == 0
  answers = json.loads(capsys.readouterr().out)
  assert [answer["query"] for answer in answers] == names
  found = [answer["matches"][0] for answer in answers]
  assert [match["model"] for match in found] == ["rod.stl", "plate.stl"]
  assert all(match["distance"] < 0.2 for match in found)

  codes.write_text("text")
  assert main(ask) == 1
  assert "not a file of codes" in capsys.readouterr().err
