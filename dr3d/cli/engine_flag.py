"""The flag that chooses which engine holds an index."""

import sys
from typing import TYPE_CHECKING

from dr3d.cli.subcommand import Flag, FlagValues, UsageError

if TYPE_CHECKING:
  from dr3d.database.writer import Database

FLAG = Flag(
  "engine",
  "What holds the index: auto, exact, scann, or milvus:URI for a Milvus server"
  " or a file of milvus-lite, such as milvus:http://host:19530 or"
  " milvus:milvus.db. Give it to each command that uses the database.",
  "ENGINE",
  default="auto",
)


def check(subcommand: str, flags: FlagValues) -> None:
  """Checks the engine before a database is opened.

  Raises:
    UsageError: it is unknown.
  """
  if flags.engine == "auto":
    return
  from dr3d.index.engine import check_engine  # imports NumPy

  try:
    check_engine(flags.engine)
  except ValueError as error:
    raise UsageError(f"{subcommand}: {error}.") from error


def warn(flags: FlagValues, database: "Database") -> None:
  """Says so if Milvus was asked for and does not hold the models yet."""
  if not flags.engine.startswith("milvus:") or not len(database):
    return
  if database.gallery.index.engine != "milvus":
    print(
      f"dr3d: Milvus holds no index of {flags.db} yet, so all models are"
      f" compared here; dr3d index --engine={flags.engine} fills it.",
      file=sys.stderr,
    )
