"""Files that other libraries write hold what those libraries say they hold.

The right values come from the library that wrote the file, or from a closed
form: never from a reader of dr3d.
"""

import pathlib

import numpy as np
import pytest
import trimesh
from support.brep_files import solid, write_iges, write_step
from support.mesh_files import area, export, volume, wedge

from dr3d.mesh.io.reader import RawMesh, read_raw

TOLERANCE = 1e-5  # relative; files hold numbers of 32 bits


def ring() -> trimesh.Trimesh:
  """A washer: a hole through it, and flat faces of many triangles."""
  return trimesh.creation.annulus(3, 5, 2, sections=24)


def check(raw: RawMesh, expected: trimesh.Trimesh, count: int = 1) -> None:
  """Compares area, volume, bounds and bodies; lengths in millimetres."""
  assert area(raw) == pytest.approx(expected.area, rel=TOLERANCE)
  assert volume(raw) == pytest.approx(expected.volume, rel=TOLERANCE)
  used = raw.vertices[np.unique(raw.faces)] * (raw.unit or 1)
  bounds = [used.min(axis=0), used.max(axis=0)]
  np.testing.assert_allclose(bounds, expected.bounds, atol=1e-4)
  assert raw.body_count == count


def metres(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
  return mesh.copy().apply_scale(1e-3)


@pytest.mark.parametrize("make", [wedge, ring])
@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("a.stl", {}),
    ("b.stl", {"file_type": "stl_ascii"}),
    ("a.obj", {}),
    ("a.ply", {}),
    ("b.ply", {"encoding": "ascii"}),
    ("a.off", {}),
    ("a.3mf", {}),
  ],
)
def test_file_of_trimesh_holds_its_mesh(tmp_path, make, name, options):
  suffix = name.split(".")[1]
  path = tmp_path / name
  path.write_bytes(export(make(), **({"file_type": suffix} | options)))
  check(read_raw(path), make())


@pytest.mark.parametrize("suffix", ["glb", "dae"])
def test_file_of_trimesh_in_metres_holds_its_mesh(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  path.write_bytes(export(metres(ring()), suffix))
  check(read_raw(path), ring())


@pytest.mark.parametrize("make", [wedge, ring])
@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("a.stl", {"binary": True}),
    ("b.stl", {"binary": False}),
    ("a.ply", {"binary": True}),
    ("b.ply", {"binary": False}),
    ("a.obj", {}),
    ("a.off", {}),
  ],
)
def test_file_of_meshio_holds_its_mesh(tmp_path, make, name, options):
  meshio = pytest.importorskip("meshio")
  mesh = make()
  cells = [("triangle", np.asarray(mesh.faces))]
  path = tmp_path / name
  meshio.Mesh(np.asarray(mesh.vertices), cells).write(path, **options)
  check(read_raw(path), mesh)


def test_quads_of_meshio_hold_their_volume(tmp_path):
  meshio = pytest.importorskip("meshio")
  points = trimesh.creation.box([1, 2, 3]).vertices
  quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6],
                    [0, 2, 6, 4], [1, 5, 7, 3]])  # fmt: skip
  for suffix in ("obj", "ply"):
    path = tmp_path / f"a.{suffix}"
    meshio.Mesh(points, [("quad", quads)]).write(path)
    raw = read_raw(path)
    assert abs(volume(raw)) == pytest.approx(6)
    assert area(raw) == pytest.approx(22)


def scene() -> tuple[trimesh.Scene, trimesh.Trimesh]:
  """Two shapes at four places, one mirrored; and all of it as one mesh."""
  mirror = np.diag([-2.0, 2, 2, 1])
  mirror[:3, 3] = 30, 0, 0
  turn = trimesh.transformations.rotation_matrix(1, [1, 2, 3], [4, 5, 6])
  placed = [
    ("wedge", wedge(), np.eye(4)),
    ("wedge", wedge(), mirror),
    ("ring", ring(), turn),
    ("ring", ring(), trimesh.transformations.translation_matrix([0, 40, 0])),
  ]
  result = trimesh.Scene()
  for i, (name, mesh, place) in enumerate(placed):
    if name not in result.geometry:
      result.add_geometry(
        mesh, geom_name=name, node_name=f"n{i}", transform=place
      )
    else:
      result.graph.update(frame_to=f"n{i}", matrix=place, geometry=name)
  return result, trimesh.util.concatenate(
    [mesh.copy().apply_transform(place) for _, mesh, place in placed]
  )


@pytest.mark.parametrize("suffix", ["glb", "3mf"])
def test_scene_of_trimesh_has_every_body_once(tmp_path, suffix):
  whole, expected = scene()
  path = tmp_path / f"a.{suffix}"
  path.write_bytes(export(whole, suffix))
  raw = read_raw(path)
  if suffix != "3mf":  # trimesh writes its numbers as metres there
    expected = expected.copy().apply_scale(1000)
  assert area(raw) == pytest.approx(expected.area, rel=TOLERANCE)
  assert volume(raw) == pytest.approx(expected.volume, rel=TOLERANCE)
  assert raw.body_count == 4


def to_lib3mf(lib3mf, mesh: trimesh.Trimesh, target) -> None:
  vertices, faces = [], []
  for row in np.asarray(mesh.vertices):
    entry = lib3mf.Position()
    entry.Coordinates[:] = row.tolist()
    vertices.append(entry)
  for row in np.asarray(mesh.faces):
    entry = lib3mf.Triangle()
    entry.Indices[:] = row.tolist()
    faces.append(entry)
  target.SetGeometry(vertices, faces)


