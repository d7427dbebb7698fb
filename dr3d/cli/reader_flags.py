"""Flags of `dr3d index` and `dr3d add`: how files are read."""

from typing import TYPE_CHECKING

from dr3d.cli import console
from dr3d.cli.subcommand import Flag, FlagValues
from dr3d.mesh.unit import UNITS

if TYPE_CHECKING:
  from dr3d.database.file_reader import FileReader
  from dr3d.database.ingest import Report
  from dr3d.database.writer import Database

UNIT = Flag(
  "unit",
  f"Unit of length for files that do not state one: {', '.join(UNITS)}."
  " Default: the unit that was given for the file, then that of the last"
  " dr3d index, then mm.",
  "NAME",
  choices=tuple(UNITS),
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
  from dr3d.runtime.pool import Limits

  limits = Limits(seconds=flags.timeout, memory=flags.memory << 20)
  return FileReader(jobs=flags.jobs, limits=limits)


def print_report(database: "Database", report: "Report") -> int:
  """Prints what was done.

  Returns:
    The exit status: 0 if any model can be searched.
  """
  from dr3d.database import catalogue

  console.print_failures(report.failures, "failed")
  console.print_failures(report.warnings, "warning")
  searchable = database.count_states()[catalogue.INDEXED]
  print(
    f"{database.directory}: {searchable} models to search; {report.new} new,"
    f" {report.changed} changed, {report.unchanged} unchanged,"
    f" {report.missing} missing, {len(report.failures)} failed."
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
