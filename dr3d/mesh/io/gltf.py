"""glTF and GLB files: glTF 2.0 specification, The Khronos Group (2021).

This module walks the scene: nodes, skins, instances. Numbers come out of
`gltf_accessor`, triangles out of `gltf_primitive`. The unit is the metre
(section 3.4), the axes stay as they are in the file.
"""

import pathlib
from typing import Any

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.assembly import Assembly
from dr3d.mesh.io.gltf_accessor import Document, read_document
from dr3d.mesh.io.gltf_primitive import Primitive, read_mesh
from dr3d.mesh.io.raw import RawMesh, join_bodies, points_only
from dr3d.mesh.unit import UNITS

_READ = (  # extensions that change the geometry, and are read
  "EXT_mesh_gpu_instancing",
  "KHR_draco_mesh_compression",
  "KHR_mesh_quantization",
)
_HARMLESS = (  # those that leave it as it is, by how their names begin
  "CESIUM_primitive_outline",
  "EXT_lights_",
  "EXT_mesh_features",
  "EXT_mesh_manifold",
  "EXT_structural_metadata",
  "EXT_texture_",
  "KHR_animation_pointer",
  "KHR_lights_",
  "KHR_materials_",
  "KHR_texture_",
  "KHR_xmp",
  "MSFT_texture_",
)


def read_gltf(data: bytes, path: pathlib.Path) -> RawMesh:
  """Reads a glTF or GLB file.

  Skinned meshes stand as the joints of the file do, without an animation.

  Args:
    data: content of the file.
    path: its buffers may lie beside it.

  Raises:
    MeshError: why it cannot be read, as the predicate of a sentence.
  """
  document = read_document(data, path)
  _check_extensions(document.items("extensionsRequired"))
  return _Scene(document).read()


def is_gltf(head: bytes) -> bool:
  """Tells whether a file begins as GLB does; glTF is JSON like any other."""
  return head[:4] == b"glTF"


def _check_extensions(required: list) -> None:
  """Refuses extensions without which the file would be read wrongly."""
  for name in required:
    if name in _READ or str(name).startswith(_HARMLESS):
      continue
    if name in ("EXT_meshopt_compression", "KHR_meshopt_compression"):
      raise MeshError(
        f"is compressed by meshoptimizer (extension {name}), which cannot be "
        "read; export it without compression"
      )
    raise MeshError(
      f"requires the glTF extension {str(name)[:80]}, which cannot be read; "
      "export it without this extension"
    )


