"""Properties of untrusted input: mesh files, names, orders of commands.

A few examples of each in every run; `--hypothesis-profile=thorough` tries a
thousand.
"""

import dataclasses
import os
import pathlib
import shutil
import struct
import tempfile

import numpy as np
import pytest
from hypothesis import assume, given, target
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from hypothesis.stateful import (
  Bundle,
  RuleBasedStateMachine,
  consumes,
  initialize,
  invariant,
  rule,
)
from support.standin import StoredPipeline

from dr3d.data.folder import find_models
from dr3d.database.catalogue import FAILED, INDEXED, MISSING, OUTDATED
from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.error import Dr3dError, MeshError
from dr3d.mesh import make_mesh
from dr3d.mesh.io.reader import FORMATS, read_raw
from experiments.corpus import make_seeds

# The parser of STEP files can crash: it is tried in processes of its own only.
SEEDS = {
  name: data for name, data in make_seeds().items() if "step" not in name
}


@st.composite
def surfaces(draw):
  """Vertices float32 [V, 3] and faces [F, 3], of whatever shape."""
  numbers = st.floats(-1e6, 1e6, width=32)
  vertices = draw(arrays.arrays(np.float32, (draw(st.integers(3, 9)), 3),
                                elements=numbers))  # fmt: skip
  corner = st.integers(0, len(vertices) - 1)
  face = st.lists(corner, min_size=3, max_size=3, unique=True)
  faces = draw(st.lists(face, min_size=1, max_size=8))
  return vertices, np.array(faces)


@st.composite
def damaged(draw):
  """A good file with one to three things wrong with it: name and content."""
  name = draw(st.sampled_from(sorted(SEEDS)))
  data = SEEDS[name]
  for _ in range(draw(st.integers(1, 3))):
    at = draw(st.integers(0, len(data)))
    gone = draw(st.integers(0, 64) | st.just(len(data)))
    data = data[:at] + draw(st.binary(max_size=16)) + data[at + gone :]
  return name, data


def attempt(function, *args, **options):
  """Returns a function's result, or None and the message of its MeshError."""
  try:
    return function(*args, **options), ""
  except MeshError as error:
    return None, str(error)


def write(vertices, faces, extension):
  """Writes a mesh file without a library."""
  rows = [" ".join(map(repr, map(float, row))) for row in vertices]
  if extension == "stl":
    count = struct.pack("<80xI", len(faces))
    corners = vertices[faces].astype("<f4")
    return count + b"".join(
      bytes(12) + face.tobytes() + bytes(2) for face in corners
    )
  if extension == "obj":
    lines = [f"v {row}" for row in rows]
    lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
  else:
    lines = [*rows, *("3 " + " ".join(map(str, face)) for face in faces)]
  if extension == "off":
    lines = ["OFF", f"{len(rows)} {len(faces)} 0", *lines]
  if extension == "ply":
    lines = [
      *("ply", "format ascii 1.0", f"element vertex {len(rows)}"),
      *(f"property double {axis}" for axis in "xyz"),
      *(f"element face {len(faces)}", "property list uchar int vertex_indices"),
      *("end_header", *lines),
    ]
  return "\n".join([*lines, ""]).encode()


@given(
  surface=surfaces(), extension=st.sampled_from(["stl", "obj", "off", "ply"])
)
def test_written_surface_is_read_back(surface, extension):
  vertices, faces = surface
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"a.{extension}"
    path.write_bytes(write(vertices, faces, extension))
    raw = read_raw(path)
  np.testing.assert_array_equal(raw.vertices[raw.faces], vertices[faces])


@given(
  file=damaged()
  | st.tuples(
    st.sampled_from(FORMATS[:8]).map("a.{}".format), st.binary(max_size=300)
  )
)
def test_damaged_file_is_read_or_raises_one_mesh_error(file):
  name, data = file
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / name
    path.write_bytes(data)
    raw, error = attempt(read_raw, path)
  if raw is None:
    assert error.startswith(str(path))
    assert error.endswith(".")
    return
  assert raw.vertices.shape[1:] == raw.faces.shape[1:] == (3,)
  assert len(raw.faces) > 0
  assert raw.body_count >= 1


