"""`dr3d query --field`: photographs that ask through a field."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dr3d.cli.query_code import ask_without_size
from dr3d.cli.query_output import Outcome, Writer
from dr3d.cli.subcommand import FlagValues, UsageError
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  from dr3d.database.condition import Condition
  from dr3d.database.writer import Database
  from dr3d.image.mask import Box


def check(flags: FlagValues, files: Sequence[str]) -> None:
  """Checks the flags that a field does not take.

  Raises:
    UsageError: one is given.
  """
  from dr3d.cli.query_photo import is_photograph

  reason = ""
  if flags.server is not None:
    reason = "--field needs --db; a service has no fields"
  elif flags.together:
    reason = "--field takes one photograph a query, without --together"
  elif flags.pairs:
    reason = "--field draws no --pairs"
  elif not all(map(is_photograph, files)):
    reason = "--field takes photographs only"
  if reason:
    raise UsageError(f"query: {reason}; see dr3d query --help.")


def ask_database(
  database: "Database",
  flags: FlagValues,
  files: Sequence[str],
  region: "Box | None",
  condition: "Condition",
  writer: Writer,
) -> Iterator[Outcome]:
  """Yields the answer of a database to each photograph's fitted code."""
  del writer
  from dr3d.field.field import Field
  from dr3d.field.photograph import fit_photograph
  from dr3d.field.query import make_query
  from dr3d.image.cutout import cut_out

  field = Field.load(flags.field)
  pipeline: Any = database.pipeline
  for file in files:
    try:
      fitted = fit_photograph(field, cut_out(file, region=region))
      query = make_query(field, fitted.codes[0], pipeline)
      answer = ask_without_size(database, query, flags, condition)
    except Dr3dError as error:
      yield Outcome(file, error=str(error))
    else:
      yield Outcome(file, answer)
