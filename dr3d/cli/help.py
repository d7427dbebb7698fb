"""The help text of a subcommand."""

import textwrap

from dr3d.cli.subcommand import VERBOSITY, Flag, Subcommand

WIDTH = 79  # characters of a line
INDENT = " " * 6  # of a flag's description


def format_help(subcommand: Subcommand) -> str:
  """Returns the help text: usage, description, flags, example."""
  lines = [_format_usage(subcommand), ""]
  lines += textwrap.wrap(subcommand.summary, WIDTH)
  for paragraph in textwrap.dedent(subcommand.details).strip().split("\n\n"):
    lines.append("")
    if paragraph.startswith(" "):
      lines += paragraph.splitlines()
    else:
      lines += textwrap.wrap(" ".join(paragraph.split()), WIDTH)
  lines += ["", "Flags:"]
  for flag in (*subcommand.flags, VERBOSITY):
    lines += _format_flag(flag)
  example = textwrap.dedent(subcommand.example).strip()
  return "\n".join([*lines, "", "Example:", textwrap.indent(example, "  ")])


def _format_usage(subcommand: Subcommand) -> str:
  required = [
    f"--{flag.name}={flag.placeholder}"
    for flag in subcommand.flags
    if flag.required
  ]
  words = ["dr3d", subcommand.name, *required, subcommand.files, "[flags]"]
  return " ".join(word for word in words if word)


def _format_flag(flag: Flag) -> list[str]:
  value = f"={flag.placeholder}" if flag.placeholder else ""
  if flag.kind == "optional":
    value = f"[{value}]"
  text = flag.help
  if flag.required:
    text += " Required."
  elif flag.default not in (None, "") and flag.kind != "switch":
    text += f" Default: {flag.default}."
  return [
    f"  --{flag.name}{value}",
    *textwrap.wrap(
      text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT
    ),
  ]
