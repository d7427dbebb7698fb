"""`dr3d quickstart`: train, index and query the sample parts."""

import pathlib

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand


def run(flags: FlagValues, files: list[str]) -> int:
  """Runs the quickstart."""
  del files
  argument.check_new_folder(flags.out)
  from dr3d import quickstart

  quickstart.run(pathlib.Path(flags.out))
  return 0


SUBCOMMAND = Subcommand(
  name="quickstart",
  summary="Train, index and query the standard parts that ship with dr3d.",
  details="""
    Unpacks screws, nuts, bearings and other standard parts, holds out some of
    each class and trains on the rest. Then queries the held-out parts, rotated
    at random and as simulated scans. Prints how many were found, and writes
    images of the answers. Takes a few minutes on two cores. The same command
    resumes an interrupted run.
  """,
  example="dr3d quickstart --out=quickstart",
  flags=(Flag("out", "Folder for all output; created.", "DIR", required=True),),
  run=run,
)
