import json

import numpy as np
import pytest
from PIL import Image
from support import photo
from support.service import BODIES, make_database

pytest.importorskip("cv2")

from dr3d.cli import main
from dr3d.mesh import make_mesh

pytestmark = pytest.mark.fast


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
  """A database, two photographs of a rod, and one of nothing."""
  make_database(tmp_path)
  rod = BODIES["round/rod #1.stl"]
  mesh = make_mesh(rod.vertices, rod.faces)
  for view in (1, 2):
    picture = photo.photograph(mesh, view=view)
    Image.fromarray(picture).save(tmp_path / f"rod-{view}.png")
  Image.new("RGB", (50, 50)).save(tmp_path / "empty.jpg")
  monkeypatch.chdir(tmp_path)
  with photo.standing_in() as encoder:
    yield tmp_path, encoder


def run(capsys, *arguments):
  status = main(["query", "--db=parts.db", *arguments])
  return status, *capsys.readouterr()


def test_photograph_finds_its_model_and_says_what_was_seen(folder, capsys):
  status, out, _ = run(capsys, "rod-1.png")
  assert status == 0
  assert "rod-1.png: round" in out
  assert "seen in rod-1.png at " in out
  assert "(by its background)" in out
  first = next(line for line in out.splitlines() if line.split()[:1] == ["1"])
  assert "round/rod #1.stl" in first


def test_vectors_are_made_once_and_stored(folder, capsys):
  _, encoder = folder
  run(capsys, "rod-1.png")
  assert encoder.embedded == len(BODIES)
  run(capsys, "rod-2.png")
  assert encoder.embedded == len(BODIES)
  main(["remove", "--db=parts.db", "box/flat.stl", "--purge"])
  capsys.readouterr()
  run(capsys, "rod-1.png")
  assert encoder.embedded == 2 * len(BODIES) - 1


def test_photographs_together_are_one_query(folder, capsys):
  status, out, _ = run(
    capsys, "rod-1.png", "rod-2.png", "--together", "--json", "--k=1"
  )
  assert status == 0
  (entry,) = json.loads(out)
  assert entry["query"] == "rod-1.png, rod-2.png"
  assert entry["matches"][0]["votes"] == 2
  assert len(entry["notes"]) == 2
  _, out, _ = run(capsys, "rod-1.png", "rod-2.png", "--json", "--k=1")
  alone = [one["matches"][0]["score"] for one in json.loads(out)]
  assert entry["matches"][0]["score"] == pytest.approx(np.mean(alone), abs=2e-6)


def test_photograph_that_shows_nothing_fails_and_others_do_not(folder, capsys):
  status, out, error = run(capsys, "empty.jpg", "no.png", "rod-1.png")
  assert status == 1
  assert "nothing stands out from the background of empty.jpg" in error
  assert "no.png does not exist" in error
  assert "rod-1.png: round" in out


def test_region_is_looked_at_alone(folder, capsys):
  _, out, _ = run(capsys, "rod-1.png", "--region=5,5,190,190", "--json")
  (entry,) = json.loads(out)
  assert "within the region" in entry["notes"][0]


def test_pairs_show_the_photograph_beside_its_matches(folder, capsys):
  tmp_path, _ = folder
  run(capsys, "rod-1.png", "--pairs=pairs.png")
  with Image.open(tmp_path / "pairs.png") as image:
    colors = np.asarray(image.convert("RGB"), int)
  blue = colors[..., 2] - colors[..., 0] > 80  # of the photograph alone
  assert blue.sum() > 300


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["a.png", "--region=1,2,3"], "must be x,y,width,height"),
    (["a.png", "--region=1,2,0,4"], "must be x,y,width,height"),
    (["a.png", "b.png", "--region=1,2,3,4"], "needs one photograph, got 2"),
    (["a.png", "b.stl", "--together"], "takes photographs only"),
    (["a.png", "--refine"], "a photograph has no surface"),
    (["a.png", "--size=match"], "a photograph has no size"),
  ],
)
def test_flags_that_do_not_fit_are_refused(capsys, arguments, message):
  assert main(["query", "--db=x", *arguments]) != 0
  assert message in capsys.readouterr().err