def test_assembly_of_lib3mf_has_every_body_once(tmp_path):
  lib3mf = pytest.importorskip("lib3mf")
  wrapper = lib3mf.get_wrapper()
  model = wrapper.CreateModel()
  model.SetUnit(lib3mf.ModelUnit.Inch)
  part = model.AddMeshObject()
  part.SetName("Body1")
  to_lib3mf(lib3mf, ring(), part)
  inner, outer = model.AddComponentsObject(), model.AddComponentsObject()
  for i in range(3):
    inner.AddComponent(part, wrapper.GetTranslationTransform(20 * i, 0, 0))
  for i in range(2):
    outer.AddComponent(inner, wrapper.GetTranslationTransform(0, 20 * i, 0))
  model.AddBuildItem(outer, wrapper.GetTranslationTransform(0, 0, 5))
  model.AddBuildItem(part, wrapper.GetTranslationTransform(0, 0, 50))
  path = tmp_path / "a.3mf"
  model.QueryWriter("3mf").WriteToFile(str(path))
  raw = read_raw(path)
  assert raw.unit == 25.4
  assert raw.body_count == 7
  assert volume(raw) == pytest.approx(7 * ring().volume * 25.4**3, rel=1e-4)
  assert area(raw) == pytest.approx(7 * ring().area * 25.4**2, rel=1e-4)


def test_document_of_pygltflib_holds_its_mesh(tmp_path):
  gltf = pytest.importorskip("pygltflib")
  mesh = metres(ring())
  points = np.asarray(mesh.vertices, "<f4")
  corners = np.asarray(mesh.faces, "<u4").reshape(-1)
  data = points.tobytes() + corners.tobytes()
  document = gltf.GLTF2(
    scene=0,
    scenes=[gltf.Scene(nodes=[0, 1])],
    nodes=[
      gltf.Node(mesh=0, scale=[1, 1, 2]),
      gltf.Node(mesh=0, translation=[0.1, 0, 0]),
    ],
    meshes=[
      gltf.Mesh(
        primitives=[
          gltf.Primitive(attributes=gltf.Attributes(POSITION=0), indices=1)
        ]
      )
    ],
    accessors=[
      gltf.Accessor(
        bufferView=0, componentType=5126, count=len(points), type="VEC3"
      ),
      gltf.Accessor(
        bufferView=1, componentType=5125, count=len(corners), type="SCALAR"
      ),
    ],
    bufferViews=[
      gltf.BufferView(buffer=0, byteLength=points.nbytes),
      gltf.BufferView(
        buffer=0, byteOffset=points.nbytes, byteLength=corners.nbytes
      ),
    ],
    buffers=[gltf.Buffer(byteLength=len(data))],
  )
  document.set_binary_blob(data)
  path = tmp_path / "a.glb"
  document.save_binary(str(path))
  raw = read_raw(path)
  assert raw.body_count == 2
  assert volume(raw) == pytest.approx(3 * ring().volume, rel=TOLERANCE)


def test_polylist_of_pycollada_holds_its_mesh(tmp_path):
  collada = pytest.importorskip("collada")
  box = trimesh.creation.box([1, 2, 3])
  document = collada.Collada()
  document.assetInfo.unitname = "centimeter"
  document.assetInfo.unitmeter = 0.01
  source = collada.source.FloatSource(
    "points", np.asarray(box.vertices).reshape(-1), ("X", "Y", "Z")
  )
  shape = collada.geometry.Geometry(document, "shape", "shape", [source])
  inputs = collada.source.InputList()
  inputs.addInput(0, "VERTEX", "#points")
  sizes = np.full(len(box.faces), 3)
  corners = np.asarray(box.faces).reshape(-1)
  shape.primitives.append(shape.createPolylist(corners, sizes, inputs, "m"))
  document.geometries.append(shape)
  places = [
    collada.scene.Node(
      f"n{i}",
      children=[collada.scene.GeometryNode(shape)],
      transforms=[collada.scene.TranslateTransform(10 * i, 0, 0)],
    )
    for i in range(2)
  ]
  whole = collada.scene.Scene("scene", places)
  document.scenes.append(whole)
  document.scene = whole
  path = pathlib.Path(tmp_path) / "a.dae"
  document.write(str(path))
  raw = read_raw(path)
  assert raw.unit == pytest.approx(10)
  assert raw.body_count == 2
  assert volume(raw) == pytest.approx(2 * 6 * 1000)


def test_stl_of_open_cascade_holds_its_solid(tmp_path):
  pytest.importorskip("OCP")
  from OCP.BRepMesh import BRepMesh_IncrementalMesh
  from OCP.StlAPI import StlAPI_Writer

  shape = solid()
  BRepMesh_IncrementalMesh(shape, 0.1)
  path = tmp_path / "a.stl"
  StlAPI_Writer().Write(shape, str(path))
  raw = read_raw(path)
  assert area(raw) == pytest.approx(2200, rel=TOLERANCE)
  assert volume(raw) == pytest.approx(6000, rel=TOLERANCE)


@pytest.mark.parametrize("write", [write_step, write_iges])
def test_exact_file_of_open_cascade_holds_its_solid(tmp_path, write):
  pytest.importorskip("OCP")
  suffix = "step" if write is write_step else "igs"
  data = write(solid(hole=2), tmp_path / "written")
  path = tmp_path / f"a.{suffix}"
  path.write_bytes(data)
  raw = read_raw(path)
  assert area(raw) == pytest.approx(2200 + 120 * np.pi - 8 * np.pi, rel=0.01)
  assert abs(volume(raw)) == pytest.approx(6000 - 120 * np.pi, rel=0.01)
