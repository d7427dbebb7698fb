"""Every format comes in whole, and every bad file gets one clear sentence."""

import json
import os
import pathlib
import re

import numpy as np
import pytest
import trimesh
from support.mesh_files import (
  BAD_FILES,
  CORNERS,
  QUADS,
  export,
  off_text,
  ply_binary,
  ply_text,
  wedge,
)

from dr3d.error import MeshError
from dr3d.mesh import load_mesh
from dr3d.mesh.io.reader import read_geometry

pytestmark = pytest.mark.fast

MIXED = [*QUADS[1:], [3, 2, 1], [3, 1, 0]]


def write(path: pathlib.Path, data: str | bytes) -> pathlib.Path:
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return path


def area(geometry) -> float:
  vertices, faces = geometry
  a, b, c = (vertices[faces[:, k]] for k in range(3))
  return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


def volume(geometry) -> float:
  vertices, faces = geometry
  a, b, c = (vertices[faces[:, k]] for k in range(3))
  return (a * np.cross(b, c)).sum() / 6


def obj_text(faces=QUADS) -> str:
  lines = [f"v {x} {y} {z}" for x, y, z in CORNERS]
  lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
  return "\n".join(lines) + "\n"


def two_bodies() -> tuple[trimesh.Scene, float, float]:
  """A box and a mirrored, scaled wedge; with their joint area and volume."""
  scene = trimesh.Scene()
  scene.add_geometry(trimesh.creation.box([1, 2, 3]), geom_name="box")
  transform = np.diag([-2.0, 2, 2, 1])
  transform[:3, 3] = 10, 0, 0
  scene.add_geometry(wedge(), geom_name="wedge", transform=transform)
  return (
    scene,
    22 + 4 * wedge().area,
    6 + 8 * wedge().volume,
  )


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("part.stl", {}),
    ("part.STL", {}),
    ("text.stl", {"file_type": "stl_ascii"}),
    ("part.obj", {}),
    ("part.ply", {}),
    ("text.ply", {"encoding": "ascii"}),
    ("part.off", {}),
    ("part.glb", {}),
    ("part.3mf", {}),
  ],
)
def test_body_written_in_every_format_is_read_back(tmp_path, name, options):
  body = wedge()
  file_type = name.rsplit(".", 1)[1].lower()
  data = export(body, **({"file_type": file_type} | options))
  geometry = read_geometry(write(tmp_path / name, data))
  assert len(geometry[1]) == len(body.faces)
  assert area(geometry) == pytest.approx(body.area, rel=1e-5)
  assert volume(geometry) == pytest.approx(body.volume, rel=1e-5)
  bounds = [geometry[0].min(axis=0), geometry[0].max(axis=0)]
  np.testing.assert_allclose(bounds, body.bounds, atol=1e-5)


def test_gltf_with_buffer_beside_it_is_read(tmp_path):
  for name, data in trimesh.Scene(wedge()).export(file_type="gltf").items():
    write(tmp_path / name, data)
  geometry = read_geometry(tmp_path / "model.gltf")
  assert volume(geometry) == pytest.approx(wedge().volume, rel=1e-5)


@pytest.mark.parametrize("file_type", ["glb", "3mf"])
def test_scene_is_joined_with_its_transforms(tmp_path, file_type):
  scene, joint_area, joint_volume = two_bodies()
  path = write(tmp_path / f"scene.{file_type}", export(scene, file_type))
  geometry = read_geometry(path)
  assert area(geometry) == pytest.approx(joint_area, rel=1e-5)
  # Only if the mirrored body is turned right side out do the volumes add up.
  assert volume(geometry) == pytest.approx(joint_volume, rel=1e-5)
  np.testing.assert_allclose(
    [geometry[0].min(axis=0), geometry[0].max(axis=0)], scene.bounds, atol=1e-5
  )


def test_binary_stl_that_begins_with_solid_is_read(tmp_path):
  data = bytearray(export(wedge(), "stl"))
  data[:6] = b"solid "
  geometry = read_geometry(write(tmp_path / "lies.stl", bytes(data)))
  assert volume(geometry) == pytest.approx(wedge().volume, rel=1e-5)


def test_text_after_binary_stl_facets_is_ignored(tmp_path):
  data = export(wedge(), "stl") + b"appended"
  assert len(read_geometry(write(tmp_path / "a.stl", data))[1]) == 6