class _Scene:
  """The nodes of a document, on the way to triangles."""

  def __init__(self, document: Document):
    self._document = document
    self._nodes = document.items("nodes")
    self._assembly = Assembly()
    self._points = 0
    self._lines = 0

  def read(self) -> RawMesh:
    """Returns the triangles of the scene that is shown first."""
    for number in range(len(self._nodes)):
      self._add_node(number)
    roots = self._roots()
    for root in roots:
      self._assembly.place("scene", ("node", root))
    worlds = self._find_worlds(roots)
    for number in worlds:
      self._add_skin(number, worlds)
    bodies, count = self._assembly.expand("scene")
    if not count and self._points:
      raise points_only(self._points)
    warnings = []
    if self._points or self._lines:
      warnings.append(
        f"has {self._points} points and {self._lines} lines beside its "
        "surface, which were left out"
      )
    return join_bodies(
      bodies,
      unit=UNITS["m"],
      body_count=count,
      warnings=warnings,
      runs=self._assembly.runs,
    )

  def _roots(self) -> list[int]:
    """Numbers of the nodes of the default scene, or of the first one."""
    scenes = self._document.items("scenes")
    if scenes:
      number = self._document.tree.get("scene", 0)
      scene = self._document.item("scenes", number)
      return [self._check_node(node) for node in scene.get("nodes", [])]
    children = {
      child for node in self._nodes for child in node.get("children", [])
    }
    return [n for n in range(len(self._nodes)) if n not in children]

  def _check_node(self, number: Any) -> int:
    self._document.item("nodes", number)
    return number

  def _add_node(self, number: int) -> None:
    """Adds a node's children, and its mesh if it has no skin."""
    node = self._nodes[number]
    # The transform of a node applies to all that it holds, so its content is
    # a group of its own.
    content = ("content", number)
    self._assembly.place(("node", number), content, _transform(node))
    for child in node.get("children", []):
      self._assembly.place(content, ("node", self._check_node(child)))
    if "mesh" not in node or "skin" in node:
      return
    key = self._add_mesh(node)
    extension = node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
    places = np.eye(4)[None]
    if extension is not None:
      places = self._read_instances(extension["attributes"])
    self._assembly.place(content, key, places)

  def _add_mesh(self, node: dict) -> tuple:
    """Adds a node's mesh, with the weights of its morph targets."""
    mesh = self._document.item("meshes", node["mesh"])
    weights = node.get("weights", mesh.get("weights", []))
    key = ("mesh", node["mesh"], tuple(weights))
    if key not in self._assembly.meshes:
      primitives = self._read_primitives(node["mesh"], weights)
      self._assembly.meshes[key] = [
        (primitive.vertices, primitive.faces) for primitive in primitives
      ]
    return key

  def _read_primitives(self, mesh: int, weights: list) -> list[Primitive]:
    """Returns the primitives that have triangles, and counts the others."""
    primitives = read_mesh(self._document, mesh, weights)
    self._points += sum(primitive.points for primitive in primitives)
    self._lines += sum(primitive.lines for primitive in primitives)
    return [primitive for primitive in primitives if len(primitive.faces)]

  def _read_instances(self, attributes: dict) -> np.ndarray:
    """Returns the places [K, 4, 4] of EXT_mesh_gpu_instancing."""
    found = {
      name: self._document.read(attributes[name])
      for name in ("TRANSLATION", "ROTATION", "SCALE")
      if name in attributes
    }
    if not found:
      raise MeshError(
        "has instances (EXT_mesh_gpu_instancing) without places; export it "
        "again"
      )
    counts = {len(rows) for rows in found.values()}
    if len(counts) > 1:
      raise MeshError(
        "has instances (EXT_mesh_gpu_instancing) whose tables differ in length"
      )
    (count,) = counts
    return _compose(
      found.get("TRANSLATION", np.zeros((count, 3))),
      found.get("ROTATION", np.tile([0.0, 0, 0, 1], (count, 1))),
      found.get("SCALE", np.ones((count, 3))),
    )

  def _find_worlds(self, roots: list[int]) -> dict[int, np.ndarray]:
    """Returns the transform [4, 4] of each node of the scene."""
    worlds: dict[int, np.ndarray] = {}
    stack = [(root, np.eye(4)) for root in roots]
    while stack:
      number, parent = stack.pop()
      if number in worlds:  # a node with two parents, which glTF forbids
        raise MeshError("has a node with two parents; export it again")
      worlds[number] = parent @ _transform(self._nodes[number])
      for child in self._nodes[number].get("children", []):
        stack.append((child, worlds[number]))
    return worlds

  def _add_skin(self, number: int, worlds: dict[int, np.ndarray]) -> None:
    """Adds a skinned mesh to the scene; its node's transform is ignored.

    Section 3.7.3.3: a vertex is moved by the weighted sum of its joints'
    transforms, each after the joint's inverse bind matrix.
    """
    node = self._nodes[number]
    if "mesh" not in node or "skin" not in node:
      return
    mesh = self._document.item("meshes", node["mesh"])
    weights = node.get("weights", mesh.get("weights", []))
    joints = self._read_joints(node["skin"], worlds)
    key = ("skin", number)
    self._assembly.meshes[key] = [
      (_pose(primitive, joints), primitive.faces)
      for primitive in self._read_primitives(node["mesh"], weights)
    ]
    self._assembly.place("scene", key)

  def _read_joints(
    self, number: int, worlds: dict[int, np.ndarray]
  ) -> np.ndarray:
    """Returns what each joint does to a vertex, float64 [J, 4, 4]."""
    skin = self._document.item("skins", number)
    joints = skin["joints"]
    missing = [joint for joint in joints if joint not in worlds]
    if missing:
      raise MeshError(
        f"has a skin with the joint {missing[0]}, which is not in its scene; "
        "export it again"
      )
    poses = np.stack([worlds[joint] for joint in joints])
    if "inverseBindMatrices" not in skin:
      return poses
    inverse = self._document.read(skin["inverseBindMatrices"])
    if inverse.shape != (len(joints), 16):
      raise MeshError(
        f"has a skin with {len(joints)} joints and {len(inverse)} inverse "
        "bind matrices; export it again"
      )
    return poses @ inverse.reshape(-1, 4, 4).transpose(0, 2, 1)


def _pose(primitive: Primitive, joints: np.ndarray) -> np.ndarray:
  """Returns the vertices [V, 3] of a skinned primitive."""
  if primitive.joints is None or primitive.weights is None:
    raise MeshError(
      "has a skin, but a mesh without JOINTS_0 and WEIGHTS_0; export it again"
    )
  numbers = primitive.joints.astype(np.int64)
  if numbers.min(initial=0) < 0 or numbers.max(initial=0) >= len(joints):
    raise MeshError("has a skin with a joint number out of range")
  points = np.concatenate(
    [primitive.vertices, np.ones((len(primitive.vertices), 1))], axis=1
  )
  total = primitive.weights.sum(axis=1, keepdims=True)
  weights = primitive.weights / np.where(total > 0, total, 1)
  result = np.zeros_like(primitive.vertices)
  for column in range(numbers.shape[1]):
    moved = joints[numbers[:, column], :3] @ points[:, :, None]
    result += weights[:, column, None] * moved[..., 0]
  return result


def _transform(node: dict) -> np.ndarray:
  """Returns the transform [4, 4] of a node within its parent."""
  if "matrix" in node:
    matrix = np.array(node["matrix"], np.float64)
    return matrix.reshape(4, 4).T  # columns come first
  return _compose(
    np.array([node.get("translation", [0, 0, 0])], np.float64),
    np.array([node.get("rotation", [0, 0, 0, 1])], np.float64),
    np.array([node.get("scale", [1, 1, 1])], np.float64),
  )[0]


def _compose(
  translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray
) -> np.ndarray:
  """Returns transforms [K, 4, 4]: scaled, rotated, then moved.

  Args:
    translation: [K, 3].
    rotation: [K, 4], quaternions x, y, z, w.
    scale: [K, 3].
  """
  import scipy.spatial.transform

  length = np.linalg.norm(rotation, axis=1)
  if not (length > 0).all():
    raise MeshError("has a rotation without a direction; export it again")
  turns = scipy.spatial.transform.Rotation.from_quat(rotation).as_matrix()
  result = np.tile(np.eye(4), (len(translation), 1, 1))
  result[:, :3, :3] = turns * scale[:, None, :]
  result[:, :3, 3] = translation
  return result
