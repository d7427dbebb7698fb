"""What a person gives → the views of a query: pictures, meshes, models.

`V` views.
"""

import os
import pathlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from dr3d.camera.view import Views, make_views, sphere_views
from dr3d.error import DatabaseError, PictureError
from dr3d.image.mask import Box, find_mask
from dr3d.image.photograph import is_photograph, read_photograph
from dr3d.locate.cutout import FACES, SIGMA
from dr3d.locate.query import SIZE, Query, frame_cutout, frame_query
from dr3d.mesh.mesh import Mesh, load_mesh
from dr3d.render.draw import render
from dr3d.render.triangle import stack_meshes

MESH_VIEWS = 12  # of a mesh, spread over the sphere
QUERY_SIDE = 1024  # pixels of a query's picture, at most


def read_query(
  source: str | os.PathLike[str] | np.ndarray | Mesh | Query,
  *,
  box: Box | None = None,
) -> list[Query]:
  """Returns the views of a query.

  Args:
    source: a file of a picture or a mesh; a picture, uint8 `[h, w, 3]` or
      `[h, w, 4]` with the object opaque; a mesh; or a query as it is.
    box: around the object in a picture; None if it stands out from its
      background, or if the picture has alpha.

  Raises:
    PictureError: the picture cannot be read or shows no object.
    MeshError: the mesh cannot be read.
  """
  if isinstance(source, Query):
    return [source]
  if isinstance(source, Mesh):
    return render_query(source)
  if isinstance(source, np.ndarray):
    return [cut_query(source, box=box)]
  if is_photograph(source):
    picture = read_photograph(source, max_side=None if box else QUERY_SIDE)
    return [cut_query(picture, box=box, name=os.fspath(source))]
  if box is not None:
    raise PictureError(
      f"{os.fspath(source)} is not a picture: a region needs one."
    )
  return render_query(load_mesh(pathlib.Path(source), face_budget=FACES))


def cut_query(
  picture: np.ndarray, *, box: Box | None = None, name: str = "the picture"
) -> Query:
  """Cuts the object out of a picture.

  Args:
    picture: uint8 `[h, w, 3]` or `[h, w, 4]`.
    box: see `read_query`.
    name: of the picture in messages.

  Raises:
    PictureError: no object stands out.
    ValueError: the picture has another shape or type.
  """
  if picture.dtype != np.uint8 or picture.ndim != 3:
    raise ValueError(
      f"a picture must be uint8 [h, w, 3 or 4], got {picture.dtype}"
      f" {picture.shape}."
    )
  if picture.shape[2] == 3:
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    picture = np.concatenate([picture, opaque], axis=-1)
  mask = find_mask(picture, box=box, name=name).pixels
  return frame_query(
    picture[..., :3].astype(np.float32) / 255, mask.astype(np.float32)
  )


def render_query(
  mesh: Mesh, *, viewpoints: np.ndarray | None = None
) -> list[Query]:
  """Draws a mesh in grey, from all around.

  Args:
    mesh: the object.
    viewpoints: `[V, 4]` quaternions w, x, y, z; None for `MESH_VIEWS` spread
      over the sphere.
  """
  if viewpoints is None:
    viewpoints = sphere_views(MESH_VIEWS)
  views: Views = make_views(jnp.asarray(viewpoints), colored=False)
  triangles = stack_meshes(
    [mesh], face_count=max(FACES, mesh.face_count), pose="principal"
  )
  images = np.asarray(
    render(triangles, views, size=SIZE, sigma=SIGMA, framing="object")
  )[0]
  return [frame_cutout(np.clip(image, 0, 1)) for image in images]


def join_queries(sources: Sequence[list[Query]]) -> list[Query]:
  """All views of several pictures of one object."""
  return [query for views in sources for query in views]


def read_model(directory: str | os.PathLike[str], name: str) -> list[Query]:
  """Returns the views of a database's model: the learned ones and more.

  Args:
    directory: of the database.
    name: of the model.

  Raises:
    DatabaseError: it is not a database, or has no such model.
  """
  from dr3d.database.writer import Database
  from dr3d.mesh.packing import unpack_mesh
  from dr3d.retrieval.pipeline import Pipeline

  database = Database.open(directory)
  if not isinstance(database.pipeline, Pipeline):
    raise DatabaseError(f"{os.fspath(directory)} has no learned views.")
  shapes = database.load_shapes([name])
  if name not in shapes:
    raise DatabaseError(
      f"{os.fspath(directory)} has no mesh of a model {name!r}; dr3d info"
      " lists its models."
    )
  mesh = unpack_mesh(shapes[name].mesh)
  learned = np.asarray(database.pipeline.views.quaternion)
  spread = sphere_views(MESH_VIEWS)
  return render_query(mesh, viewpoints=np.concatenate([learned, spread]))
