"""Ways to rank the models of a database for a scan."""

from collections.abc import Callable

import numpy as np

from dr3d.database.writer import Database
from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh

Rank = Callable[[Mesh], list[str]]
"""A scan → names of models, best first."""


def ask(database: Database, mesh: Mesh, **options) -> list[str]:
  """Ranks all models as `dr3d query` does."""
  options = {"size": "ignore", **options}
  answer = database.query(mesh, k=len(database.gallery.names), **options)
  return [match.model for match in answer.matches]


def load_gallery(database: Database) -> dict[str, Mesh]:
  """The stored meshes of all models."""
  shapes = database.load_shapes(database.gallery.names)
  return {name: unpack_mesh(shape.mesh) for name, shape in shapes.items()}


def make_light_field(database: Database) -> Rank:
  """Ranks by the untrained descriptor."""
  from dr3d.descriptor import lightfield

  meshes = load_gallery(database)
  known = np.stack([lightfield.describe(mesh) for mesh in meshes.values()])

  def rank(mesh: Mesh) -> list[str]:
    asked = lightfield.describe(mesh)[None]
    distance = lightfield.compare(asked, known).min(axis=1)[0]
    return sort_names(list(meshes), distance)

  return rank


def make_registration(database: Database) -> Rank:
  """Ranks by the distance of surfaces alone."""
  from dr3d.registration.surface import find_pose, make_cloud

  clouds = {k: make_cloud(mesh) for k, mesh in load_gallery(database).items()}

  def rank(mesh: Mesh) -> list[str]:
    cloud = make_cloud(mesh)
    found = [find_pose(cloud, other).fit.mean for other in clouds.values()]
    return sort_names(list(clouds), np.array(found))

  return rank


def sort_names(names: list[str], distance: np.ndarray) -> list[str]:
  """Names by distance, the nearest first."""
  return [names[i] for i in np.argsort(distance, kind="stable")]
