"""`dr3d query --by=shape`: models with the nearest codes."""

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dr3d.cli import console, query_code
from dr3d.cli.subcommand import FlagValues, UsageError

if TYPE_CHECKING:
  import numpy as np

  from dr3d.database.writer import Database
  from dr3d.shape.model import ShapeModel


def check(flags: FlagValues, photos: list[str]) -> None:
  """Checks what goes with --by=shape.

  Raises:
    UsageError: another flag contradicts it.
  """
  wrong = {
    "--server": flags.server,
    "--refine": flags.refine is not None,
    "--pairs": flags.pairs,
    "--label": flags.label,
    "--where": flags.where,
    "--csv": flags.csv,
    "--size=match": flags.size == "match",
    "photographs; dr3d lift makes meshes of them": photos,
  }
  named = [name for name, given in wrong.items() if given]
  if named:
    raise UsageError(
      f"query: --by=shape does not go with {named[0]}; see dr3d query --help."
    )


def ask(database: "Database", flags: FlagValues, files: list[str]) -> int:
  """Prints the models with the nearest codes of each mesh, or of each code."""
  from dr3d.error import Dr3dError
  from dr3d.shape.key import find_by_code
  from dr3d.shape.model import ShapeModel

  model, failed = ShapeModel.load(), False
  entries: list[dict[str, Any]] = []
  for file in files:
    try:
      queries = list(_list_queries(file, model))
      found = [
        (name, find_by_code(database, model, poses, k=flags.k))
        for name, poses in queries
      ]
    except Dr3dError as error:
      console.print_error(f"dr3d: {error}")
      entries.append({"query": file, "error": str(error)})
      failed = True
      continue
    for name, matches in found:
      rows = [dataclasses.asdict(match) for match in matches]
      entries.append({"query": name, "matches": rows})
      if flags.json:
        continue
      console.print_answer(f"{name}\n  rank  distance  model  label")
      for match in matches:
        console.print_answer(
          f"  {match.rank:>4}  {match.distance:8.3f}  {match.model}"
          f"  {match.label}"
        )
  if flags.json:
    console.print_answer(json.dumps(entries, indent=2))
  return int(failed)


def _list_queries(
  file: str, model: "ShapeModel"
) -> "Iterator[tuple[str, np.ndarray]]":
  """Yields the name of each query of a file, and its codes [Q, Z]."""
  from dr3d.mesh import load_mesh
  from dr3d.shape.key import encode_poses

  if query_code.is_code_file(file):
    for name, code in query_code.name_codes(file, model):
      yield name, code[None]
  else:
    yield file, encode_poses(model, load_mesh(file, face_budget=None))
