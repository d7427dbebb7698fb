"""Labels, metadata and units that were given outlive what a run derives."""

import pytest
import trimesh
from support.upkeep import Pipeline

import dr3d
from dr3d import cli
from dr3d.data.folder import find_models
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import LabelError

pytestmark = pytest.mark.fast

HERE = FileReader(jobs=0)


def write_box(path, *sides):
  path.parent.mkdir(parents=True, exist_ok=True)
  trimesh.creation.box(sides).export(path)
  return path


@pytest.fixture
def models(tmp_path):
  root = tmp_path / "models"
  write_box(root / "kind/a.stl", 1, 2, 3)
  write_box(root / "kind/b.stl", 1, 2, 4)
  write_box(root / "c.stl", 1, 2, 5)
  return root


@pytest.fixture
def database(tmp_path, models):
  made = Database.create(
    tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load
  )
  made.update(models, reader=HERE)
  return made


@pytest.fixture
def table(tmp_path):
  def write(*lines):
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path

  return write


def labels(database):
  return {model.name: model.label for model in database.models()}


def units(database):
  return {model.name: model.unit for model in database.models()}


def longest(database):
  return {
    m.name: round(max(m.extent), 3) for m in database.models() if m.extent
  }


# Labels.


def test_labels_of_a_table_outlive_a_run_without_it(database, models, table):
  listed = table("file,class", "kind/a.stl,bolt", "c.stl,")
  database.update(models, labels=listed, reader=HERE)
  given = {"kind/a.stl": "bolt", "kind/b.stl": "", "c.stl": ""}
  assert labels(database) == given
  report = database.update(models, reader=HERE)
  assert labels(database) == given
  assert (report.changed, report.unchanged, report.relabelled) == (0, 3, 0)


def test_label_set_by_hand_outlives_folder_and_table(database, models, table):
  database.label("kind/a.stl", "mine")
  database.add([models / "c.stl"], label="too", reader=HERE)
  assert database.update(models, reader=HERE).labels_kept == 0
  assert labels(database) == {
    "kind/a.stl": "mine", "kind/b.stl": "kind", "c.stl": "too",
  }  # fmt: skip
  listed = table("file,class", "kind/a.stl,bolt", "kind/b.stl,nut")
  report = database.update(models, labels=listed, reader=HERE)
  assert labels(database) == {
    "kind/a.stl": "mine", "kind/b.stl": "nut", "c.stl": "too",
  }  # fmt: skip
  assert (report.labels_kept, report.relabelled) == (1, 0)


def test_empty_label_set_by_hand_outlives_the_folder(database, models):
  database.label("kind/a.stl", "")
  database.update(models, reader=HERE)
  assert labels(database)["kind/a.stl"] == ""


def test_new_table_replaces_the_label_of_a_former_one(database, models, table):
  first = table("file,class", "kind/a.stl,bolt", "kind/b.stl,nut")
  database.update(models, labels=first, reader=HERE)
  second = table("file,class", "kind/a.stl,screw")
  report = database.update(models, labels=second, reader=HERE)
  assert labels(database) == {
    "kind/a.stl": "screw", "kind/b.stl": "nut", "c.stl": "",
  }  # fmt: skip
  assert (report.relabelled, report.labels_kept) == (1, 0)


def test_replacing_is_asked_for_and_counted(database, models, table):
  listed = table("file,class", "kind/a.stl,bolt", "kind/b.stl,nut")
  database.update(models, labels=listed, reader=HERE)
  database.label("kind/b.stl", "mine")
  report = database.update(models, reader=HERE, replace=True)
  assert labels(database) == {
    "kind/a.stl": "kind", "kind/b.stl": "kind", "c.stl": "",
  }  # fmt: skip
  assert report.relabelled == 2


def test_label_outlives_a_change_of_the_file(database, models):
  database.label("kind/a.stl", "mine")
  write_box(models / "kind/a.stl", 1, 2, 9)
  assert database.update(models, reader=HERE).changed == 1
  assert labels(database)["kind/a.stl"] == "mine"
  (models / "kind/a.stl").write_text("nothing")
  database.update(models, reader=HERE)
  write_box(models / "kind/a.stl", 1, 2, 3)
  database.update(models, reader=HERE)
  assert labels(database)["kind/a.stl"] == "mine"


def test_metadata_that_was_given_outlives_a_table(database, models, table):
  path = models / "kind/a.stl"
  database.add([path], metadata={"maker": "acme", "no": "1"}, reader=HERE)
  listed = table("file,class,no", "kind/a.stl,bolt,2", "kind/b.stl,nut,3")
  database.update(models, labels=listed, reader=HERE)
  metadata = {m.name: m.metadata for m in database.models()}
  assert metadata["kind/a.stl"] == {"maker": "acme", "no": "2"}
  assert metadata["kind/b.stl"] == {"no": "3"}
  database.update(models, labels=listed, reader=HERE, replace=True)
  metadata = {m.name: m.metadata for m in database.models()}
  assert metadata["kind/a.stl"] == {"no": "2"}


# Units.


def test_unit_of_an_added_file_is_that_of_no_other(database, models):
  database.update(models, unit="mm", reader=HERE)
  database.add([models / "kind/a.stl"], unit="inch", reader=HERE)
  wanted = {"c.stl": 5, "kind/a.stl": 76.2, "kind/b.stl": 4}
  assert longest(database) == wanted
  report = database.update(models, reader=HERE)
  assert longest(database) == wanted
  assert report.assumed == {"mm": 2, "inch": 1}
  database.update(models, unit="cm", reader=HERE)  # of all others
  assert longest(database) == {
    "c.stl": 50,
    "kind/a.stl": 76.2,
    "kind/b.stl": 40,
  }


