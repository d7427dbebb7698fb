import subprocess
import sys

import numpy as np
import pytest
import trimesh

from dr3d.cli import main

pytestmark = pytest.mark.fast


@pytest.fixture
def bolt(tmp_path):
  path = tmp_path / "bolt.stl"
  trimesh.creation.cylinder(1, 4).export(path)
  return str(path)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["shape", "make", "--out=x"], "'make' must be one of encode, decode"),
    (["shape", "encode", "--out=x.npy"], "encode needs mesh files"),
    (["shape", "sample", "a.stl", "--out=x"], "sample takes 0 files, not 1"),
    (["shape", "interpolate", "a", "--out=x"], "takes 2 files, not 1"),
    (["shape", "encode", "a.stl", "--out=x.txt"], "must end in .npy"),
    (["shape", "sample", "--out=x", "--db=y"], "goes with interpolate only"),
    (["shape", "sample", "--out=x", "--resolution=100"], "32, 64, 128 or 256"),
    (["lift", "a.png", "--out=x.txt"], "must end in one of .glb"),
    (["lift", "a.png", "--out=x.glb", "--resolution=33"], "32, 64, 128"),
  ],
)
def test_wrong_usage_is_told_in_one_sentence(arguments, message, capsys):
  assert main(arguments) == 2
  error = capsys.readouterr().err
  assert message in error
  assert error.count("\n") == 1


def test_usage_and_help_import_no_jax():
  code = (
    "import sys; from dr3d.cli import main;"
    "main(['shape', '--help']); main(['lift', 'a.png', '--out=b.txt']);"
    "sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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
