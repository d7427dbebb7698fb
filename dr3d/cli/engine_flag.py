"""The flag that chooses which engine holds an index."""

from dr3d.cli.subcommand import Flag, FlagValues, UsageError

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
