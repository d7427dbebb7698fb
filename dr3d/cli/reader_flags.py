"""Flags of `dr3d index` and `dr3d add`: how files are read."""

from typing import TYPE_CHECKING

from dr3d.cli import console
from dr3d.cli.subcommand import Flag, FlagValues
from dr3d.mesh.unit import UNITS

if TYPE_CHECKING:
  from dr3d.database.file_reader import FileReader
  from dr3d.database.ingest import Report
  from dr3d.database.ray_workers import RayWorkers
  from dr3d.database.writer import Database
  from dr3d.runtime.pool import Limits

UNIT = Flag(
  "unit",
  f"Unit of length for files that do not state one: {', '.join(UNITS)}."
  " Default: the unit that was given for the file, then that of the last"
  " dr3d index, then mm.",
  "NAME",
  choices=tuple(UNITS),
)
RAY = Flag(
  "ray",
  "Read and embed on a Ray cluster: HOST:PORT of its head, or auto for the one"
  " that this machine belongs to. Without a value, one is started on this"
  " machine for this run.",
  "ADDRESS",
  kind="optional",
)
FLAGS = (
  UNIT,
  Flag(
    "jobs",
    "Number of processes that read files. 0 reads files in the main process,"
    " without limits of time and memory. Default: one for each core.",
    "N",
    kind="integer",
    minimum=0,
  ),
  Flag(
    "timeout",
    "Time limit for reading one file, seconds.",
    "S",
    120,
    "number",
    minimum=1,
  ),
  Flag(
    "memory",
    "Memory limit for reading one file, MiB.",
    "N",
    4096,
    "integer",
    minimum=256,
  ),
)


def make_reader(flags: FlagValues) -> "FileReader":
  """Makes the file reader that the flags describe."""
  from dr3d.database.file_reader import FileReader

  return FileReader(jobs=flags.jobs, limits=_make_limits(flags))


def make_workers(flags: FlagValues) -> "RayWorkers | None":
  """Connects to the Ray cluster that the flags name; None if they name none.

  Raises:
    ClusterError: it cannot be reached, or Ray is not installed.
  """
  if flags.ray is None:
    return None
  from dr3d.database.ray_workers import RayWorkers
  from dr3d.runtime.cluster import connect

  connect(flags.ray)
  return RayWorkers(flags.ray, limits=_make_limits(flags))


def _make_limits(flags: FlagValues) -> "Limits":
  from dr3d.runtime.pool import Limits

  return Limits(seconds=flags.timeout, memory=flags.memory << 20)


def print_report(database: "Database", report: "Report") -> int:
  """Prints what was done.

  Returns:
    The exit status: 0 if any model can be searched.
  """
  from dr3d.database import catalogue, shared

  console.print_failures(report.failures, "failed")
  console.print_failures(report.warnings, "warning")
  searchable = database.count_states()[catalogue.INDEXED]
  print(
    f"{shared.describe(database.directory)}: {searchable} models to search;"
    f" {report.new} new, {report.changed} changed,"
    f" {report.unchanged} unchanged, {report.missing} missing,"
    f" {len(report.failures)} failed."
  )
  if report.assumed:
    counts = [f"{unit} for {n}" for unit, n in sorted(report.assumed.items())]
    print(f"Unit assumed for files that state none: {', '.join(counts)}.")
  if report.relabelled:
    print(f"Labels that were given before and replaced: {report.relabelled}.")
  if report.labels_kept:
    console.print_error(
      f"dr3d: {report.labels_kept} labels set by hand differ from the table"
      " and are kept; dr3d index --replace replaces them."
    )
  return 0 if searchable else 1