def test_unit_of_an_added_file_is_not_that_of_later_ones(database, models):
  other = write_box(models.parent / "one.stl", 1, 2, 6)
  database.add([other], unit="inch", reader=HERE)
  later = write_box(models.parent / "two.stl", 1, 2, 7)
  database.add([later], reader=HERE)
  assert units(database)[str(later)] == "mm, assumed"
  assert database.unit == "mm"


def test_unit_column_is_for_each_file(database, models, table):
  listed = table("file,class,unit", "kind/a.stl,bolt,inch", "kind/b.stl,nut,")
  report = database.update(models, labels=listed, unit="cm", reader=HERE)
  assert longest(database) == {
    "c.stl": 50,
    "kind/a.stl": 76.2,
    "kind/b.stl": 40,
  }
  assert report.assumed == {"cm": 2, "inch": 1}
  database.update(models, reader=HERE)  # without the table
  assert units(database)["kind/a.stl"] == "inch, assumed"
  assert database.models()[1].metadata == {}
  database.update(models, unit="mm", reader=HERE, replace=True)
  assert set(units(database).values()) == {"mm, assumed"}


def test_unit_column_without_classes_keeps_names_of_folders(
  database, models, table
):
  listed = table("file,unit", "kind/a.stl,inch")
  database.update(models, labels=listed, reader=HERE)
  assert labels(database) == {
    "kind/a.stl": "kind", "kind/b.stl": "kind", "c.stl": "",
  }  # fmt: skip
  assert units(database)["kind/a.stl"] == "inch, assumed"


def test_unit_that_a_file_states_is_kept(database, models, table):
  scene = trimesh.Scene(trimesh.creation.box([0.01, 0.02, 0.03]))
  (models / "d.glb").write_bytes(scene.export(file_type="glb"))  # in metres
  listed = table("file,unit", "d.glb,inch")
  report = database.update(models, labels=listed, reader=HERE)
  assert units(database)["d.glb"] == "m"
  assert longest(database)["d.glb"] == 30
  assert sum(report.assumed.values()) == 3


@pytest.mark.parametrize(
  ("lines", "message"),
  [
    (
      ["file,class,unit", "c.stl,x,mile"],
      "line 2: the unit must be one of mm,",
    ),
    (
      ["file,class,unit", "c.stl,x,mm", "c.stl,x,cm"],
      "line 3: 'c.stl' has the unit 'cm', but line 2 says 'mm'",
    ),
  ],
)
def test_invalid_unit_column_raises_with_line(models, table, lines, message):
  with pytest.raises(LabelError, match=message):
    find_models(models, labels=table(*lines))


def test_unit_given_for_an_unreadable_file_is_remembered(database, models):
  (models / "bad.stl").write_text("nothing")
  database.add([models / "bad.stl"], unit="inch", reader=HERE)
  write_box(models / "bad.stl", 1, 1, 1)
  database.update(models, reader=HERE)
  assert longest(database)["bad.stl"] == 25.4


def test_report_of_the_command_shows_units_and_labels(
  tmp_path, models, table, monkeypatch, capsys
):
  monkeypatch.setenv("DR3D_CACHE", str(tmp_path / "cache"))
  load = Pipeline.load
  monkeypatch.setattr(dr3d.Pipeline, "load", staticmethod(load))
  Database.create(tmp_path / "db", Pipeline())
  listed = table("file,class,unit", "kind/a.stl,bolt,inch")

  def run(*argv):
    status = cli.main(
      [argv[0], f"--db={tmp_path / 'db'}", "--jobs=0", *map(str, argv[1:])]
    )
    assert status == 0
    return capsys.readouterr()

  out, _ = run("index", f"--models={models}", f"--labels={listed}")
  assert "assumed for files that state none: inch for 1, mm for 2." in out
  run("add", models / "kind/b.stl", "--label=mine")
  table("file,class", "kind/a.stl,screw", "kind/b.stl,nut")
  out, err = run("index", f"--models={models}", f"--labels={listed}")
  assert "Labels that were given before and replaced: 1." in out
  assert "1 labels set by hand differ from the table and are kept" in err
  out, _ = run("index", f"--models={models}", f"--labels={listed}", "--replace")
  assert "Labels that were given before and replaced: 1." in out
  assert "mm for 3." in out


def test_index_chooses_the_metadata_to_show(tmp_path, models, table, capsys):
  listed = table("file,class,Part No,mass", "kind/a.stl,bolt,7-1,3")
  Database.create(tmp_path / "db", Pipeline(), load_pipeline=Pipeline.load)
  argv = [
    "index",
    f"--db={tmp_path / 'db'}",
    f"--models={models}",
    f"--labels={listed}",
    "--jobs=0",
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("dr3d.retrieval.pipeline.Pipeline", Pipeline)
    assert cli.main([*argv, "--show=mass, PART NO"]) == 0
    assert cli.main([*argv, "--show=weight"]) != 0
  assert "the known keys are mass, part no" in capsys.readouterr().err
  database = Database.open(tmp_path / "db", load_pipeline=Pipeline.load)
  assert database.shown_columns == ("mass", "part no")
