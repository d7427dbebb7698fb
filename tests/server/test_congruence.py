"""The same calls answer alike in this process and through a service."""

import io

import numpy as np
import pytest
import trimesh
from PIL import Image
from support import photo
from support.mesh_files import wedge
from support.service import BODIES, TOKEN, make_database, serving, stl
from support.standin import MeasuringPipeline

from dr3d.client import Client
from dr3d.database.condition import Condition
from dr3d.database.model_search import Filter
from dr3d.database.protocol import ModelDatabase
from dr3d.database.shared import find_directory
from dr3d.database.transfer import copy_database
from dr3d.database.writer import Database
from dr3d.error import Dr3dError
from dr3d.mesh import load_mesh, make_mesh

TURN = trimesh.transformations.rotation_matrix(1.0, [0.3, 0.5, 0.8])


def _arrays(body):
  return body.vertices, body.faces


def _turned():
  """EXIF data of a camera that was held upside down."""
  exif = Image.Exif()
  exif[0x0112] = 3
  return exif


def to_row(model):
  """A model as plain values, which can be compared."""
  row = dict(vars(model), metadata=dict(model.metadata))
  del row["features"], row["shape"]
  return row


class TestCongruence:
  """Every implementation of `ModelDatabase` passes these tests.

  `database` is a directory, or PostgreSQL; `subject` is it, or a client of it.
  """

  @pytest.fixture(params=["local", "remote", "shared", "shared remote"])
  def pair(self, request, tmp_path, monkeypatch):
    database = make_database(tmp_path)
    if "shared" in request.param:
      monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
      uri = request.getfixturevalue("postgresql").create()
      copy_database(database.directory, find_directory(uri))
      database = Database.open(uri, load_pipeline=MeasuringPipeline.load)
    if "remote" not in request.param:
      yield database, database
      return
    with (
      serving(database.directory) as (http, _),
      Client(str(http.base_url), token=TOKEN) as client,
    ):
      yield database, client

  @pytest.fixture
  def database(self, pair):
    return pair[0]

  @pytest.fixture
  def subject(self, pair) -> ModelDatabase:
    return pair[1]

  @pytest.fixture
  def rod(self, tmp_path):
    """A file of a rotated model."""
    path = tmp_path / "rod.stl"
    path.write_bytes(
      stl(BODIES["round/rod #1.stl"].copy().apply_transform(TURN))
    )
    return path

  @pytest.fixture
  def wedge(self, tmp_path):
    """A file of a model that the database does not have."""
    path = tmp_path / "wedge.stl"
    path.write_bytes(stl(wedge()))
    return path

  def test_query_by_file_answers_as_by_its_mesh(self, database, subject, rod):
    mesh = load_mesh(rod, face_budget=database.face_budget)
    expected = database.query(mesh, k=3, verify=2, unit="mm")
    answer = subject.query(rod, k=3, verify=2, unit="mm")
    assert answer == expected
    assert answer.matches[0].model == "round/rod #1.stl"
    assert answer.matches[0].distance < 0.005

  def test_query_by_mesh_finds_the_model_at_its_size(
    self, database, subject, rod
  ):
    mesh = load_mesh(rod, face_budget=database.face_budget)
    answer = subject.query(mesh, k=1, verify=1)
    assert answer.prediction.label == "round"
    assert answer.matches[0].model == "round/rod #1.stl"
    assert answer.matches[0].scale == pytest.approx(1, abs=1e-5)

  def test_query_options_limit_the_answer(self, database, subject, rod):
    condition = Condition(labels=["box"], same_size=0.9)
    mesh = load_mesh(rod, face_budget=database.face_budget)
    answer = subject.query(rod, condition=condition, min_score=0.1, unit="mm")
    assert {match.label for match in answer.matches} == {"box"}
    assert answer == database.query(
      mesh, condition=condition, min_score=0.1, unit="mm"
    )
    assert subject.query(rod, unit="cm", k=1, verify=0).matches[
      0
    ].scale == pytest.approx(0.1, rel=0.01)

  @pytest.fixture
  def photos(self):
    """Photographs of the rod, in pixels, and the stand-in for the encoder."""
    rod = make_mesh(*_arrays(BODIES["round/rod #1.stl"]))
    with photo.standing_in() as encoder:
      yield [photo.photograph(rod, view=n) for n in (1, 2)], encoder

  def test_photograph_finds_its_model(
    self, database, subject, photos, tmp_path
  ):
    (pixels, _), _ = photos
    answer = subject.query(photo=pixels, k=3)
    assert answer.matches[0].model == "round/rod #1.stl"
    assert answer.matches[0].score > 0.8
    assert answer.prediction.label == "round"
    path = tmp_path / "rod.png"
    path.write_bytes(photo.to_png(pixels))
    for same in (path, path.read_bytes()):
      assert subject.query(photo=same, k=3) == answer
    assert database.query(photo=path, k=3) == answer
    assert subject.query(photo=path, k=1).matches == answer.matches[:1]

  @pytest.mark.parametrize("kind", ["JPEG", "WEBP", "HEIF"])
  def test_photograph_of_each_format_is_read(self, subject, photos, kind):
    if kind == "HEIF":
      pytest.importorskip("pillow_heif").register_heif_opener()
    (pixels, _), _ = photos
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=95, exif=_turned())
    answer = subject.query(photo=file.getvalue(), k=1)
    assert answer.matches[0].model == "round/rod #1.stl"

  def test_several_photographs_ask_together(self, database, subject, photos):
    pixels, _ = photos
    answer = subject.query(photo=pixels)
    alone = [subject.query(photo=each).matches[0].score for each in pixels]
    assert answer.matches[0].score == pytest.approx(np.mean(alone), abs=2e-6)
    assert answer.matches[0].votes == 2
    assert answer == database.query(photo=pixels)

  def test_region_chooses_the_thing(self, database, subject, photos):
    (first, _), _ = photos
    flat = make_mesh(*_arrays(BODIES["box/flat.stl"]))
    both = np.concatenate([first, photo.photograph(flat, view=3)], axis=1)
    for region, label in (
      ((10, 10, 180, 180), "round"),
      ((210, 10, 180, 180), "box"),
    ):
      answer = subject.query(photo=both, region=region)
      assert answer.matches[0].label == label
      assert answer == database.query(photo=both, region=region)

  def test_photograph_that_fails_says_why(self, subject, photos):
    empty = np.full((64, 64, 3), 128, np.uint8)
    with pytest.raises(Dr3dError, match="nothing stands out"):
      subject.query(photo=empty)
    png = photo.to_png(photos[0][0])
    with pytest.raises(Dr3dError, match="damaged or cut off"):
      subject.query(photo=png[: len(png) // 2])
    with pytest.raises(Dr3dError, match=r"region 500,0,9,9 is not in"):
      subject.query(photo=png, region=(500, 0, 9, 9))
    with pytest.raises(ValueError, match="either a model or a photograph"):
      subject.query()

  def test_query_similar_leaves_the_model_out(self, database, subject):
    answer = subject.query_similar("box/flat.stl", k=9)
    found = [match.model for match in answer.matches]
    assert sorted(found) == sorted(set(BODIES) - {"box/flat.stl"})
    assert answer == database.query_similar("box/flat.stl", k=9)

  def test_models_have_the_same_rows(self, database, subject):
    expected = [to_row(model) for model in database.models()]
    assert [to_row(model) for model in subject.models()] == expected
    assert len(expected) == len(BODIES) + 1

  def test_inspect_and_count_states_agree(self, database, subject):
    assert subject.count_states() == database.count_states()
    found, expected = subject.inspect(), database.inspect()
    for values in (found, expected):
      assert values.pop("bytes") > 0  # SQLite's log comes and goes
    assert found == expected

  def test_read_file_returns_the_bytes_that_were_indexed(self, subject):
    assert subject.read_file("box/flat.stl") == stl(BODIES["box/flat.stl"])

  def test_find_duplicates_reports_groups_and_progress(
    self, database, subject, tmp_path
  ):
    copy = tmp_path / "copy.stl"
    copy.write_bytes(stl(BODIES["box/flat.stl"]))
    subject.store(copy, name="copy.stl")
    steps = []
    groups = subject.find_duplicates(
      progress=lambda done, total: steps.append((done, total))
    )
    (group,) = groups
    assert group.relation == "identical"
    assert [member.model for member in group.members] == [
      "box/flat.stl",
      "copy.stl",
    ]
    assert subject.find_duplicates(weakest="identical") == groups
    assert steps
    assert all(done <= total for done, total in steps)

  def test_add_reports_new_unchanged_and_failed_files(
    self, database, subject, wedge, tmp_path, monkeypatch
  ):
    monkeypatch.chdir(tmp_path)  # a bare name means the same to both
    (tmp_path / "bad.stl").write_bytes(b"solid")
    options = {"label": "wedge", "metadata": {"material": "steel"}}
    report = subject.add(["wedge.stl", "bad.stl"], **options)
    assert (report.new, report.unchanged) == (1, 0)
    (failure,) = report.failures
    assert failure.model == "bad.stl"
    assert failure.reason.startswith("bad.stl ")
    again = subject.add(["wedge.stl"], **options)
    assert (again.new, again.unchanged, again.failures) == (0, 1, ())
    (model,) = (m for m in subject.models() if m.name == "wedge.stl")
    assert (model.label, model.metadata) == ("wedge", {"material": "steel"})

  def test_store_adds_under_a_name_and_keeps_the_file(
    self, database, subject, wedge
  ):
    options = {"label": "wedge", "metadata": {"mass": "3"}, "unit": "cm"}
    report = subject.store(wedge, name="in/new.stl", **options)
    assert (report.new, report.failures) == (1, ())
    data = wedge.read_bytes()
    wedge.unlink()
    assert subject.read_file("in/new.stl") == data
    (model,) = (m for m in subject.models() if m.name == "in/new.stl")
    assert (model.label, model.metadata) == ("wedge", {"mass": "3"})
    assert (model.unit, model.source) == ("cm, assumed", "added")

  def test_store_of_the_same_file_is_unchanged(self, subject, wedge):
    subject.store(wedge, name="new.stl")
    report = subject.store(wedge, name="new.stl")
    assert (report.new, report.unchanged) == (0, 1)

  def test_store_of_another_file_under_a_known_name_raises(
    self, subject, wedge, rod
  ):
    subject.store(wedge, name="new.stl")
    with pytest.raises(Dr3dError, match=r"another model 'new\.stl'"):
      subject.store(rod, name="new.stl")
    assert subject.read_file("new.stl") == wedge.read_bytes()

  def test_store_of_a_bad_file_leaves_nothing(self, subject, tmp_path):
    bad = tmp_path / "bad.stl"
    bad.write_bytes(b"solid nothing\nendsolid nothing\n")
    before = subject.count_states()
    report = subject.store(bad, name="in/bad.stl")
    (failure,) = report.failures
    assert failure.model == "in/bad.stl"
    assert failure.reason.startswith("in/bad.stl ")
    assert subject.count_states() == before

  def test_label_changes_the_prediction(self, subject, wedge):
    subject.store(wedge, name="new.stl", label="wedge")
    subject.label("new.stl", "prism")
    assert subject.query(wedge).prediction.label == "prism"

  def test_words_find_what_was_edited(self, subject, database):
    subject.edit("box/flat.stl", label="lid", metadata={"number": "PN-1.2"})
    subject.edit("round/ball.stl", metadata={"number": "PN-3.4"})
    names = [model.name for model in subject.find_models("pn12 lid")]
    assert names == ["box/flat.stl"]
    condition = Filter(where={"number": ["PN-3.4"]}, state="indexed")
    names = [model.name for model in subject.find_models("pn", condition)]
    assert names == ["round/ball.stl"]
    assert len(subject.find_models("", Filter(smallest=60))) == 1
    database.refresh()
    model = database.find_model("box/flat.stl")
    assert (model.label, model.metadata) == ("lid", {"number": "PN-1.2"})

  def test_columns_to_show_are_kept(self, subject, database):
    subject.edit("box/flat.stl", metadata={"number": "1", "colour": "red"})
    subject.show_columns(["colour"])
    database.refresh()
    assert database.shown_columns == ("colour",)
    with pytest.raises(Dr3dError, match="'weight'"):
      subject.show_columns(["weight"])

  def test_remove_takes_all_or_nothing(self, subject):
    with pytest.raises(Dr3dError, match="no model 'none'"):
      subject.remove(["box/flat.stl", "none"])
    assert subject.count_states()["indexed"] == len(BODIES)
    subject.remove(["box/flat.stl", "box/long.stl"])
    assert subject.count_states()["indexed"] == len(BODIES) - 2

  @pytest.mark.parametrize(
    "call",
    [
      lambda subject: subject.query_similar("none"),
      lambda subject: subject.read_file("none"),
      lambda subject: subject.label("none", "x"),
      lambda subject: subject.remove(["none"]),
    ],
    ids=["query_similar", "read_file", "label", "remove"],
  )
  def test_unknown_name_raises(self, subject, call):
    with pytest.raises(Dr3dError, match="no model 'none'"):
      call(subject)

  def test_missing_file_raises_with_its_name(self, subject, tmp_path):
    with pytest.raises(Dr3dError, match=r"gone\.stl"):
      subject.query(tmp_path / "gone.stl")
    with pytest.raises(Dr3dError, match=r"gone\.stl"):
      subject.store(tmp_path / "gone.stl", name="gone.stl")

  def test_unknown_label_raises_with_the_label(self, subject, rod):
    with pytest.raises(Dr3dError, match="'cone'"):
      subject.query(rod, condition=Condition(labels=["cone"]))
