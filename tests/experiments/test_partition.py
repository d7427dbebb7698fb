import pathlib
import subprocess
import sys
import zipfile

import pytest

from dr3d.data.folder import ModelFile
from dr3d.error import LabelError
from experiments.partition import halve_classes, link_splits, read_splits

pytestmark = pytest.mark.fast


def write_table(path, text):
  path.write_text(text)
  return path


def test_splits_are_read_from_index_csv(tmp_path):
  write_table(
    tmp_path / "index.csv",
    "class,file,split,more\nnut,nut/a.stl,train,1\nnut,nut/b.stl,test,2\n"
    "bolt,bolt/c.stl,train,3\n",
  )
  splits = read_splits(tmp_path)
  assert {split: len(files) for split, files in splits.items()} == {
    "train": 2,
    "test": 1,
  }
  assert splits["test"] == [
    ModelFile(tmp_path / "nut/b.stl", "nut/b.stl", "nut")
  ]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("class,file\na,b\n", "lacks the column split"),
    ("", "lacks the column class and file and split"),
    ("class,file,split\n", "lists no file"),
  ],
)
def test_unusable_table_raises_with_the_reason(tmp_path, text, message):
  path = write_table(tmp_path / "t.csv", text)
  with pytest.raises(LabelError, match=message) as caught:
    read_splits(tmp_path, path)
  assert str(path) in str(caught.value)


def test_missing_table_raises_with_its_name(tmp_path):
  with pytest.raises(LabelError, match=r"index\.csv cannot be read \(No such"):
    read_splits(tmp_path)


def test_splits_are_linked_as_folders_of_classes(tmp_path):
  for name in ("a.stl", "more/b.stl", "c.stl"):
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
  table = write_table(
    tmp_path / "t.csv",
    "class,file,split\nnut,a.stl,train\nnut,more/b.stl,test\nbolt,c.stl,test\n",
  )
  splits = read_splits(tmp_path / "data", table)
  for _ in range(2):  # again, over what is there
    link_splits(splits, tmp_path / "out")
  found = sorted((tmp_path / "out").rglob("*.stl"))
  assert [
    (str(p.relative_to(tmp_path / "out")), p.read_text()) for p in found
  ] == [
    ("test/bolt/c.stl", "c.stl"),
    ("test/nut/b.stl", "more/b.stl"),
    ("train/nut/a.stl", "a.stl"),
  ]
  (again,) = read_splits(tmp_path / "out" / "test").values()
  assert [(file.label, file.name) for file in again] == [
    ("nut", "nut/b.stl"),
    ("bolt", "bolt/c.stl"),
  ]
  assert again[1].path.read_text() == "c.stl"


def test_halves_share_no_class_and_seen_half_holds_train_files_only(tmp_path):
  def files(*names):
    return [ModelFile(tmp_path / n, n, n.split("/")[0]) for n in names]

  halves = halve_classes(
    {
      "train": files("nut/a", "bolt/a", "axle/a"),
      "test": files("axle/b", "bolt/b", "nut/b"),
    }
  )
  assert halves == {
    "seen": files("nut/a", "axle/a"),
    "unseen": files("bolt/a", "bolt/b"),
  }
  with pytest.raises(LabelError, match='no file has the split "train"'):
    halve_classes({"test": files("nut/a")})


def test_two_files_of_one_name_raise(tmp_path):
  splits = {
    "test": [
      ModelFile(tmp_path / name, name, "nut") for name in ("x/a.stl", "y/a.stl")
    ]
  }
  with pytest.raises(LabelError, match=r"x/a\.stl and y/a\.stl would both be"):
    link_splits(splits, tmp_path)


def test_packages_are_sampled_by_label_of_their_library(tmp_path):
  for library, names in {
    "Pin_Header_1.27mm": "ab",
    "Pin_Header_2.54mm": "cdef",
    "Filter": "gh",
    "Valve": "i",
  }.items():
    folder = tmp_path / "3dmodels" / f"{library}.3dshapes"
    folder.mkdir(parents=True)
    for name in names:
      (folder / f"{name}.step").touch()
      (folder / f"{name}.wrl").touch()

  def sample(out):
    run = run_script(
      "sample_packages",
      f"--out={out}",
      f"--libraries={tmp_path / '3dmodels'}",
      "--count=3",
      "--least=2",
    )
    assert run == f"{out}: 5 parts with 2 labels\n"
    return sorted(path.relative_to(out) for path in out.glob("*/*"))

  sampled = sample(tmp_path / "one")
  assert [path.suffix for path in sampled] == [".step"] * 5
  assert [path.parent.name for path in sampled] == ["Filter"] * 2 + [
    "Pin_Header"
  ] * 3
  assert sampled == sample(tmp_path / "two")


def test_furniture_label_is_the_last_word_of_its_name(tmp_path):
  lines = [
    *("name=Some furniture", "# no thing"),
    *("name#1=Corner sofa 2", "model#1=/some/a/a.obj", "width#1=3"),
    *("name#2=Sofa", "model#2=/some/b/b.obj"),
    *("name#10=12", "model#10=/some/c/c.obj"),
  ]
  with zipfile.ZipFile(tmp_path / "some.sh3f", "w") as archive:
    archive.writestr("PluginFurnitureCatalog.properties", "\n".join(lines))
    for name in "abc":
      archive.writestr(f"some/{name}/{name}.obj", name)
  out = tmp_path / "out"
  run = run_script(
    "unpack_furniture", f"--out={out}", f"--libraries={tmp_path}"
  )
  assert run == f"{out}: 2 objects with 1 labels\n"
  files = {path.name: path.read_text() for path in (out / "sofa").iterdir()}
  assert files == {"some_a.obj": "a", "some_b.obj": "b"}


def run_script(name, *flags):
  """What a script of `experiments` prints."""
  return subprocess.run(
    [sys.executable, "-m", f"experiments.{name}", *flags],
    cwd=pathlib.Path(__file__).parents[2],
    check=True,
    capture_output=True,
    text=True,
  ).stdout
