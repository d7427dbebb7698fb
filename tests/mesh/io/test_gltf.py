"""glTF: all that the specification lets stand in a scene, or a reason."""

import base64
import json
import struct
import sys

import numpy as np
import pytest
from support.gltf_files import Gltf
from support.mesh_files import (
  BLOCK,
  BLOCK_AREA,
  BLOCK_FACES,
  BLOCK_VOLUME,
  area,
  extent,
  volume,
)

from dr3d.error import MeshError
from dr3d.mesh.io.reader import RawMesh, read_raw

pytestmark = pytest.mark.fast


def read(tmp_path, data: bytes | Gltf, name="part.glb") -> RawMesh:
  path = tmp_path / name
  path.write_bytes(data.glb() if isinstance(data, Gltf) else data)
  return read_raw(path)


def block(**options) -> Gltf:
  """A document with a block, whose node has the options."""
  gltf = Gltf()
  gltf.node(mesh=gltf.mesh(BLOCK, BLOCK_FACES), **options)
  return gltf


def test_unit_is_the_metre(tmp_path):
  raw = read(tmp_path, block())
  assert raw.unit == 1000
  assert volume(raw) == pytest.approx(BLOCK_VOLUME, rel=1e-6)


def test_sparse_accessor_replaces_rows(tmp_path):
  gltf = block()
  rows = gltf.view(np.array([4, 5, 6, 7], "<u2").tobytes())
  moved = BLOCK[4:] * [1, 1, 2] / 1000
  gltf.tree["accessors"][0]["sparse"] = {
    "count": 4,
    "indices": {"bufferView": rows, "componentType": 5123},
    "values": {"bufferView": gltf.view(moved.astype("<f4").tobytes())},
  }
  np.testing.assert_allclose(extent(read(tmp_path, gltf)), [10, 20, 60])


def test_sparse_accessor_without_a_view_begins_at_zero(tmp_path):
  gltf = block()
  rows = gltf.view(np.arange(8, dtype="u1").tobytes())
  view = gltf.tree["accessors"][0].pop("bufferView")
  gltf.tree["accessors"][0]["sparse"] = {
    "count": 8,
    "indices": {"bufferView": rows, "componentType": 5121},
    "values": {"bufferView": view},
  }
  assert area(read(tmp_path, gltf)) == pytest.approx(BLOCK_AREA, rel=1e-6)


