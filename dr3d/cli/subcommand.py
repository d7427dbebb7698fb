"""What a subcommand consists of: flags, help and the function that runs it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

from absl.flags import FlagValues

from dr3d.error import Dr3dError

__all__ = ["VERBOSITY", "Flag", "FlagValues", "Subcommand", "UsageError"]


class UsageError(Dr3dError):
  """Arguments of the command are wrong or contradict each other."""


@dataclasses.dataclass(frozen=True)
class Flag:
  """A flag of a subcommand.

  Attributes:
    name: without leading dashes. A dash inside becomes an underscore in the
      attribute that holds the value.
    help: what the flag does, in full sentences.
    placeholder: the value in the help text; empty for a switch.
    default: value if the flag is not given; a list of names is written as on
      the command line.
    kind: how the value is parsed. `"names"` is a comma-separated list. The
      value of `"optional"` may be omitted and is then empty.
    minimum: smallest number.
    maximum: largest number.
    multiple: an integer must be a multiple of it.
    choices: accepted names; empty accepts all.
    required: the flag must be given.
  """

  name: str
  help: str
  placeholder: str = ""
  default: str | float | None = None
  kind: Literal["text", "integer", "number", "names", "switch", "optional"] = (
    "text"
  )
  minimum: float = -math.inf
  maximum: float = math.inf
  multiple: int = 1
  choices: tuple[str, ...] = ()
  required: bool = False

  @property
  def attribute(self) -> str:
    """Name of the attribute of `FlagValues` that holds the value."""
    return self.name.replace("-", "_")


@dataclasses.dataclass(frozen=True)
class Subcommand:
  """A subcommand of `dr3d`.

  Attributes:
    name: as it is typed.
    summary: what it does, in one line.
    details: further paragraphs of the help. Indented ones keep their lines.
    example: command lines.
    flags: its flags; `VERBOSITY` is added.
    run: runs it with the flag values and the positional arguments, and returns
      the exit status.
    files: placeholder of the positional arguments; empty if it takes none.
    max_files: largest number of positional arguments.
  """

  name: str
  summary: str
  details: str
  example: str
  flags: tuple[Flag, ...]
  run: Callable[[FlagValues, list[str]], int]
  files: str = ""
  max_files: float = math.inf


VERBOSITY = Flag(
  "verbosity",
  "What libraries log to stderr: -2 errors, -1 warnings too, 0 information too,"
  " 1 everything.",
  "N",
  default=-2,
  kind="integer",
  minimum=-2,
)
