"""`dr3d query` with files of codes that `dr3d shape encode` wrote."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dr3d.cli.query_output import Outcome
from dr3d.cli.subcommand import FlagValues, UsageError
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  import numpy as np

  from dr3d.database.condition import Condition
  from dr3d.database.writer import Database
  from dr3d.search.answer import Answer
  from dr3d.search.query import Query
  from dr3d.shape.model import ShapeModel

SUFFIX = ".npy"
"""As in `dr3d.shape.code_file`, which imports jax."""


def is_code_file(file: str) -> bool:
  """Whether a file holds codes, by its extension."""
  return pathlib.Path(file).suffix.lower() == SUFFIX


def check(flags: FlagValues, codes: Sequence[str]) -> None:
  """Checks the flags that codes do not take.

  Raises:
    UsageError: one is given.
  """
  wrong = {
    "--server; a service takes meshes and photographs": flags.server,
    "--refine; their surface is too rough": flags.refine is not None,
    "--pairs": flags.pairs,
    "--size=match; a code has no size": flags.size == "match",
  }
  named = [name for name, given in wrong.items() if given]
  if codes and named:
    raise UsageError(
      f"query: codes do not go with {named[0]}; see dr3d query --help."
    )


def name_codes(
  file: str, model: "ShapeModel"
) -> "Iterator[tuple[str, np.ndarray]]":
  """Yields the name of each query and its code [Z].

  Raises:
    Dr3dError: the file holds no codes of the model.
  """
  from dr3d.shape.code_file import read_codes

  codes = read_codes(pathlib.Path(file), model)
  for number, code in enumerate(codes, start=1):
    yield file if len(codes) == 1 else f"{file}, code {number}", code


def ask_database(
  database: "Database",
  flags: FlagValues,
  files: Sequence[str],
  condition: "Condition",
) -> Iterator[Outcome]:
  """Yields the answer of a database to each code of each file."""
  from dr3d.shape.model import ShapeModel
  from dr3d.shape.query import make_query

  model = ShapeModel.load()
  pipeline: Any = database.pipeline
  for file in files:
    try:
      queries = list(name_codes(file, model))
    except Dr3dError as error:
      yield Outcome(file, error=str(error))
      continue
    for name, code in queries:
      try:
        query = make_query(model, code, pipeline)
        answer = ask_without_size(database, query, flags, condition)
      except Dr3dError as error:
        yield Outcome(name, error=f"{name}: {error}")
      else:
        yield Outcome(name, answer)


def ask_without_size(
  database: "Database",
  query: "Query",
  flags: FlagValues,
  condition: "Condition",
) -> "Answer":
  """Asks a database with what was rendered from a code, which has no size."""
  return database.query(
    query,
    k=flags.k,
    condition=condition,
    min_score=flags.min_score,
    size="ignore",
    neighbours=flags.neighbours,
  )
