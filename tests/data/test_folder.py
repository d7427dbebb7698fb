import json
import os

import pytest

from dr3d.data import folder
from dr3d.data.folder import ModelFile, find_models, hash_file, read_labels
from dr3d.error import Dr3dError, LabelError

pytestmark = pytest.mark.fast


def put(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(name))


def found(root, **options):
  return {file.name: file.label for file in find_models(root, **options)}


def table(path, *lines, encoding="utf-8"):
  path.write_text("\n".join(lines) + "\n", encoding=encoding)
  return path


def test_label_is_the_name_of_the_folder(tmp_path):
  put(tmp_path, "loose.stl", "nut/m3.obj", "bolt/iso 4762/m3.ply")
  assert find_models(str(tmp_path)) == [
    ModelFile(
      tmp_path / "bolt/iso 4762/m3.ply", "bolt/iso 4762/m3.ply", "iso 4762"
    ),
    ModelFile(tmp_path / "loose.stl", "loose.stl", ""),
    ModelFile(tmp_path / "nut/m3.obj", "nut/m3.obj", "nut"),
  ]


def test_only_mesh_extensions_are_found_in_any_case(tmp_path):
  good = ["A.STL", "b.Obj", "c.ply", "d.off", "e.glb", "f.gltf", "g.3mf"]
  put(tmp_path, *good, "h.fbx", "stl", "i.stl.bak", "readme.txt")
  assert list(found(tmp_path)) == good


def test_hidden_files_and_folders_are_skipped(tmp_path):
  put(tmp_path, "a.stl", "._a.stl", ".git/b.stl", "x/.c.stl", "x/.y/z/d.stl")
  assert list(found(tmp_path)) == ["a.stl"]


def test_relative_folder_gives_the_same_names(tmp_path, monkeypatch):
  put(tmp_path, "x/a.stl", "b.stl")
  monkeypatch.chdir(tmp_path)
  assert found(".") == found(tmp_path) == {"b.stl": "", "x/a.stl": "x"}


def test_unusual_file_names_are_found_and_can_be_stored(tmp_path):
  put(tmp_path, "螺丝 ø/line\nbreak.stl", "a,b;'\"%s?#.stl")
  put(tmp_path, os.fsdecode(b"caf\xe9/\xff.stl"))
  files = find_models(tmp_path)
  assert {file.name: file.label for file in files} == {
    "a,b;'\"%s?#.stl": "",
    "caf\\xe9/\\xff.stl": "caf\\xe9",
    "螺丝 ø/line\nbreak.stl": "螺丝 ø",
  }
  for file in files:
    assert file.path.is_file()


def test_links_are_followed_once_without_cycles(tmp_path):
  put(tmp_path, "root/z/a.stl", "elsewhere/b.stl")
  root = tmp_path / "root"
  (root / "z" / "up").symlink_to(root)
  (root / "a_link_to_z").symlink_to(root / "z")
  (root / "first").symlink_to(tmp_path / "elsewhere")
  (root / "second").symlink_to(tmp_path / "elsewhere")
  (root / "self").symlink_to(root / "self")
  (root / "c.stl").symlink_to(tmp_path / "elsewhere" / "b.stl")
  assert list(found(root)) == ["c.stl", "first/b.stl", "z/a.stl"]


def test_broken_link_is_listed(tmp_path):
  put(tmp_path, "a.stl")
  (tmp_path / "b.stl").symlink_to(tmp_path / "gone")
  assert list(found(tmp_path)) == ["a.stl", "b.stl"]