@given(
  vertices=arrays.arrays(
    np.float64, st.tuples(st.integers(0, 12), st.just(3)),
    elements=st.floats(width=32) | st.integers(-2, 2).map(float),
  ),
  faces=arrays.arrays(
    np.int64, st.tuples(st.integers(0, 12), st.just(3)),
    elements=st.integers(-1, 12),
  ),
)  # fmt: skip
def test_arrays_give_a_mesh_in_the_unit_sphere_or_a_mesh_error(vertices, faces):
  mesh, error = attempt(make_mesh, vertices, faces, face_budget=8)
  if mesh is None:
    assert error.startswith("the mesh")
    return
  target(float(len(mesh.faces)))
  length = np.linalg.norm(mesh.vertices, axis=1)
  assert length.max() <= 1 + 1e-6
  assert 0 < mesh.radius < np.inf
  assert len(mesh.faces) <= 8
  np.testing.assert_allclose(mesh.frame @ mesh.frame.T, np.eye(3), atol=1e-5)
  np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=2), 1, atol=1e-5)
  assert (mesh.extent <= 2 * mesh.radius * (1 + 1e-9)).all()


names = st.binary(min_size=1, max_size=12).filter(
  lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)


@given(
  folders=st.lists(names, max_size=3),
  stems=st.lists(names, min_size=1, max_size=4),
  extension=st.sampled_from([b".stl", b".PLY", b".txt", b""]),
)
def test_files_of_any_name_are_found_under_unique_names(
  folders, stems, extension
):
  with tempfile.TemporaryDirectory() as temporary:
    root = os.fsencode(temporary)
    expected = set()
    for stem in stems:
      parts = [*folders, stem + extension]
      path = os.path.join(root, *parts)
      try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
          file.write(b"x")
      except (FileExistsError, NotADirectoryError):
        assume(False)
      suffix = pathlib.PurePath(os.fsdecode(parts[-1])).suffix.lower()
      if suffix[1:] in FORMATS and not any(p.startswith(b".") for p in parts):
        expected.add(path)
    if not expected:
      with pytest.raises(Dr3dError, match="contains no mesh file"):
        find_models(temporary)
      return
    files = find_models(temporary)
  assert {os.fsencode(file.path) for file in files} == expected
  assert len({file.name for file in files}) == len(files)
  for file in files:
    file.name.encode()  # can be stored, printed and put into JSON
    file.label.encode()


@dataclasses.dataclass(frozen=True)
class StubMesh:
  """Replaces a mesh."""

  seed: int
  radius: float = 1.0
  extent: tuple = (1.0, 1.0, 1.0)
  faces: tuple = (0,)
  face_count: int = 1
  debris: int = 0
  box: None = None
  smallest_box: None = None


def load(path):
  text = path.read_text()
  if text == "broken":
    raise MeshError(f"{path} is broken.")
  return StubMesh(int(text))


class Pipeline(StoredPipeline):
  """Vectors that depend on seed and fingerprint."""

  face_budget = 8

  def embed(self, meshes):
    rows = [
      np.random.default_rng([mesh.seed, len(self.fingerprint)]).normal(
        size=(2, 8)
      )
      for mesh in meshes
    ]
    vectors = np.stack(rows)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return vectors.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Row:
  """The expected catalogue row of a model."""

  state: str
  label: str
  content: str
  source: str
  fingerprint: str
  by_hand: bool = False  # whether the label outlives the name of the folder


