"""What the catalogue asks of a connection, to SQLite or to PostgreSQL.

Both run the same statements. What differs is in `schema`, `sqlite_file` and
`postgres`: how a connection is opened, how a transaction begins, and what is
done about the disk.
"""

from collections.abc import Iterable
from typing import Any, Protocol


class Connection(Protocol):
  """A connection; parameters of a statement are marked by "?"."""

  @property
  def in_transaction(self) -> bool:
    """Whether a transaction is open."""

  def execute(self, command: str, parameters: Any = ..., /) -> Any:
    """Runs a statement; returns a cursor."""

  def executemany(self, command: str, rows: Iterable[Any], /) -> Any:
    """Runs a statement for each row of parameters."""
