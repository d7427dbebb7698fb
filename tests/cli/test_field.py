"""The command `dr3d field`: wrong usage, and its verbs on a small field."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from dr3d import cli
from dr3d.camera.view import make_views, ring_views
from dr3d.field.camera_file import to_frame

TINY = [
  "--size=16", "--steps=60", "--width=16", "--depth=2", "--latent=4",
  "--samples=12", "--background=white",
]  # fmt: skip


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ("fly --workdir=x", "'fly' must be one of train, fit"),
    ("train --workdir=x", "train needs --images=DIR"),
    ("fit --workdir=x --out=a.json", "fit takes one PHOTO, got 0"),
    ("mesh --workdir=x", "mesh needs --out=FILE"),
    ("render --workdir=x --out=a.xyz", "must end in one of .jpeg"),
    ("interpolate a --workdir=x --out=a.png", "two NAMEs or more, got 1"),
    (
      "train --workdir=x --images=/ --split",
      "--split needs a --latent that --depth",
    ),
  ],
)
def test_wrong_usage_fails_with_one_sentence(capsys, arguments, message):
  assert cli.main(["field", *arguments.split()]) == 2
  error = capsys.readouterr().err
  assert message in error
  assert error.count("\n") == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A field of four grey discs, trained by the command."""
  folder = tmp_path_factory.mktemp("pictures")
  views = make_views(ring_views(4), colored=False)
  y, x = np.mgrid[:32, :32] - 15.5
  frames = []
  for i, radius in enumerate((8, 9, 10, 11)):
    inside = x**2 + y**2 < radius**2
    picture = np.full((32, 32, 4), 90, np.uint8)
    picture[..., 3] = 255 * inside
    Image.fromarray(picture).save(folder / f"{i}.png")
    frames.append({"file_path": f"{i}", "object": f"disc {radius}"})
    frames[-1] |= to_frame(views, i)
  (folder / "transforms.json").write_text(json.dumps({"frames": frames}))
  workdir = folder / "run"
  argv = ["field", "train", f"--images={folder}", f"--workdir={workdir}"]
  assert cli.main([*argv, *TINY]) == 0
  return folder, workdir


def test_verbs_write_their_files(trained, capsys):
  folder, workdir = trained

  def run(*arguments):
    assert cli.main(["field", *arguments, f"--workdir={workdir}"]) == 0
    return capsys.readouterr().out

  code = folder / "code.json"
  run("fit", f"{folder}/0.png", f"--out={code}", "--fit-steps=5")
  assert len(json.loads(code.read_text())["code"]) == 4
  run("render", str(code), f"--out={folder}/turn.gif", "--size=16")
  assert Image.open(folder / "turn.gif").n_frames > 1
  run("sample", f"--out={folder}/sheet.png", "--size=16", "--count=4")
  assert Image.open(folder / "sheet.png").size == (32, 32)
  walk = f"--out={folder}/walk.png"
  run("interpolate", "disc 8", "disc 11", walk, "--size=16", "--count=3")
  run("mesh", "disc 11", f"--out={folder}/disc.ply", "--grid=24", "--level=1.5")
  assert len(trimesh.load(folder / "disc.ply").faces) > 50


def test_unknown_object_and_foreign_code_print_one_sentence(trained, capsys):
  folder, workdir = trained
  wrong = folder / "wrong.json"
  wrong.write_text(json.dumps({"field": "0", "code": [0, 0, 0, 0]}))
  for name, message in (
    ("cup", "no object 'cup'"),
    (str(wrong), "a code of another field"),
    (f"{folder}/none.json", "does not exist"),
  ):
    argv = ["field", "render", name, "--out=x.png", f"--workdir={workdir}"]
    assert cli.main(argv) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