def test_instances_are_all_placed(tmp_path):
  gltf = Gltf()
  places = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]])
  turn = np.sqrt(0.5)
  attributes = {
    "TRANSLATION": gltf.table(places),
    "ROTATION": gltf.table([[0, 0, 0, 1], [0, 0, turn, turn], [0, 0, 0, 1]]),
    "SCALE": gltf.table([[1, 1, 1], [2, 2, 2], [-1, 1, 1]]),
  }
  gltf.node(
    mesh=gltf.mesh(BLOCK, BLOCK_FACES),
    extensions={"EXT_mesh_gpu_instancing": {"attributes": attributes}},
    translation=[0.5, 0, 0],
  )
  gltf.tree["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
  raw = read(tmp_path, gltf)
  assert raw.body_count == 3
  assert area(raw) == pytest.approx(6 * BLOCK_AREA, rel=1e-6)
  assert volume(raw) == pytest.approx(10 * BLOCK_VOLUME, rel=1e-6)
  np.testing.assert_allclose(raw.vertices.min(axis=0), [0.49, 0, 0], atol=1e-6)


def test_nodes_are_joined_with_their_parents(tmp_path):
  gltf = Gltf()
  mesh = gltf.mesh(BLOCK, BLOCK_FACES)
  child = gltf.node(root=False, mesh=mesh, translation=[0, 0, 0.1])
  matrix = np.diag([1, -1, 2, 1]).astype(float)
  gltf.node(children=[child], mesh=mesh, matrix=matrix.T.reshape(-1).tolist())
  raw = read(tmp_path, gltf)
  assert volume(raw) == pytest.approx(4 * BLOCK_VOLUME, rel=1e-6)
  np.testing.assert_allclose(extent(raw), [10, 20, 260], rtol=1e-6)


def test_only_the_default_scene_is_read(tmp_path):
  gltf = block()
  other = gltf.node(root=False, mesh=0, translation=[1, 0, 0])
  gltf.tree["scenes"].insert(0, {"nodes": [other]})
  gltf.tree["scene"] = 1
  assert read(tmp_path, gltf).vertices[:, 0].max() < 0.5


@pytest.mark.parametrize(
  ("mode", "corners", "count"),
  [
    (5, [0, 1, 2, 3], 2),
    (5, [0, 1, 2, 3, 3, 0, 0, 1, 2], 3),  # two strips joined by flat ones
    (6, [0, 1, 3, 2], 2),
    (4, None, 1),
  ],
)
def test_strips_fans_and_lists_without_indices_are_read(
  tmp_path, mode, corners, count
):
  square = BLOCK[:4] if corners else BLOCK[:3]
  gltf = Gltf()
  options = {} if mode == 4 else {"mode": mode}
  gltf.node(mesh=gltf.mesh(square, corners, **options))
  raw = read(tmp_path, gltf)
  assert len(raw.faces) == count
  assert area(raw) == pytest.approx(100 * count, rel=1e-6)


def test_triangles_of_a_strip_are_wound_alike(tmp_path):
  gltf = Gltf()
  gltf.node(mesh=gltf.mesh(BLOCK[[0, 1, 2, 3]], [0, 1, 2, 3], mode=5))
  raw = read(tmp_path, gltf)
  a, b, c = (raw.vertices[raw.faces[:, k]] for k in range(3))
  normals = np.cross(b - a, c - a)
  assert (normals[:, 2] > 0).all()


def test_points_and_lines_beside_a_surface_are_told(tmp_path):
  gltf = block()
  gltf.node(mesh=gltf.mesh(BLOCK, mode=0))
  gltf.node(mesh=gltf.mesh(BLOCK, mode=1))
  raw = read(tmp_path, gltf)
  assert raw.body_count == 1
  assert "8 points and 8 lines" in raw.warnings[0]


def test_points_alone_are_a_point_cloud(tmp_path):
  gltf = Gltf()
  gltf.node(mesh=gltf.mesh(BLOCK, mode=0))
  with pytest.raises(MeshError, match="is a point cloud: it has 8 points"):
    read(tmp_path, gltf)


@pytest.mark.parametrize(
  ("kind", "largest"), [("i2", 32767), ("u2", 65535), ("i1", 127), ("u1", 255)]
)
@pytest.mark.parametrize("normalized", [True, False])
def test_quantised_positions_have_their_true_size(
  tmp_path, kind, largest, normalized
):
  gltf = Gltf()
  top = largest if normalized else 30
  whole = np.round(BLOCK / 30 * top)
  position = gltf.table(whole, kind, normalized=normalized)
  mesh = {
    "attributes": {"POSITION": position},
    "indices": gltf.table(BLOCK_FACES.reshape(-1), "u2"),
  }
  scale = 0.03 if normalized else 0.001
  gltf.node(mesh=gltf.add("meshes", {"primitives": [mesh]}), scale=[scale] * 3)
  gltf.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
  np.testing.assert_allclose(
    extent(read(tmp_path, gltf)), [10, 20, 30], rtol=0.01
  )


def skinned(joint: dict, node: dict, *, bind=None) -> Gltf:
  """A block that one joint moves."""
  gltf = Gltf()
  attributes = {
    "JOINTS_0": gltf.table(np.zeros((8, 4)), "u1"),
    "WEIGHTS_0": gltf.table(np.tile([1.0, 0, 0, 0], (8, 1))),
  }
  mesh = gltf.mesh(BLOCK, BLOCK_FACES, attributes=attributes)
  skin = {"joints": [gltf.node(**joint)]}
  if bind is not None:
    skin["inverseBindMatrices"] = gltf.table([np.reshape(bind, -1)])
  gltf.node(mesh=mesh, skin=gltf.add("skins", skin), **node)
  return gltf


def test_skinned_mesh_stands_where_its_joints_are(tmp_path):
  gltf = skinned({"scale": [2, 2, 2]}, {"scale": [100, 1, 1]})
  np.testing.assert_allclose(extent(read(tmp_path, gltf)), [20, 40, 60])


def test_skinned_mesh_in_bind_pose_is_as_it_was_drawn(tmp_path):
  pose = np.eye(4)
  pose[:3, 3] = 1, 2, 3
  inverse = np.linalg.inv(pose).T  # columns come first
  gltf = skinned({"translation": [1, 2, 3]}, {}, bind=inverse)
  raw = read(tmp_path, gltf)
  np.testing.assert_allclose(
    raw.vertices.max(axis=0) * 1000, [10, 20, 30], atol=1e-3
  )


def test_skin_with_two_joints_blends_them(tmp_path):
  gltf = Gltf()
  attributes = {
    "JOINTS_0": gltf.table(np.tile([0, 1, 0, 0], (8, 1)), "u2"),
    "WEIGHTS_0": gltf.table(
      np.tile([191, 64, 0, 0], (8, 1)), "u1", normalized=True
    ),
  }
  mesh = gltf.mesh(BLOCK, BLOCK_FACES, attributes=attributes)
  joints = [gltf.node(), gltf.node(translation=[1, 0, 0])]
  gltf.node(mesh=mesh, skin=gltf.add("skins", {"joints": joints}))
  raw = read(tmp_path, gltf)
  np.testing.assert_allclose(raw.vertices[:, 0].min(), 64 / 255, rtol=1e-6)


def test_skin_whose_mesh_has_no_joints_raises(tmp_path):
  gltf = block()
  gltf.tree["nodes"][0]["skin"] = gltf.add("skins", {"joints": [0]})
  with pytest.raises(MeshError, match="without JOINTS_0"):
    read(tmp_path, gltf)


def test_morph_targets_with_a_weight_are_applied(tmp_path):
  gltf = block()
  shift = gltf.table(BLOCK * [0, 0, 1] / 1000)
  gltf.tree["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": shift}]
  gltf.tree["meshes"][0]["weights"] = [0.5]
  np.testing.assert_allclose(
    extent(read(tmp_path, gltf)), [10, 20, 45], rtol=1e-6
  )


