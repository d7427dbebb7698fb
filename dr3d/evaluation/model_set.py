"""The two sets of an evaluation: queries and gallery."""

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dr3d.data.collection import read_models
from dr3d.data.folder import ModelFile, hash_file
from dr3d.database import catalogue, setting
from dr3d.error import MeshError
from dr3d.evaluation.protocol import Protocol, make_query
from dr3d.mesh import Mesh, load_mesh
from dr3d.mesh.io.color import make_paint
from dr3d.mesh.io.reader import read_geometry
from dr3d.mesh.packing import pack_mesh

if TYPE_CHECKING:
  from dr3d.database.ingest import Failure
  from dr3d.database.writer import Database


@dataclasses.dataclass(frozen=True, eq=False)
class ModelSet:
  """Models of one set.

  Attributes:
    files: B models, ascending by name.
    hashes: SHA-256 of their files; empty if a file cannot be read.
    meshes: of the models; None if they were not read.
    features: float32 [B, N, D] vectors of the database's pipeline, or None.
    proportions: float64 [B, 3], extents of the unchanged models in radii of the
      enclosing sphere; NaN or None if they are not known.
    packed: meshes as the database stores them, see `packing.pack_mesh`; empty
      or None if it does not.
  """

  files: tuple[ModelFile, ...]
  hashes: tuple[str, ...]
  meshes: tuple[Mesh, ...] | None = None
  features: np.ndarray | None = None
  proportions: np.ndarray | None = None
  packed: tuple[bytes, ...] | None = None

  @property
  def names(self) -> tuple[str, ...]:
    """The names of the models."""
    return tuple(file.name for file in self.files)

  @property
  def labels(self) -> tuple[str, ...]:
    """The labels of the models, empty if they have none."""
    return tuple(file.label for file in self.files)

  def take(self, chosen: Sequence[int]) -> "ModelSet":
    """Some of the models."""
    chosen = list(chosen)
    features, proportions = (
      None if array is None else array[chosen]
      for array in (self.features, self.proportions)
    )
    return ModelSet(
      tuple(self.files[i] for i in chosen),
      tuple(self.hashes[i] for i in chosen),
      None if self.meshes is None else tuple(self.meshes[i] for i in chosen),
      features,
      proportions,
      None if self.packed is None else tuple(self.packed[i] for i in chosen),
    )

  def has_shape(self, index: int) -> bool:
    """Whether the mesh of a model is known."""
    return self.meshes is not None or bool(self.packed and self.packed[index])

  def pack(self, index: int) -> bytes:
    """Packs the mesh of a model; see `packing.pack_mesh`.

    Raises:
      ValueError: the mesh is not known.
    """
    if self.meshes is not None:
      return pack_mesh(self.meshes[index])
    if not self.packed or not self.packed[index]:
      raise ValueError(f"the mesh of {self.names[index]} is not known.")
    return self.packed[index]

  def drop(self, names: Collection[str]) -> "ModelSet":
    """All but the models of these names."""
    return self.take(
      [i for i, name in enumerate(self.names) if name not in names]
    )


def find_folder(database: "Database") -> pathlib.Path:
  """The folder of models that was indexed last, under its name at that time."""
  return pathlib.Path(database.settings.get(setting.MODELS, "."))


def list_database(
  database: "Database",
  *,
  folder: pathlib.Path,
  labels: Mapping[str, str] | None = None,
) -> ModelSet:
  """Lists the indexed models of a database, with their vectors.

  Args:
    database: holds at least one indexed model.
    folder: of the files.
    labels: by name, instead of those of the database; models that are not in
      it have none.

  Raises:
    DatabaseError: the database cannot be read or holds no indexed model.
  """
  gallery = database.gallery
  with catalogue.open_catalogue(database.directory) as connection:
    rows = {row.name: row for row in catalogue.read_models(connection)}
    shapes = catalogue.read_shapes(connection, gallery.names)
  if labels is None:
    labels = dict(zip(gallery.names, gallery.labels, strict=True))
  files = [
    ModelFile(folder / name, name, labels.get(name, ""))
    for name in gallery.names
  ]
  proportions = [
    np.array(row.extent or np.nan) / (row.radius or np.nan) * np.ones(3)
    for row in map(rows.__getitem__, gallery.names)
  ]
  return ModelSet(
    tuple(files),
    tuple(rows[name].hash for name in gallery.names),
    features=np.asarray(gallery.features),
    proportions=np.stack(proportions),
    packed=tuple(
      shapes[name].mesh if name in shapes else b"" for name in gallery.names
    ),
  )


def list_files(files: Sequence[ModelFile]) -> ModelSet:
  """Makes a set of model files that are in no database.

  A file that cannot be read has no hash; `read_model_set` says why.
  """
  return ModelSet(tuple(files), tuple(_hash(file.path) for file in files))


def read_model_set(
  side: ModelSet,
  *,
  protocol: Protocol,
  face_budget: int | None,
  appearance: bool = False,
  progress: Callable[[int, int], None] | None = None,
) -> "tuple[ModelSet, tuple[Failure, ...]]":
  """Reads the meshes of a set and changes them as the protocol says.

  Args:
    side: the set.
    protocol: how models are changed.
    face_budget: largest number of faces of a mesh; None keeps all.
    appearance: whether to read the colours of the surfaces.
    progress: called after each file with the files done and all files.

  Returns:
    The set with meshes, without the models that cannot be read; and these with
    the reason.

  Raises:
    Dr3dError: no model can be read.
  """
  expected = dict(zip(side.names, side.hashes, strict=True))

  def load(file: ModelFile) -> Mesh:
    found = _hash(file.path)
    if "" not in (found, expected[file.name]) and found != expected[file.name]:
      raise MeshError(
        f"{file.path} has changed since it was indexed: run dr3d index again."
      )
    if not protocol.changes:
      return load_mesh(
        file.path, face_budget=face_budget, appearance=appearance
      )
    return make_query(
      *read_geometry(file.path),
      name=file.name,
      protocol=protocol,
      face_budget=face_budget,
      paint=make_paint(file.path) if appearance else None,
    )

  reading = read_models(side.files, load=load, progress=progress)
  failed = {failure.model for failure in reading.failures}
  kept = dataclasses.replace(side.drop(failed), meshes=reading.meshes)
  if protocol.changes:  # these are of the unchanged models
    kept = dataclasses.replace(kept, features=None, packed=None)
  if kept.proportions is None:
    meshes = reading.meshes
    if protocol.scan:  # of the models, not of their scans
      meshes = tuple(
        load_mesh(file.path, face_budget=None) for file in kept.files
      )
    proportions = np.stack([mesh.extent / mesh.radius for mesh in meshes])
    kept = dataclasses.replace(kept, proportions=proportions)
  return kept, reading.failures


def _hash(path: pathlib.Path) -> str:
  """SHA-256 of a file; empty if it cannot be read."""
  try:
    return hash_file(path)
  except OSError:
    return ""
