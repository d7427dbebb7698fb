"""The rows of a catalogue as plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

State = Literal["indexed", "failed", "missing", "outdated"]
Source = Literal["folder", "added"]
LabelSource = Literal["folder", "table", "hand"]
UnitSource = Literal["default", "given"]

INDEXED: State = "indexed"
FAILED: State = "failed"
MISSING: State = "missing"
OUTDATED: State = "outdated"
STATES: tuple[State, ...] = get_args(State)

FOLDER: Source = "folder"
ADDED: Source = "added"


@dataclasses.dataclass(frozen=True)
class Shape:
  """A model to draw and to compare.

  Attributes:
    mesh: as `packing.pack_mesh` writes it.
    thumbnail: a small PNG.
  """

  mesh: bytes
  thumbnail: bytes


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """A row of the catalogue.

  Attributes:
    name: unique; path of the file relative to the folder of models.
    label: empty if the model has none.
    hash: SHA-256 of the file; empty if the file could not be read.
    state: `indexed`: the model is searched; `failed`: the file cannot become a
      mesh or has no vectors; `missing`: the file was gone when the folder was
      last read; `outdated`: the vectors are those of a former pipeline.
    reason: why it failed, one sentence; otherwise empty.
    fingerprint: of the pipeline that made the row. Empty if the row is
      searched, but the next update must read its file again.
    source: `folder`: a file of the folder of models; `added`: a file that was
      added by itself.
    unit: of the file; "mm, assumed" if the file does not state one.
    geometry: hash of the triangles at their true size; see
      `processed_model.hash_geometry`.
    metadata: what else is known of the model, text by name.
    body_count: number of bodies in the file; None, like all that follows, in
      rows without vectors.
    area: of the surface before it was simplified, square millimetres.
    volume: inside the surface, cubic millimetres. An open surface is closed by
      triangles to the centre of its box.
    radius: of the smallest enclosing sphere, millimetres.
    extent: size along the principal axes, millimetres.
    face_count: number of faces that were rendered.
    features: float32 [N, D] unit vectors; None also in rows that were read
      without them.
    shape: mesh and thumbnail; None as features.
    label_source: `folder`: the label is the name of the file's folder; `table`:
      a label table gave it; `hand`: it was set for this model. An update
      replaces only the first without being asked.
    unit_source: `given`: the unit was given for this file, so no default of a
      later run replaces it; `default`: it was not.
  """

  name: str
  label: str
  hash: str
  state: State
  reason: str
  fingerprint: str
  source: Source = FOLDER
  unit: str = ""
  geometry: str = ""
  metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
  body_count: int | None = None
  area: float | None = None
  volume: float | None = None
  radius: float | None = None
  extent: tuple[float, float, float] | None = None
  face_count: int | None = None
  features: np.ndarray | None = None
  shape: Shape | None = None
  label_source: LabelSource = "folder"
  unit_source: UnitSource = "default"
