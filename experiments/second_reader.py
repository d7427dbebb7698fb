"""What another library reads in a file, to compare with what dr3d reads."""

import pathlib

import numpy as np

from dr3d.error import MeshError
from dr3d.mesh.io.reader import read_raw

LIBRARIES = {
  ".3mf": "lib3mf",
  ".glb": "trimesh",
  ".gltf": "trimesh",
  ".dae": "trimesh",
  ".stl": "trimesh",
  ".ply": "trimesh",
  ".obj": "trimesh",
  ".off": "meshio",
}


def compare(path: pathlib.Path) -> tuple[str, float, float]:
  """Returns the area that dr3d reads, and that of a second library.

  Returns:
    "both" if both read the file, "dr3d", "other" or "none"; the two areas, in
    the unit of the file, 0 for a reader that refuses.
  """
  try:
    raw = read_raw(path)
    own = _area(raw.vertices, raw.faces)
  except MeshError:
    own = 0.0
  try:
    other = _read_lib3mf(path) if path.suffix == ".3mf" else _read_trimesh(path)
  except (Exception, SystemExit):  # whatever it is, it refuses the file
    other = 0.0
  names = {(True, True): "both", (True, False): "dr3d", (False, True): "other"}
  return names.get((own > 0, other > 0), "none"), own, other


def _area(vertices: np.ndarray, faces: np.ndarray) -> float:
  a, b, c = (vertices[faces[:, k]] for k in range(3))
  return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _read_lib3mf(path: pathlib.Path) -> float:
  """Returns the area of all items of a build."""
  import lib3mf

  model = lib3mf.get_wrapper().CreateModel()
  reader = model.QueryReader("3mf")
  reader.ReadFromFile(str(path))
  total = 0.0
  items = model.GetBuildItems()
  while items.MoveNext():
    item = items.GetCurrent()
    place = np.eye(4)
    if item.HasObjectTransform():
      place = _to_matrix(item.GetObjectTransform())
    total += _measure(model, item.GetObjectResource(), place)
  return total


def _to_matrix(transform) -> np.ndarray:
  result = np.eye(4)
  result[:3] = np.array([list(row) for row in transform.Fields]).T
  return result


def _measure(model, entry, place: np.ndarray) -> float:
  """Returns the area of an object at a place."""
  number = entry.GetResourceID()
  if entry.IsMeshObject():
    mesh = model.GetMeshObjectByID(number)
    points = np.array([list(p.Coordinates) for p in mesh.GetVertices()], float)
    faces = np.array([list(t.Indices) for t in mesh.GetTriangleIndices()])
    if not len(faces):
      return 0.0
    return _area(points @ place[:3, :3].T + place[:3, 3], faces)
  group = model.GetComponentsObjectByID(number)
  total = 0.0
  for i in range(group.GetComponentCount()):
    component = group.GetComponent(i)
    inner = place
    if component.HasTransform():
      inner = place @ _to_matrix(component.GetTransform())
    total += _measure(model, component.GetObjectResource(), inner)
  return total


def _read_trimesh(path: pathlib.Path) -> float:
  """Returns the area of a scene; meshio reads OFF."""
  if path.suffix == ".off":
    import meshio

    mesh = meshio.read(path)
    cells = [c.data for c in mesh.cells if c.type == "triangle"]
    return _area(mesh.points, np.concatenate(cells))
  import trimesh

  scene = trimesh.load_scene(path, process=False, skip_materials=True)
  total = 0.0
  for node in scene.graph.nodes_geometry:
    place, name = scene.graph[node]
    body = scene.geometry[name]
    if isinstance(body, trimesh.Trimesh):
      points = np.asarray(body.vertices) @ place[:3, :3].T + place[:3, 3]
      total += _area(points, np.asarray(body.faces))
  return total
