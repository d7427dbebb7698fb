"""What was done to the models of a database."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from dr3d.database.model import FAILED, INDEXED, Model
from dr3d.mesh.unit import Unit


@dataclasses.dataclass(frozen=True)
class Failure:
  """A file that is not searched.

  Attributes:
    model: its name.
    reason: why, in one sentence.
  """

  model: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Report:
  """What was done.

  Attributes:
    new: models that were not indexed before and are now.
    changed: models that were indexed with other content, label or metadata.
    unchanged: models that were left as they were.
    missing: models whose file was there before and is not now.
    failures: files that cannot be indexed, by name; they are tried again
      each time.
    warnings: files that were indexed in this run, but lack something or are
      read by an assumption, with what it is.
    relabelled: models whose label was given before and is another now.
    labels_kept: models whose label was given before and is kept, although the
      label table says another; see `label`.
    assumed: number of files that state no unit, by the unit that was assumed.
  """

  new: int
  changed: int
  unchanged: int
  missing: int
  failures: tuple[Failure, ...]
  warnings: tuple[Failure, ...] = ()
  relabelled: int = 0
  labels_kept: int = 0
  assumed: Mapping[Unit, int] = dataclasses.field(default_factory=dict)


def make_report(
  written: Sequence[Model],
  known: Mapping[str, Model],
  *,
  file_count: int,
  missing: int,
  warnings: Sequence[Failure],
  labels_kept: int,
  assumed: Mapping[Unit, int],
) -> Report:
  """Counts what a run has done.

  Args:
    written: rows that were committed.
    known: rows before the run, by name.
    file_count: number of files of the run.
    missing: see `Report`, as for the following.
    warnings: of files that were read, in any order.
    labels_kept: see `Report`, as for the following.
    assumed: likewise.
  """
  tally: collections.Counter[str] = collections.Counter()
  for row in written:
    before = known.get(row.name)
    if row.state == FAILED:
      tally["failed"] += 1
    elif before is not None and before.state == INDEXED:
      tally["changed"] += 1
    else:
      tally["new"] += 1
    if before is not None and before.label_source != "folder":
      tally["relabelled"] += row.label != before.label
  return Report(
    new=tally["new"],
    changed=tally["changed"],
    unchanged=file_count - len(written),
    missing=missing,
    failures=tuple(
      Failure(row.name, row.reason)
      for row in sorted(written, key=lambda row: row.name)
      if row.state == FAILED
    ),
    warnings=tuple(sorted(warnings, key=lambda entry: entry.model)),
    relabelled=tally["relabelled"],
    labels_kept=labels_kept,
    assumed=dict(assumed),
  )
