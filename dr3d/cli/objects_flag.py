"""The flag that says where a shared database keeps meshes and thumbnails."""

from dr3d.cli.subcommand import Flag, UsageError

FLAG = Flag(
  "objects",
  "Folder or object store that all machines see, for meshes and thumbnails of a"
  " new database in PostgreSQL, such as file:///shared/parts or"
  " s3://bucket/parts; see fsspec for others. Default: in PostgreSQL.",
  "URL",
)


def check(subcommand: str, objects: str | None, location: str) -> None:
  """Checks that only a new shared database is given such a place.

  Raises:
    UsageError: the database is a folder, which keeps all of its own.
  """
  from dr3d.database import shared

  if objects is not None and not shared.is_uri(location):
    raise UsageError(
      f"{subcommand}: --objects needs a database in PostgreSQL; see dr3d"
      f" {subcommand} --help."
    )
