"""What `dr3d index` and `dr3d add` have in common: how files are read."""

from typing import TYPE_CHECKING, Any

from dr3d.cli import report
from dr3d.cli.subcommand import Flag
from dr3d.mesh.unit import UNITS

if TYPE_CHECKING:
  from dr3d.database.file_reader import FileReader
  from dr3d.database.ingest import Report
  from dr3d.database.writer import Database

UNIT = Flag(
  "unit",
  "Unit of length of files that do not state it: "
  f"{', '.join(UNITS)}. Default: that of the last time, at first mm.",
  "NAME",
  choices=tuple(UNITS),
)
FLAGS = (
  UNIT,
  Flag(
    "jobs",
    "Processes that read files; 0 reads in this one, without limits. Default:"
    " one for each core.",
    "N",
    kind="integer",
    least=0,
  ),
  Flag("timeout", "Seconds to read one file.", "S", 120, "number", least=1),
  Flag("memory", "MiB to read one file.", "N", 4096, "integer", least=256),
)


def make_reader(flags: Any) -> "FileReader":
  """How the flags say that files are to be read."""
  from dr3d.database.file_reader import FileReader
  from dr3d.runtime.pool import Limits

  limits = Limits(seconds=flags.timeout, memory=flags.memory << 20)
  return FileReader(jobs=flags.jobs, limits=limits)


def tell_report(database: "Database", result: "Report") -> int:
  """Prints what was done and returns the exit status."""
  from dr3d.database import catalogue

  report.tell_failures(result.failures, "failed")
  searchable = database.count_states()[catalogue.INDEXED]
  print(
    f"{database.directory}: {searchable} models to search; {result.new} new,"
    f" {result.changed} changed, {result.unchanged} unchanged,"
    f" {result.missing} missing, {len(result.failures)} failed."
  )
  return 0 if searchable else 1
