"""Loads many model files and collects the reasons of those that fail."""

import dataclasses
from collections.abc import Callable, Sequence

from dr3d.data.folder import ModelFile
from dr3d.database.ingest import Failure
from dr3d.error import Dr3dError
from dr3d.mesh.mesh import Mesh, load_mesh


@dataclasses.dataclass(frozen=True, eq=False)
class ModelCollection:
  """Meshes of the files that could be read.

  Attributes:
    meshes: the meshes.
    files: their files, in the same order.
    failures: the other files, with reasons.
  """

  meshes: tuple[Mesh, ...]
  files: tuple[ModelFile, ...]
  failures: tuple[Failure, ...]

  @property
  def labels(self) -> tuple[str, ...]:
    """The label of each mesh, empty if it has none."""
    return tuple(file.label for file in self.files)


def read_models(
  files: Sequence[ModelFile],
  *,
  face_budget: int | None = None,
  appearance: bool = False,
  load: Callable[[ModelFile], Mesh] | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> ModelCollection:
  """Loads model files and leaves out those that fail.

  Args:
    files: from `folder.find_models`.
    face_budget: largest number of faces of a mesh; None keeps all.
    appearance: whether to read the colours of the surfaces.
    load: loads one file, instead of `load_mesh`; the two above are then unused.
    progress: called after each file with the number done and the total.

  Returns:
    The meshes, in the order of the files.

  Raises:
    Dr3dError: no file could be read.
  """
  meshes, read, failures = [], [], []
  for done, file in enumerate(files, start=1):
    try:
      if load is None:
        mesh = load_mesh(
          file.path, face_budget=face_budget, appearance=appearance
        )
      else:
        mesh = load(file)
      meshes.append(mesh)
      read.append(file)
    except Dr3dError as error:
      reason = str(error).replace(str(file.path), file.name)
      failures.append(Failure(file.name, reason))
    if progress is not None:
      progress(done, len(files))
  if not meshes:
    reason = f"; the first: {failures[0].reason}" if failures else "."
    raise Dr3dError(f"none of {len(files)} models can be read{reason}")
  return ModelCollection(tuple(meshes), tuple(read), tuple(failures))
