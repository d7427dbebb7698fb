"""Parses the arguments of a subcommand with absl."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from absl import flags as absl_flags

from dr3d.cli.subcommand import (
  VERBOSITY,
  Flag,
  FlagValues,
  Subcommand,
  UsageError,
)

Value = str | float | tuple[str, ...]


def parse(
  subcommand: Subcommand, argv: Sequence[str]
) -> tuple[FlagValues, list[str]]:
  """Parses flags and positional arguments in any order.

  Args:
    subcommand: the subcommand.
    argv: the arguments that follow it.

  Returns:
    The flag values as attributes, and the positional arguments.

  Raises:
    UsageError: an argument is unknown, missing or invalid.
  """
  values = absl_flags.FlagValues()
  values.set_gnu_getopt(True)
  table = {flag.attribute: flag for flag in (*subcommand.flags, VERBOSITY)}
  for flag in table.values():
    _define(flag, values)
  try:
    _, *files = values([f"dr3d {subcommand.name}", *_normalize(argv, table)])
  except absl_flags.UnrecognizedFlagError as error:
    names = [flag.name for flag in table.values()]
    hint = suggest(error.flagname, names, "--")
    raise _usage(
      subcommand, f"unknown flag --{error.flagname}{hint}"
    ) from error
  except (absl_flags.Error, ValueError, TypeError) as error:
    raise _usage(subcommand, str(error).removesuffix(".")) from error
  _check_required(subcommand, values, files)
  return values, files


def read_pairs(
  subcommand: str, flag: str, pairs: Sequence[str] | None
) -> dict[str, tuple[str, ...]]:
  """Parses `key=value` pairs; a key may have several values.

  Raises:
    UsageError: a pair has no equals sign or no key.
  """
  from dr3d.database.condition import split_pairs  # imports NumPy

  try:
    return split_pairs(pairs or ())
  except ValueError as error:
    raise UsageError(
      f"{subcommand}: --{flag} {error}; see dr3d {subcommand} --help."
    ) from error


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
  """Returns `" (did you mean …?)"` if a known name is similar, else nothing."""
  near = difflib.get_close_matches(name, list(known), n=1)
  return f" (did you mean {prefix}{near[0]}?)" if near else ""


def _check_required(
  subcommand: Subcommand, values: FlagValues, files: Sequence[str]
) -> None:
  for flag in subcommand.flags:
    if flag.required and values[flag.attribute].value is None:
      raise _usage(subcommand, f"--{flag.name}={flag.placeholder} is missing")
  if subcommand.files and not files:
    name = subcommand.files.removesuffix("...")
    raise _usage(subcommand, f"{name} is missing")
  if not subcommand.files and files:
    raise _usage(subcommand, f"accepts flags only, not {files[0]!r}")
  if len(files) > subcommand.max_files:
    raise _usage(
      subcommand,
      f"accepts {subcommand.max_files} {subcommand.files}, got {len(files)}",
    )


def _normalize(argv: Sequence[str], table: Mapping[str, Flag]) -> list[str]:
  """Rewrites flags in the form that absl parses.

  A dash in a name becomes an underscore. An optional value that is omitted
  becomes an empty one.
  """
  result = list(argv)
  end = result.index("--") if "--" in result else len(result)
  for i, argument in enumerate(result[:end]):
    name, sign, value = argument.partition("=")
    attribute = name.lstrip("-").replace("-", "_")
    if name.startswith("-") and attribute in table:
      optional = table[attribute].kind == "optional"
      result[i] = f"--{attribute}{sign or '=' * optional}{value}"
  return result


def _usage(subcommand: Subcommand, reason: str) -> UsageError:
  return UsageError(
    f"{subcommand.name}: {reason}; see dr3d {subcommand.name} --help."
  )


def _define(flag: Flag, values: FlagValues) -> None:
  if flag.kind == "switch":
    absl_flags.DEFINE_boolean(
      flag.attribute, bool(flag.default), flag.help, flag_values=values
    )
    return
  absl_flags.DEFINE(
    _Parser(flag), flag.attribute, flag.default, flag.help, flag_values=values
  )


class _Parser(absl_flags.ArgumentParser):
  """Parses a value; its errors say what the value must be."""

  def __init__(self, flag: Flag):
    self.flag = flag

  def parse(self, argument: str | float) -> Value:
    """Parses the text after the equals sign, or a default value."""
    match self.flag.kind:
      case "integer":
        return self._parse_number(argument, int, "an integer")
      case "number":
        return self._parse_number(argument, float, "a number")
      case "names":
        names = [name.strip() for name in str(argument).split(",")]
        return tuple(self._parse_name(name) for name in names if name)
      case "optional":
        return str(argument)
      case _:
        return self._parse_name(str(argument))

  def _parse_number(
    self,
    argument: str | float,
    convert: Callable[[str | float], float],
    what: str,
  ) -> float:
    flag = self.flag
    if flag.multiple > 1:
      what = f"a multiple of {flag.multiple}"
    if flag.minimum > -math.inf:
      what += f", at least {flag.minimum:g}"
    if flag.maximum < math.inf:
      what += f", at most {flag.maximum:g}"
    try:
      value = convert(argument)
    except ValueError:
      raise ValueError(f"must be {what}") from None
    if not flag.minimum <= value <= flag.maximum:  # also false for NaN
      raise ValueError(f"must be {what}")
    if flag.multiple > 1 and value % flag.multiple:
      raise ValueError(f"must be {what}")
    return value

  def _parse_name(self, name: str) -> str:
    if not name:
      raise ValueError("must not be empty")
    if self.flag.choices and name not in self.flag.choices:
      raise ValueError(f"must be one of {', '.join(self.flag.choices)}")
    return name
