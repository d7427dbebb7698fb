"""`dr3d quickstart`: see the whole of it work on parts that come with it."""

import pathlib
from typing import Any

from dr3d.cli.subcommand import Flag, Subcommand


def run(flags: Any, files: list[str]) -> int:
  """Runs the quickstart."""
  del files
  from dr3d.quickstart import run as work

  work(pathlib.Path(flags.out))
  return 0


SUBCOMMAND = Subcommand(
  name="quickstart",
  summary="Train, index and query standard parts that come with dr3d.",
  details="""
    Unpacks screws, nuts, bearings and other standard parts, holds some of them
    out, trains on the others, and asks for those held out: turned at random,
    and as imitated scans. Prints how many were found, and writes pictures of
    the answers. It takes some minutes on two cores.
  """,
  example="dr3d quickstart --out=quickstart",
  flags=(
    Flag("out", "Folder for everything it writes.", "DIR", required=True),
  ),
  run=run,
)