def test_pipes_and_folders_are_not_listed(tmp_path):
  put(tmp_path, "a.stl", "folder.stl/b.stl")
  os.mkfifo(tmp_path / "pipe.stl")
  assert list(found(tmp_path)) == ["a.stl", "folder.stl/b.stl"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_table_gives_labels_and_unlisted_files_have_none(tmp_path, encoding):
  put(tmp_path, "x/a.stl", "x/b.stl", "c.stl", "d.stl")
  labels = table(
    tmp_path / "labels.csv",
    "source, Class ,file",
    "web,hex nut,x/a.stl",
    "",
    'web,"nut, square",./c.stl',
    "web,,d.stl",
    "again,hex nut,x/a.stl",
    encoding=encoding,
  )
  assert found(tmp_path, labels=labels) == {
    "c.stl": "nut, square",
    "d.stl": "",
    "x/a.stl": "hex nut",
    "x/b.stl": "",
  }
  assert read_labels(str(labels)) == {
    "x/a.stl": "hex nut",
    "c.stl": "nut, square",
    "d.stl": "",
  }


@pytest.mark.parametrize(
  ("lines", "message"),
  [
    (["file,label", "a.stl,nut"], "first line; it lacks class"),
    (["a.stl,nut"], "it lacks file and class"),
    ([""], "it lacks file and class"),
    (["file,class", "a.stl"], "line 2: the row lacks file or class"),
    (["file,class", ",nut"], "line 2: the row lacks file or class"),
    (
      ["file,class", "a.stl,nut", "b.stl,nut", "a.stl,bolt"],
      "line 4: 'a.stl' has the class 'bolt', but line 2 says 'nut'",
    ),
    (
      ["file,class", "a.stl,nut", "b.stl,", "b.stl,nut"],
      "line 4: 'b.stl' has the class 'nut', but line 3 says ''",
    ),
    (
      ["file,class", "a.stl,nut", "z.stl,nut"],
      "line 3: 'z.stl' does not exist in ",
    ),
    (
      ["file,class", "notes.txt,nut"],
      "line 2: 'notes.txt' is not among the mesh files of ",
    ),
    (["file,class", 'a.stl,"nut'], "is not a CSV file in UTF-8"),
  ],
)
def test_invalid_table_raises_with_path_line_and_reason(
  tmp_path, lines, message
):
  put(tmp_path, "a.stl", "b.stl", "notes.txt")
  labels = table(tmp_path / "labels.csv", *lines)
  with pytest.raises(LabelError) as error:
    find_models(tmp_path, labels=labels)
  assert str(error.value).startswith(str(labels))
  assert message in str(error.value)
  assert str(error.value).endswith(".")
  assert "\n" not in str(error.value)


def test_unreadable_table_raises_with_its_path(tmp_path):
  put(tmp_path, "a.stl")
  with pytest.raises(LabelError, match=r"none.csv cannot be read \(No such"):
    find_models(tmp_path, labels=tmp_path / "none.csv")
  labels = table(
    tmp_path / "l.csv", "file,class", "a.stl,Mütze", encoding="latin-1"
  )
  with pytest.raises(LabelError, match="not a CSV file in UTF-8"):
    find_models(tmp_path, labels=labels)


def test_folder_without_models_raises(tmp_path):
  put(tmp_path, "notes.txt")
  with pytest.raises(Dr3dError, match=r"contains no mesh file \(.stl, "):
    find_models(tmp_path)
  with pytest.raises(Dr3dError, match="nowhere does not exist; give a folder"):
    find_models(tmp_path / "nowhere")
  with pytest.raises(Dr3dError, match=r"notes.txt is not a folder; give"):
    find_models(tmp_path / "notes.txt")


def test_unreadable_subfolder_raises(tmp_path, monkeypatch):
  put(tmp_path, "a.stl", "closed/b.stl")
  scan = os.scandir

  def scan_or_raise(path):
    if os.fspath(path).endswith("closed"):
      raise PermissionError(13, "Permission denied", os.fspath(path))
    return scan(path)

  monkeypatch.setattr(os, "scandir", scan_or_raise)
  with pytest.raises(Dr3dError, match=r"closed cannot be read \(Permission"):
    find_models(tmp_path)


def test_hash_is_sha256_of_the_content(tmp_path):
  put(tmp_path, "a.stl")
  assert hash_file(tmp_path / "a.stl") == (
    "51798a5415571500074fb57a5112976c0695f7c92806ebaa36253bd7df98a143"
  )


def test_hash_of_gltf_includes_its_buffer_files(tmp_path):
  path = tmp_path / "a.gltf"
  buffers = [{"uri": "my%20mesh.bin"}, {"uri": "data:,x"}, {"uri": "no"}, {}]
  path.write_text(json.dumps({"buffers": buffers}))
  (tmp_path / "my mesh.bin").write_bytes(b"one")
  first = hash_file(path)
  assert hash_file(path) == first
  (tmp_path / "my mesh.bin").write_bytes(b"two")
  assert hash_file(path) != first


@pytest.mark.parametrize(
  "content", ["", "[]", "{", '{"buffers": 3}', '{"buffers": [null]}', "\xff"]
)
def test_damaged_gltf_file_has_a_hash(tmp_path, content):
  path = tmp_path / "a.gltf"
  path.write_text(content, encoding="latin-1")
  assert len(hash_file(path)) == 64


def test_other_columns_of_table_are_metadata(tmp_path):
  put(tmp_path / "m", "a.stl", "b.stl")
  table = tmp_path / "labels.csv"
  table.write_text("file,Steel,class,maker,\na.stl, A2 ,bolt,,x\n")
  one, two = find_models(tmp_path / "m", labels=table)
  assert (one.label, one.metadata) == ("bolt", {"steel": "A2"})
  assert (two.label, two.metadata) == ("", {})
  one, _ = find_models(tmp_path / "m")
  assert one.metadata is None


def test_other_formats_are_counted_and_shapeless_files_are_not(tmp_path):
  put(tmp_path, "a.stl", "b.sldprt", "c.fbx", "d.FBX", "e.zip", "f.step.gz")
  put(tmp_path, "g.png", "h.txt", "README", "i.mtl", ".hidden.fbx")
  counts = folder.count_other_files(tmp_path)
  assert list(counts.items()) == [("fbx", 2), ("sldprt", 1), ("zip", 1)]
  assert folder.describe_other_files(counts) == (
    "4 files of 3 other formats were not read: 2 .fbx, 1 .sldprt, 1 .zip; "
    "export STEP from CAD programs (.sldprt)."
  )
  assert list(found(tmp_path)) == ["a.stl", "f.step.gz"]


def test_folder_of_other_formats_alone_says_what_it_holds(tmp_path):
  put(tmp_path, "a.jt", "b.fbx")
  with pytest.raises(Dr3dError, match=r"no mesh file.*1 \.fbx, 1 \.jt"):
    find_models(tmp_path)


def test_folder_without_other_formats_says_nothing(tmp_path):
  put(tmp_path, "a.stl", "b.png")
  assert folder.describe_other_files(folder.count_other_files(tmp_path)) == ""


def test_hash_of_gltf_leaves_out_files_elsewhere_and_deep_nesting(tmp_path):
  path = tmp_path / "models" / "a.gltf"
  path.parent.mkdir()
  other = tmp_path / "other.bin"
  (path.parent / "link.bin").symlink_to(other)
  (path.parent / "folder.bin").mkdir()
  for uri in ("../other.bin", "link.bin", str(other), "folder.bin", "x" * 9999):
    path.write_text(json.dumps({"buffers": [{"uri": uri}]}))
    other.write_bytes(b"one")
    first = hash_file(path)
    other.write_bytes(b"two")
    assert hash_file(path) == first
  path.write_bytes(b'{"buffers":' + b"[" * 200_000)
  assert len(hash_file(path)) == 64
