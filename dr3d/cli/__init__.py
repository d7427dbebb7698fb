"""The command `dr3d`: a subcommand, its flags, its files.

Exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted. Answers go to
stdout; progress, logs and errors go to stderr. jax, SciPy and trimesh are
imported only after the arguments were checked, because that takes seconds.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from dr3d.cli import environment
from dr3d.cli.help import format_help
from dr3d.cli.parsing import parse, suggest
from dr3d.cli.subcommand import Subcommand, UsageError
from dr3d.error import Dr3dError
from dr3d.runtime.memory import keep_freed_memory
from dr3d.runtime.text import neutralize

SUBCOMMANDS = (
  "quickstart",
  "train",
  "index",
  "add",
  "remove",
  "label",
  "info",
  "rebuild",
  "check",
  "backup",
  "restore",
  "migrate",
  "query",
  "locate",
  "duplicates",
  "serve",
  "token",
  "render",
  "shape",
  "lift",
  "field",
  "evaluate",
)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command.

  Args:
    argv: its arguments without the command's name; None for those of the
      process.

  Returns:
    The exit status.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  keep_freed_memory()
  for stream in (sys.stdout, sys.stderr):
    # A file name that the terminal cannot print must not end the command.
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")
  try:
    status = _run(argv)
    sys.stdout.flush()
  except UsageError as error:
    return _fail(str(error), status=2)
  except Dr3dError as error:
    return _fail(str(error))
  except KeyboardInterrupt:
    return 130
  except BrokenPipeError:
    # The reader of the pipe, such as head, has ended. Python flushes again at
    # exit, which must not fail a second time.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
  except OSError as error:
    path = f"{error.filename}: " if error.filename else ""
    return _fail(f"{path}{error.strerror or error}.")
  except MemoryError:
    return _fail("not enough memory.")
  except Exception as error:
    if environment.is_verbose():
      traceback.print_exc()
    return _fail(
      f"unexpected {type(error).__name__}: {error}. This is a bug in dr3d;"
      " --verbosity=0 prints the traceback."
    )
  return status


def _run(argv: list[str]) -> int:
  if not argv:
    print(_format_overview(), file=sys.stderr)
    return 2
  name, *rest = argv
  if name in ("--help", "-help", "-h", "help"):
    if name == "help" and rest:
      print(format_help(_find(rest[0])))
    else:
      print(_format_overview())
    return 0
  if name in ("--version", "-version", "version"):
    import dr3d

    print(f"dr3d {dr3d.__version__}")
    return 0
  subcommand = _find(name)
  flags = rest[: rest.index("--")] if "--" in rest else rest
  if any(flag in ("--help", "-help", "-h") for flag in flags):
    print(format_help(subcommand))
    return 0
  values, files = parse(subcommand, rest)
  environment.prepare(verbosity=values.verbosity)
  return subcommand.run(values, files)


def _find(name: str) -> Subcommand:
  if name not in SUBCOMMANDS:
    raise UsageError(
      f"unknown subcommand {name!r}{suggest(name, SUBCOMMANDS)}; the"
      f" subcommands are {', '.join(SUBCOMMANDS)}."
    )
  return importlib.import_module(f"dr3d.cli.{name}").SUBCOMMAND


def _format_overview() -> str:
  subcommands = [_find(name) for name in SUBCOMMANDS]
  lines = [
    "dr3d finds a 3D model in a database, given a scan or a mesh.",
    "",
    "Usage: dr3d SUBCOMMAND [flags] [files]",
    "",
    *(f"  {each.name:<12}{each.summary}" for each in subcommands),
    "",
    "dr3d SUBCOMMAND --help describes a subcommand. dr3d --version prints the",
    "version. To start:",
    "",
    "  dr3d quickstart --out=quickstart",
  ]
  return "\n".join(lines)


def _fail(message: str, *, status: int = 1) -> int:
  print(f"dr3d: {neutralize(message)}", file=sys.stderr)
  return status
