"""Changes the pipeline of a database, which is searched all the while.

The new pipeline and its vectors are written beside the present ones, and one
transaction changes from these to those. A process that is killed before it
leaves the former state, and files that the next writer removes.
"""

import contextlib
import pathlib
from collections.abc import Mapping

import numpy as np

from dr3d.database import catalogue, local_copy, row, setting
from dr3d.database.creation import describe_pipeline
from dr3d.database.embedding import EmbeddingPipeline
from dr3d.database.ingest import Progress
from dr3d.database.model import Shape
from dr3d.database.postgres import SharedConnection
from dr3d.error import DatabaseError, MeshError
from dr3d.index.vector_index import check_vectors
from dr3d.mesh import Mesh, build_mesh
from dr3d.mesh.packing import unpack_mesh

BATCH_SIZE = 16  # meshes embedded at a time; bounds the memory of the renderer


def switch(
  directory: pathlib.Path,
  pipeline: EmbeddingPipeline,
  *,
  former_budget: int | None,
  progress: Progress | None = None,
) -> int:
  """Embeds all stored meshes with another pipeline, and changes to it.

  Models whose mesh is not stored become outdated. If the pipelines simplify
  meshes to different numbers of faces, the stored mesh serves until the next
  update, which reads the file again.

  Args:
    directory: of the database, whose writer's lock is held.
    pipeline: the new one.
    former_budget: faces that stored meshes were simplified to.
    progress: called with the models done, all models, and those without mesh.

  Returns:
    How many models were embedded.

  Raises:
    DatabaseError: the database is damaged, or the disk does not store it.
  """
  folder = f"{setting.PIPELINE}-{pipeline.fingerprint}"
  try:
    pipeline.save(directory / folder)
  except OSError as error:
    raise DatabaseError(
      f"{directory / folder} cannot be written ({error.strerror}): the "
      "database keeps the pipeline that it has."
    ) from error
  with catalogue.open_catalogue(directory) as connection:
    if isinstance(connection, SharedConnection):
      local_copy.put_pipeline(connection, folder, directory / folder)
    names = [model.name for model in catalogue.read_models(connection)]
    staged = row.stage(connection)
    for start in range(0, len(names), BATCH_SIZE):
      batch = names[start:][:BATCH_SIZE]
      shapes = catalogue.read_shapes(connection, batch)
      row.extend(connection, staged, embed_shapes(pipeline, shapes))
      if progress is not None:
        done = start + len(batch)
        progress(done, len(names), done - len(staged.places))
    is_same = pipeline.face_budget == former_budget
    fingerprint = pipeline.fingerprint if is_same else ""
    catalogue.switch_pipeline(
      connection,
      {**describe_pipeline(pipeline), setting.PIPELINE_FOLDER: folder},
      staged,
      dict.fromkeys(staged.places, fingerprint),
    )
  return len(staged.places)


def embed_shapes(
  pipeline: EmbeddingPipeline, shapes: Mapping[str, Shape]
) -> dict[str, np.ndarray]:
  """Vectors [N, D] of stored meshes, by name.

  Models whose vectors cannot be searched are left out.
  """
  meshes: dict[str, Mesh] = {}
  for name, shape in shapes.items():
    with contextlib.suppress(MeshError):  # simplified until nothing is left
      mesh = unpack_mesh(shape.mesh)
      meshes[name] = _simplify(mesh, pipeline.face_budget, name)
  if not meshes:
    return {}
  features = np.asarray(pipeline.embed(list(meshes.values())), np.float32)
  found = {}
  for name, vectors in zip(meshes, features, strict=True):
    with contextlib.suppress(ValueError):
      found[name] = check_vectors(vectors, "vectors")
  return found


def _simplify(mesh: Mesh, face_budget: int | None, name: str) -> Mesh:
  """A mesh of at most so many faces."""
  if face_budget is None or mesh.face_count <= face_budget:
    return mesh
  vertices = np.asarray(mesh.vertices, np.float64)
  paint = None
  if mesh.colors is not None:
    from dr3d.mesh.io.color import paint_from  # imports trimesh

    paint = paint_from(vertices, mesh.faces, mesh.colors)
  return build_mesh(
    vertices, np.asarray(mesh.faces), face_budget, name, paint=paint
  )
