"""`dr3d quickstart`: the shipped pipeline at work on the sample parts."""

import pathlib
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from dr3d.cli import argument, console
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand

if TYPE_CHECKING:
  from dr3d.quickstart import Outcome


def run(flags: FlagValues, files: list[str]) -> int:
  """Runs the quickstart."""
  del files
  argument.check_new_folder(flags.out)
  directory = pathlib.Path(flags.out)
  command = find_command(sys.argv[0], sys.executable)
  if flags.train:
    from dr3d import quickstart_training

    quickstart_training.run(directory, command=command)
    return 0
  console.print_error(
    "Showing dr3d on standard parts: about a minute on two cores, and less the"
    " second time."
  )
  from dr3d import quickstart

  with console.stages() as show:
    outcome = quickstart.run(directory, show=show)
  print(format_outcome(outcome, command))
  return 0


def find_command(program: str, python: str) -> str:
  """How the user can call dr3d again, as it stands in a shell.

  Args:
    program: `sys.argv[0]`.
    python: the interpreter.
  """
  if pathlib.PurePath(program).name == "__main__.py":
    return f"{shlex.quote(python)} -m dr3d"
  name = pathlib.PurePath(program).name
  return name if shutil.which(name) == program else shlex.quote(program)


def format_outcome(outcome: "Outcome", command: str) -> str:
  """Says in three lines what was found, and what to do next."""
  tally = outcome.tally
  quoted = shlex.quote
  unsure = tally.count - tally.accepted
  return f"""\
Found:   {tally.right} of {tally.count} scans got the right name out of \
{tally.classes} kinds of parts; dr3d had not seen these parts before.
Sure:    for {tally.accepted} scans dr3d says that it is sure, and \
{tally.accepted_right} of these are right; for {unsure} it asks you to look.
Unknown: with all parts of the right kind taken out, it should be sure of \
none; it was of {tally.false_accepts} of {tally.unknown}.

{outcome.seconds:.0f} s. Look at some of the answers in {outcome.picture}.
Ask for one of these parts again:
  {command} query --db={quoted(str(outcome.database))} \
{quoted(str(outcome.scan))}
Then do it with your own files. Put your folder in place of models, and your
scan in place of scan.stl:
  {command} index --db=my_parts.db --models=models
  {command} query --db=my_parts.db scan.stl"""


SUBCOMMAND = Subcommand(
  name="quickstart",
  summary="Index and query the standard parts that ship with dr3d.",
  details="""
    Unpacks screws, nuts, bearings and other standard parts, holds out some of
    each class and indexes the rest with the pipeline that ships with dr3d. Then
    asks for held-out parts by simulated scans in random orientation. Prints how
    many were found, and writes an image of answers. Takes about a minute on two
    cores. With --train it trains two pipelines on the parts instead, one with
    learned and one with fixed viewpoints, and compares them; that takes
    several minutes. The same command resumes an interrupted run.
  """,
  example="""
    dr3d quickstart --out=quickstart
    dr3d quickstart --out=training --train
  """,
  flags=(
    Flag("out", "Folder for all output; created.", "DIR", required=True),
    Flag(
      "train",
      "Train on the parts, and compare learned viewpoints with fixed ones.",
      kind="switch",
    ),
  ),
  run=run,
)