class DatabaseLife(RuleBasedStateMachine):
  """Any order of commands gives the state of a simple dictionary model."""

  files = Bundle("files")

  def __init__(self):
    super().__init__()
    self.root = pathlib.Path(tempfile.mkdtemp())
    self.models = self.root / "models"
    self.models.mkdir()
    self.present: dict[str, str] = {}
    self.rows: dict[str, Row] = {}
    self.pipeline = Pipeline("p")

  def teardown(self):
    shutil.rmtree(self.root)

  @initialize(target=files)
  def create(self):
    self.database = Database.create(
      self.root / "db", self.pipeline, load_pipeline=Pipeline.load
    )
    name = self.write("", 0, "0")
    self.update()  # from now on, names are relative to the folder
    return name

  @rule(
    target=files,
    folder=st.sampled_from(["", "nut/", "bolt/"]),
    number=st.integers(0, 3),
    content=st.integers(0, 5).map(str) | st.just("broken"),
  )
  def write(self, folder, number, content):
    name = f"{folder}{number}.stl"
    path = self.models / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    self.present[name] = content
    return name

  @rule(name=consumes(files))
  def delete(self, name):
    (self.models / name).unlink(missing_ok=True)
    self.present.pop(name, None)

  def expect_row(self, name, label, source, *, by_hand=False):
    content = self.present[name]
    state = FAILED if content == "broken" else INDEXED
    fingerprint = self.pipeline.fingerprint
    before = self.rows.get(name)
    if before is not None and before.by_hand and not by_hand:
      label, by_hand = before.label, True
    self.rows[name] = Row(state, label, content, source, fingerprint, by_hand)

  @rule()
  def update(self):
    if not self.present:
      with pytest.raises(Dr3dError, match="contains no mesh file"):
        self.database.update(self.models, load=load)
      return
    report = self.database.update(self.models, load=load)
    for name, row in self.rows.items():
      if name not in self.present and row.source == "folder":
        self.rows[name] = dataclasses.replace(row, state=MISSING)
    for name in self.present:
      self.expect_row(name, str(pathlib.PurePath(name).parent.name), "folder")
    broken = [name for name, text in self.present.items() if text == "broken"]
    assert [failure.model for failure in report.failures] == sorted(broken)
    again = self.database.update(self.models, load=load)
    assert (again.new, again.changed, again.missing) == (0, 0, 0)

  @rule(name=files, label=st.none() | st.sampled_from(["nut", "螺丝"]))
  def add(self, name, label):
    assume(name in self.present)
    reader = FileReader(load=load)
    self.database.add([self.models / name], label=label, reader=reader)
    before = self.rows[name].label if name in self.rows else ""
    self.expect_row(
      name,
      before if label is None else label,
      "added",
      by_hand=label is not None,
    )

  @rule(name=files, label=st.sampled_from(["", "nut", "螺丝"]))
  def label(self, name, label):
    if name in self.rows:
      self.database.label(name, label)
      self.rows[name] = dataclasses.replace(
        self.rows[name], label=label, by_hand=True
      )

  @rule(name=files)
  def remove(self, name):
    if name in self.rows:
      self.database.remove([name])
      del self.rows[name]
    else:
      with pytest.raises(Dr3dError, match="has no model"):
        self.database.remove([name])

  @rule()
  def change_pipeline(self):
    self.pipeline = Pipeline(self.pipeline.fingerprint + "p")
    self.database.rebuild(self.pipeline)
    for name, row in self.rows.items():
      if row.state == INDEXED:
        self.rows[name] = dataclasses.replace(row, state=OUTDATED)

  @rule()
  def reopen(self):
    self.database = Database.open(self.root / "db", load_pipeline=Pipeline.load)

  @rule()
  def move(self):
    home = self.database.directory
    shutil.copytree(home, self.root / "copy")
    shutil.rmtree(home)
    (self.root / "copy").rename(home)

  @invariant()
  def rows_equal_those_of_the_dictionary(self):
    found = {
      model.name: (model.state, model.label, model.source)
      for model in self.database.models()
    }
    assert found == {
      name: (row.state, row.label, row.source)
      for name, row in self.rows.items()
    }

  @invariant()
  def indexed_models_are_found_and_no_others(self):
    indexed = {n: r for n, r in self.rows.items() if r.state == INDEXED}
    if not indexed:
      with pytest.raises(Dr3dError, match="no indexed model"):
        self.database.gallery  # noqa: B018
      return
    gallery = self.database.gallery
    assert gallery.names == tuple(sorted(indexed))
    for name, row in indexed.items():
      answer = self.database.query(StubMesh(int(row.content)), k=len(indexed))
      same = [n for n, r in sorted(indexed.items()) if r.content == row.content]
      assert [match.model for match in answer.matches[: len(same)]] == same
      assert answer.matches[0].score == 1.0
      assert name in same


TestDatabaseLife = DatabaseLife.TestCase
