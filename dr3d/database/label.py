"""Which label, metadata and unit a model has after its file was listed again.

What a person gave is not lost to what a run derives: a label set by hand or by
a table outlives the name of a folder, metadata outlives a table without that
column, and the unit of a file outlives the default of a later run. `replace`
gives the new run precedence over all that was given before.
"""

import dataclasses
from collections.abc import Mapping

from dr3d.data.folder import ModelFile
from dr3d.database.model import LabelSource, Model, UnitSource
from dr3d.mesh.unit import Unit, parse_assumed


@dataclasses.dataclass(frozen=True)
class UnitDefault:
  """Unit of files that state none and were given none.

  Attributes:
    run: given for this run; it also replaces the default of earlier runs.
    database: used for new files if none is given for the run.
  """

  run: Unit | None = None
  database: Unit = "mm"


@dataclasses.dataclass(frozen=True)
class Given:
  """What a model is to have.

  Attributes:
    label: see `Model`, as for the following.
    label_source: likewise.
    metadata: likewise.
    unit: assumed if the file does not state one.
    unit_source: see `Model`.
    is_kept: whether a label that was given before is kept although a table
      says another.
  """

  label: str
  label_source: LabelSource
  metadata: Mapping[str, str]
  unit: Unit
  unit_source: UnitSource
  is_kept: bool


def merge(
  file: ModelFile, before: Model | None, default: UnitDefault, *, replace: bool
) -> Given:
  """Joins what is given now with what was given before.

  Args:
    file: as it is listed now.
    before: the row of the model; None if it is new.
    default: unit of files that were given none.
    replace: whether what was given before gives way.
  """
  keeps = before is not None and not replace and _keeps_label(file, before)
  label, label_source = file.label, file.label_source
  if keeps:
    assert before is not None, "only a known model keeps its label"
    label, label_source = before.label, before.label_source
  unit, unit_source = _choose_unit(file, before, default, replace=replace)
  return Given(
    label,
    label_source,
    _merge_metadata(file, before, replace=replace),
    unit,
    unit_source,
    is_kept=file.label_source == "table"
    and file.is_listed
    and label != file.label,
  )


def _keeps_label(file: ModelFile, before: Model) -> bool:
  if file.label_source == "hand":
    return False
  if before.label_source == "hand":
    return True
  is_given_now = file.label_source == "table" and file.is_listed
  return before.label_source == "table" and not is_given_now


def _merge_metadata(
  file: ModelFile, before: Model | None, *, replace: bool
) -> Mapping[str, str]:
  if before is None:
    return file.metadata or {}
  if file.metadata is None:
    return before.metadata
  return file.metadata if replace else {**before.metadata, **file.metadata}


def _choose_unit(
  file: ModelFile, before: Model | None, default: UnitDefault, *, replace: bool
) -> tuple[Unit, UnitSource]:
  if file.unit is not None:
    return file.unit, "given"
  known = parse_assumed(before.unit) if before is not None else None
  if known is not None and before is not None and not replace:
    if before.unit_source == "given":
      return known, "given"
    return default.run or known, "default"
  return default.run or default.database, "default"
