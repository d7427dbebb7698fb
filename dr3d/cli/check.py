"""`dr3d check`: read all of a database and say what is damaged."""

import pathlib
from typing import TYPE_CHECKING

from dr3d.cli import argument, console
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.database import shared

if TYPE_CHECKING:
  from dr3d.database.check import Finding


def run(flags: FlagValues, files: list[str]) -> int:
  """Checks, and repairs if asked."""
  del files
  if not shared.is_uri(flags.db):
    argument.check_directory(flags.db)
  from dr3d.database.check import count_searchable, scan

  directory = shared.find_directory(flags.db)
  findings = list(scan(directory))
  for finding in findings:
    console.print_error(
      f"dr3d: damaged: {finding}; {finding.advice}."
      if finding.kind != "leftover"
      else f"dr3d: {finding}; {finding.advice}."
    )
  if not findings:
    count = count_searchable(directory)
    print(f"{directory}: nothing is damaged; {count} models to search.")
    return 0
  if flags.repair:
    return _repair(directory, findings)
  is_damaged = any(finding.kind != "leftover" for finding in findings)
  print(f"{directory}: {len(findings)} findings; nothing was changed.")
  return 1 if is_damaged else 0


def _repair(directory: pathlib.Path, findings: "list[Finding]") -> int:
  """Repairs, and prints what is left."""
  from dr3d.database import catalogue
  from dr3d.database.model import OUTDATED
  from dr3d.database.repair import repair

  left = repair(directory, findings)
  for finding in left:
    console.print_error(f"dr3d: not repaired: {finding}.")
  print(f"{directory}: {len(findings) - len(left)} repaired, {len(left)} left.")
  if any(finding.kind == "catalogue" for finding in left):
    return 1
  with catalogue.open_catalogue(directory) as connection:
    outdated = catalogue.count_states(connection)[OUTDATED]
  if outdated:
    console.print_error(
      f"dr3d: {outdated} models cannot be searched until dr3d index, or dr3d"
      " add, reads their files."
    )
  return 1 if left or outdated else 0


SUBCOMMAND = Subcommand(
  name="check",
  summary="Read all of a database and say what is damaged; repair it.",
  details="""
    Compares every row, mesh, vector and kept file with the digest that was
    stored with it, and loads the pipeline. Other processes may use the database
    meanwhile.

    --repair computes again what can be computed and reads files again. A
    damaged row keeps only its name. Copy the folder before a repair, while
    nothing writes to it: dr3d backup refuses damaged rows.

    The exit status is 1 if anything is damaged, or stays so.
  """,
  example="""
    dr3d check --db=parts.db
    dr3d check --db=parts.db --repair
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("repair", "Repair what was found.", kind="switch"),
  ),
  run=run,
)
