"""Flags of a subcommand from a TOML file and from the environment.

A flag that is given wins, then a variable of the environment, then the file.
So one file can describe a service, and a container can change one line of it.
"""

import os
import pathlib
import tomllib
from collections.abc import Mapping

from absl import flags as absl_flags

from dr3d.cli.parsing import suggest
from dr3d.cli.subcommand import Flag, FlagValues, UsageError
from dr3d.error import Dr3dError

CONFIG = Flag(
  "config",
  "TOML file with flags, such as port = 8000. A flag that is given wins, then a"
  " variable of the environment such as DR3D_SERVE_PORT, then the file.",
  "FILE.toml",
)


def fill_flags(
  flags: FlagValues, known: tuple[Flag, ...], *, subcommand: str
) -> None:
  """Sets the flags that the command line did not give.

  Args:
    flags: values of the command line; changed.
    known: flags of the subcommand.
    subcommand: its name; `DR3D_<NAME>_` begins the variables.

  Raises:
    Dr3dError: the file cannot be read, or is not TOML.
    UsageError: a value is not one of the flag, or no flag has this name.
  """
  prefix = f"DR3D_{subcommand.upper()}_"
  path = flags.config or os.environ.get(prefix + "CONFIG")
  settable = {flag.attribute: flag for flag in known if flag is not CONFIG}
  file = _read(path, settable, subcommand) if path else {}
  for attribute, flag in settable.items():
    variable = prefix + attribute.upper()
    if flags[attribute].present:
      continue
    if variable in os.environ:
      _set(flags, flag, os.environ[variable], f"{subcommand}: {variable}")
    elif attribute in file:
      where = f"{subcommand}: {path}: {flag.name}"
      _set(flags, flag, _to_text(file[attribute], flag, where), where)


def _read(
  path: str, settable: Mapping[str, Flag], subcommand: str
) -> dict[str, object]:
  """Reads a file; its keys become attributes of flags."""
  try:
    with pathlib.Path(path).open("rb") as file:
      table = tomllib.load(file)
  except OSError as error:
    raise Dr3dError(f"{path} cannot be read ({error.strerror}).") from error
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
    raise Dr3dError(f"{path} is not a TOML file: {error}.") from error
  result = {}
  for key, value in table.items():
    attribute = key.replace("-", "_")
    if attribute not in settable:
      names = [flag.name for flag in settable.values()]
      raise UsageError(
        f"{subcommand}: {path}: there is no flag"
        f" {key!r}{suggest(key, names)}; see dr3d {subcommand} --help."
      )
    result[attribute] = value
  return result


def _to_text(value: object, flag: Flag, where: str) -> str:
  """Writes a value of TOML as on the command line."""
  if isinstance(value, bool) == (flag.kind == "switch"):
    if isinstance(value, bool):
      return str(value).lower()
    if isinstance(value, str | int | float):
      return str(value)
    if flag.kind == "names" and isinstance(value, list):
      return ",".join(map(str, value))
  kinds = {"switch": "true or false", "names": "a list of texts"}
  raise UsageError(f"{where}: must be {kinds.get(flag.kind, 'one value')}.")


def _set(flags: FlagValues, flag: Flag, text: str, where: str) -> None:
  try:
    flags[flag.attribute].parse(text)
  except absl_flags.IllegalFlagValueError as error:
    # absl's message begins with the flag and its value.
    reason = str(error).removesuffix(".").rpartition(": ")[2]
    raise UsageError(f"{where}={text}: {reason}.") from error
