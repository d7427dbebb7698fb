"""What a verb of the command is: its flags, its help, its reading."""

import dataclasses
import difflib
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from absl import flags as absl_flags

from dr3d.error import Dr3dError

WIDTH = 79
INDENT = 4


class UsageError(Dr3dError):
  """The command was called in a way that it does not know."""


@dataclasses.dataclass(frozen=True)
class Flag:
  """A flag of a verb.

  Attributes:
    name: without the dashes before it; a dash within becomes an underscore in
      the name of the attribute.
    help: what it does, for a person.
    placeholder: stands for the value in the help; empty for a switch.
    default: value where it is not given; of names, as they are typed.
    kind: how the value is read; `"names"` is a list with commas; of an
      `"optional"` text the value may be left out, which makes it empty.
    least: of a number.
    multiple: a whole number must be a multiple of it.
    choices: what a name or the names must be among.
    required: it must be given.
  """

  name: str
  help: str
  placeholder: str = ""
  default: Any = None
  kind: Literal["text", "integer", "number", "names", "switch", "optional"] = (
    "text"
  )
  least: float = -math.inf
  multiple: int = 1
  choices: tuple[str, ...] = ()
  required: bool = False


@dataclasses.dataclass(frozen=True)
class Subcommand:
  """A verb of the command.

  Attributes:
    name: as it is typed.
    summary: one line: what it does.
    details: what else a person should know, paragraphs.
    example: command lines.
    flags: its flags; `VERBOSITY` is added.
    files: placeholder of its positional arguments; empty for none.
    most: positional arguments that it takes at most.
    run: does it: flag values as attributes, positional arguments → exit
      status.
  """

  name: str
  summary: str
  details: str
  example: str
  flags: tuple[Flag, ...]
  run: Callable[[Any, list[str]], int]
  files: str = ""
  most: float = math.inf


VERBOSITY = Flag(
  "verbosity",
  "What the libraries below may log to stderr: -2 errors, -1 also warnings, 0"
  " also information, 1 everything.",
  "N",
  default=-2,
  kind="integer",
  least=-2,
)


def parse(subcommand: Subcommand, argv: Sequence[str]) -> tuple[Any, list[str]]:
  """Reads the arguments of a verb; flags and files in any order.

  Args:
    subcommand: the verb.
    argv: what follows it.

  Returns:
    The flags' values as attributes, and the positional arguments.

  Raises:
    UsageError: an argument is unknown, missing or has a value it cannot have.
  """
  values = absl_flags.FlagValues()
  values.set_gnu_getopt(True)
  table = {_attribute(flag): flag for flag in (*subcommand.flags, VERBOSITY)}
  for flag in table.values():
    _define(flag, values)
  try:
    _, *files = values([f"dr3d {subcommand.name}", *_complete(argv, table)])
  except absl_flags.UnrecognizedFlagError as error:
    name = error.flagname
    names = [flag.name for flag in table.values()]
    raise _usage(
      subcommand,
      f"there is no flag --{name}{suggest(name, names, '--')}",
    ) from error
  except (absl_flags.Error, ValueError, TypeError) as error:
    raise _usage(subcommand, str(error).removesuffix(".")) from error
  for flag in table.values():
    if flag.required and values[_attribute(flag)].value is None:
      raise _usage(subcommand, f"--{flag.name}={flag.placeholder} is missing")
  if subcommand.files and not files:
    raise _usage(
      subcommand, f"{subcommand.files.removesuffix('...')} is missing"
    )
  if not subcommand.files and files:
    raise _usage(subcommand, f"takes flags only, not {files[0]!r}")
  if len(files) > subcommand.most:
    raise _usage(
      subcommand,
      f"takes {subcommand.most} {subcommand.files}, got {len(files)}",
    )
  return values, files


def read_pairs(
  subcommand: str, flag: str, pairs: Sequence[str] | None
) -> dict[str, tuple[str, ...]]:
  """Reads `key=value` pairs; a key may come several times.

  Raises:
    UsageError: a pair has no equals sign or no key.
  """
  from dr3d.database.condition import split_pairs  # brings numpy

  try:
    return split_pairs(pairs or ())
  except ValueError as error:
    raise UsageError(
      f"{subcommand}: --{flag} {error}; see dr3d {subcommand} --help."
    ) from error