@pytest.mark.parametrize(
  ("name", "reason"),
  [
    ("ACME_split_mesh", "requires the glTF extension ACME_split_mesh"),
    ("EXT_meshopt_compression", "meshoptimizer"),
    ("KHR_meshopt_compression", "meshoptimizer"),
    ("KHR_gaussian_splatting", "KHR_gaussian_splatting"),
  ],
)
def test_unknown_required_extension_is_refused_by_name(tmp_path, name, reason):
  gltf = block()
  gltf.tree["extensionsRequired"] = ["KHR_materials_unlit", name]
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, gltf)


def test_extensions_that_only_colour_are_read(tmp_path):
  gltf = block()
  gltf.tree["extensionsRequired"] = [
    "KHR_materials_unlit",
    "KHR_texture_transform",
    "EXT_texture_webp",
  ]
  gltf.tree["extensionsUsed"] = ["ACME_anything"]
  assert area(read(tmp_path, gltf)) == pytest.approx(BLOCK_AREA, rel=1e-6)


def draco(**options) -> Gltf:
  """A document with a block that Draco packed and a plain one."""
  packed = pytest.importorskip("DracoPy").encode(
    BLOCK / 1000, BLOCK_FACES.astype(np.uint32), quantization_bits=20
  )
  gltf = Gltf()
  gltf.node(mesh=gltf.mesh(BLOCK, BLOCK_FACES), translation=[0.1, 0, 0])
  position = {"componentType": 5126, "count": 8, "type": "VEC3"}
  indices = {"componentType": 5125, "count": 36, "type": "SCALAR"}
  extension = {"bufferView": gltf.view(packed), "attributes": {"POSITION": 0}}
  primitive = {
    "attributes": {"POSITION": gltf.add("accessors", position)},
    "indices": gltf.add("accessors", indices),
    "extensions": {"KHR_draco_mesh_compression": extension},
  }
  gltf.node(mesh=gltf.add("meshes", {"primitives": [primitive | options]}))
  return gltf


def test_draco_beside_plain_is_read(tmp_path):
  gltf = draco()
  gltf.tree["extensionsRequired"] = ["KHR_draco_mesh_compression"]
  raw = read(tmp_path, gltf)
  assert raw.body_count == 2
  assert area(raw) == pytest.approx(2 * BLOCK_AREA, rel=1e-4)


def test_draco_without_the_extra_says_what_to_install(tmp_path, monkeypatch):
  gltf = draco()
  monkeypatch.setitem(sys.modules, "DracoPy", None)
  with pytest.raises(MeshError, match=r"pip install 'dr3d\[gltf\]'"):
    read(tmp_path, gltf)


def test_damaged_draco_raises(tmp_path):
  gltf = draco()
  start = gltf.data.index(b"DRACO")
  gltf.data = gltf.data[: start + 20] + b"\xff" * (len(gltf.data) - start - 20)
  with pytest.raises(MeshError, match="Draco and damaged"):
    read(tmp_path, gltf)