@pytest.mark.parametrize("name", ["vertex normal facet", "größe", "a solid b"])
def test_text_stl_with_any_name_is_read(tmp_path, name):
  text = export(wedge(), "stl_ascii").decode()
  data = text.replace("solid ", f"solid {name}", 1).encode("latin-1")
  geometry = read_geometry(write(tmp_path / "named.stl", data))
  assert volume(geometry) == pytest.approx(wedge().volume, rel=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
@pytest.mark.parametrize("extension", ["obj", "off", "glb"])
def test_file_name_outside_utf8_is_read(tmp_path, extension):
  path = tmp_path / os.fsdecode(b"gr\xf6\xdfe." + extension.encode())
  geometry = read_geometry(write(path, export(wedge(), extension)))
  assert volume(geometry) == pytest.approx(wedge().volume, rel=1e-5)


def test_solids_of_text_stl_are_joined(tmp_path):
  text = export(wedge(), "stl_ascii")
  assert len(read_geometry(write(tmp_path / "two.stl", text + text))[1]) == 12


CUBES = [
  ("quads.obj", obj_text()),
  ("mixed.obj", obj_text(MIXED)),
  ("crlf.obj", obj_text().replace("\n", "\r\n")),
  ("cr.obj", obj_text().replace("\n", "\r")),
  ("latin.obj", b"# gr\xf6\xdfe\n" + obj_text().encode()),
  ("mark.obj", b"\xef\xbb\xbf" + obj_text().encode()),
  ("material.obj", "mtllib gone.mtl\nusemtl gone\n" + obj_text()),
  ("quads.off", off_text()),
  ("mixed.off", off_text(MIXED)),
  ("latin.off", off_text().replace("OFF", "OFF # größe").encode("latin-1")),
  ("oneline.off", off_text().replace("OFF\n", "OFF")),
  ("quads.ply", ply_binary()),
  ("mixed.ply", ply_binary(MIXED)),
  ("big.ply", ply_binary(order=">")),
  ("bigmixed.ply", ply_binary(MIXED, order=">")),
  ("latin.ply", ply_binary(comment="größe")),
  ("text.ply", ply_text()),
  ("mixedtext.ply", ply_text(MIXED)),
  ("gaps.ply", ply_text().replace("\n0.0", "\n\n0.0")),
]


@pytest.mark.parametrize(
  ("name", "data"), CUBES, ids=[name for name, _ in CUBES]
)
def test_cube_of_polygons_is_read_whole(tmp_path, name, data):
  geometry = read_geometry(write(tmp_path / name, data))
  assert len(geometry[1]) == 12
  assert area(geometry) == pytest.approx(6)
  assert volume(geometry) == pytest.approx(1)


def test_relative_numbers_of_obj_count_back_from_their_line(tmp_path):
  text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n"
  text += "v 0 0 1\nv 2 0 1\nv 0 2 1\nf -3/-3 -2/-2 -1/-1\n"
  geometry = read_geometry(write(tmp_path / "relative.obj", text))
  assert area(geometry) == pytest.approx(0.5 + 2)


@pytest.mark.parametrize(
  ("name", "data", "reason"), BAD_FILES, ids=[case[0] for case in BAD_FILES]
)
def test_bad_file_raises_one_sentence(tmp_path, name, data, reason):
  path = write(tmp_path / name, data)
  with pytest.raises(MeshError) as caught:
    load_mesh(path)
  message = str(caught.value)
  assert message.startswith(str(path))
  assert re.search(reason, message)
  assert message.endswith(".")
  assert "\n" not in message


def test_missing_file_and_directory_raise_by_name(tmp_path):
  with pytest.raises(MeshError, match=r"gone\.stl does not exist\.$"):
    load_mesh(tmp_path / "gone.stl")
  (tmp_path / "folder.stl").mkdir()
  with pytest.raises(MeshError, match=r"folder\.stl is a directory"):
    load_mesh(str(tmp_path / "folder.stl"))
  with pytest.raises(MeshError, match="is a directory"):
    load_mesh(tmp_path)
  with pytest.raises(MeshError, match="cannot be read: File name too long"):
    load_mesh(tmp_path / ("x" * 400 + ".stl"))


def test_unreadable_file_raises(tmp_path, monkeypatch):
  path = write(tmp_path / "secret.stl", export(wedge(), "stl"))

  def refuse(self):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
  with pytest.raises(MeshError, match=r"secret\.stl.*Permission denied\.$"):
    load_mesh(path)


def test_archive_that_unpacks_beyond_limit_raises(tmp_path, monkeypatch):
  monkeypatch.setattr("dr3d.mesh.io.archive.UNPACKED_LIMIT", 100)
  path = write(tmp_path / "bomb.3mf", export(wedge(), "3mf"))
  with pytest.raises(MeshError, match="would unpack to"):
    load_mesh(path)


def test_gltf_table_beyond_limit_raises(tmp_path):
  table = {"componentType": 5126, "count": 10**9, "type": "VEC3"}
  tree = {
    "asset": {"version": "2.0"},
    "accessors": [table],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "nodes": [{"mesh": 0}],
  }
  path = write(tmp_path / "bomb.gltf", json.dumps(tree))
  with pytest.raises(MeshError, match="announces 1000000000 rows"):
    load_mesh(path)


def test_random_damage_raises_mesh_errors_only(tmp_path):
  rng = np.random.default_rng(0)
  scene, _, _ = two_bodies()
  whole = {
    "stl": export(wedge(), "stl"),
    "obj": obj_text(MIXED).encode(),
    "ply": ply_binary(MIXED),
    "off": off_text().encode(),
    "glb": export(scene, "glb"),
    "3mf": export(scene, "3mf"),
  }
  messages = []
  for extension, data in whole.items():
    path = tmp_path / f"fuzz.{extension}"
    for _ in range(60):
      broken = bytearray(data)
      for _ in range(rng.integers(1, 4)):
        broken[rng.integers(min(400, len(broken)))] = rng.integers(256)
      path.write_bytes(broken[: rng.integers(1, 2 * len(broken))])
      try:
        mesh = load_mesh(path)
        assert np.isfinite(mesh.vertices).all()
      except MeshError as error:
        messages.append(str(error))
  assert len(messages) > 200
  assert all(message.startswith(str(tmp_path)) for message in messages)