def _complete(argv: Sequence[str], table: dict[str, Flag]) -> list[str]:
  """Gives optional flags without a value an empty one.

  A dash within a flag's name becomes an underscore.
  """
  result = list(argv)
  end = result.index("--") if "--" in result else len(result)
  for place, argument in enumerate(result[:end]):
    name, sign, value = argument.partition("=")
    plain = name.lstrip("-").replace("-", "_")
    if name.startswith("-") and plain in table:
      optional = table[plain].kind == "optional"
      result[place] = f"--{plain}{sign or '=' * optional}{value}"
  return result


def format_help(subcommand: Subcommand) -> str:
  """The help of a verb, for a person to read."""
  required = [
    f"--{flag.name}={flag.placeholder}"
    for flag in subcommand.flags
    if flag.required
  ]
  usage = " ".join(
    filter(
      None, ["dr3d", subcommand.name, *required, subcommand.files, "[flags]"]
    )
  )
  lines = [f"{usage}", "", *textwrap.wrap(subcommand.summary, WIDTH)]
  for paragraph in textwrap.dedent(subcommand.details).strip().split("\n\n"):
    lines += ["", *textwrap.wrap(" ".join(paragraph.split()), WIDTH)]
  lines += ["", "Flags:"]
  for flag in (*subcommand.flags, VERBOSITY):
    lines += _format_flag(flag)
  lines += ["", "Example:"]
  lines += textwrap.indent(
    textwrap.dedent(subcommand.example).strip(), "  "
  ).splitlines()
  return "\n".join(lines)


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
  """`"; did you mean …?"` where a known name is near, else nothing."""
  near = difflib.get_close_matches(name, list(known), n=1)
  return f" (did you mean {prefix}{near[0]}?)" if near else ""


def _usage(subcommand: Subcommand, reason: str) -> UsageError:
  return UsageError(
    f"{subcommand.name}: {reason}; see dr3d {subcommand.name} --help."
  )


def _format_flag(flag: Flag) -> list[str]:
  value = f"={flag.placeholder}" if flag.placeholder else ""
  if flag.kind == "optional":
    value = f"[{value}]"
  text = flag.help
  if flag.required:
    text += " Required."
  elif flag.default not in (None, "") and flag.kind != "switch":
    text += f" Default: {flag.default}."
  indent = " " * (INDENT + 2)
  return [
    f"  --{flag.name}{value}",
    *textwrap.wrap(
      text, WIDTH, initial_indent=indent, subsequent_indent=indent
    ),
  ]


def _attribute(flag: Flag) -> str:
  return flag.name.replace("-", "_")


def _define(flag: Flag, values: absl_flags.FlagValues) -> None:
  if flag.kind == "switch":
    absl_flags.DEFINE_boolean(
      _attribute(flag), flag.default or False, flag.help, flag_values=values
    )
    return
  absl_flags.DEFINE(
    _Parser(flag), _attribute(flag), flag.default, flag.help, flag_values=values
  )


class _Parser(absl_flags.ArgumentParser):
  """Reads a value; says in words what it must be."""

  def __init__(self, flag: Flag):
    self.flag = flag

  def parse(self, argument: Any) -> Any:
    """Value of what stands behind the equals sign."""
    match self.flag.kind:
      case "integer":
        return self._number(argument, int, "a whole number")
      case "number":
        return self._number(argument, float, "a number")
      case "names":
        names = [name.strip() for name in str(argument).split(",")]
        return tuple(self._name(name) for name in names if name)
      case "optional":
        return str(argument)
      case _:
        return self._name(argument)

  def _number(self, argument: Any, kind: Callable, what: str) -> Any:
    flag = self.flag
    if flag.multiple > 1:
      what = f"a multiple of {flag.multiple}"
    if flag.least > -math.inf:
      what += f", at least {flag.least}"
    try:
      value = kind(argument)
    except ValueError:
      raise ValueError(f"must be {what}") from None
    uneven = flag.multiple > 1 and value % flag.multiple
    if not value >= flag.least or uneven:
      raise ValueError(f"must be {what}")
    return value

  def _name(self, argument: str) -> str:
    if not argument:
      raise ValueError("must not be empty")
    if self.flag.choices and argument not in self.flag.choices:
      raise ValueError(f"must be among {', '.join(self.flag.choices)}")
    return argument