def test_meshopt_with_a_plain_fallback_is_read(tmp_path):
  gltf = block()
  extension = {"buffer": 0, "mode": "ATTRIBUTES", "count": 8, "byteStride": 12}
  gltf.tree["bufferViews"][0]["extensions"] = {
    "EXT_meshopt_compression": extension
  }
  assert area(read(tmp_path, gltf)) == pytest.approx(BLOCK_AREA, rel=1e-6)
  gltf.tree["buffers"] = [
    {"extensions": {"EXT_meshopt_compression": {"fallback": True}}}
  ]
  with pytest.raises(MeshError, match="meshoptimizer"):
    read(tmp_path, gltf)


def test_interleaved_tables_are_read(tmp_path):
  gltf = block()
  rows = np.concatenate([BLOCK / 1000, np.full((8, 3), 7)], axis=1)
  view = gltf.view(rows.astype("<f4").tobytes(), byteStride=24)
  gltf.tree["accessors"][0]["bufferView"] = view
  assert area(read(tmp_path, gltf)) == pytest.approx(BLOCK_AREA, rel=1e-6)


@pytest.mark.parametrize(
  ("uri", "file"),
  [
    ("My%20Part.bin", "My Part.bin"),
    ("b%C3%BCchse.bin", "büchse.bin"),
    ("My Part.bin", "My Part.bin"),
    ("100%25.bin", "100%.bin"),
    ("sub/part.bin", "sub/part.bin"),
  ],
)
def test_buffer_with_an_escaped_name_is_found(tmp_path, uri, file):
  gltf = block()
  (tmp_path / file).parent.mkdir(exist_ok=True)
  (tmp_path / file).write_bytes(gltf.data)
  gltf.tree["buffers"] = [{"byteLength": len(gltf.data), "uri": uri}]
  text = json.dumps(gltf.tree).encode()
  raw = read(tmp_path, text, "part.gltf")
  assert area(raw) == pytest.approx(BLOCK_AREA, rel=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_buffer_within_the_file_is_read(tmp_path, encoding):
  gltf = block()
  uri = "data:application/octet-stream;base64,"
  uri += base64.b64encode(gltf.data).decode()
  gltf.tree["buffers"] = [{"byteLength": len(gltf.data), "uri": uri}]
  text = json.dumps(gltf.tree).encode(encoding)
  raw = read(tmp_path, text, "part.gltf")
  assert area(raw) == pytest.approx(BLOCK_AREA, rel=1e-6)


def version_one() -> bytes:
  return json.dumps({"asset": {"version": "1.0"}, "meshes": {}}).encode()


@pytest.mark.parametrize(
  ("data", "version"),
  [
    (version_one(), "1.0"),
    (struct.pack("<4sIIII", b"glTF", 1, 20, 0, 0), "1.0"),
    (b'{"asset": {"version": "3.0"}}', "3.0"),
    (b'{"asset": {"version": "2.1", "minVersion": "2.1"}}', "2.1"),
  ],
)
def test_other_version_is_refused_by_name(tmp_path, data, version):
  with pytest.raises(MeshError, match=f"is glTF of version {version}"):
    read(tmp_path, data, "part.gltf")


def test_later_minor_version_is_read(tmp_path):
  gltf = block()
  gltf.tree["asset"]["version"] = "2.1"
  assert area(read(tmp_path, gltf)) == pytest.approx(BLOCK_AREA, rel=1e-6)


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    (lambda tree: tree["accessors"][1].update(count=35), "multiple of three"),
    (lambda tree: tree["accessors"][0].update(count=9), "truncated"),
    (lambda tree: tree["accessors"][0].update(count=7), "vertex number 7"),
    (lambda tree: tree["nodes"][0].update(mesh=5), "number 5 of its meshes"),
    (lambda tree: tree["nodes"][0].update(children=[0]), "two parents"),
    (lambda tree: tree["nodes"][0].update(children=[-1]), "number -1"),
    (lambda tree: tree["nodes"][0].update(rotation=[0] * 4), "rotation"),
    (lambda tree: tree["bufferViews"][0].update(byteOffset=9999), "truncated"),
    (lambda tree: tree.update(meshes=5), "damaged"),
  ],
)
def test_damaged_document_raises_the_reason(tmp_path, change, reason):
  gltf = block()
  change(gltf.tree)
  with pytest.raises(MeshError, match=reason):
    read(tmp_path, gltf)
