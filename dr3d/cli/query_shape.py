"""`dr3d query --by=shape`: models with the nearest codes."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from dr3d.cli import console
from dr3d.cli.subcommand import FlagValues, UsageError

if TYPE_CHECKING:
  from dr3d.database.writer import Database


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
  """Prints the models with the nearest codes of each file."""
  from dr3d.error import Dr3dError
  from dr3d.mesh import load_mesh
  from dr3d.shape.key import find_by_code
  from dr3d.shape.model import ShapeModel

  model, failed = ShapeModel.load(), False
  entries: list[dict[str, Any]] = []
  for file in files:
    try:
      mesh = load_mesh(file, face_budget=None)
      matches = find_by_code(database, model, mesh, k=flags.k)
    except Dr3dError as error:
      console.print_error(f"dr3d: {error}")
      entries.append({"query": file, "error": str(error)})
      failed = True
      continue
    rows = [dataclasses.asdict(match) for match in matches]
    entries.append({"query": file, "matches": rows})
    if not flags.json:
      console.print_answer(f"{file}\n  rank  distance  model  label")
      for match in matches:
        console.print_answer(
          f"  {match.rank:>4}  {match.distance:8.3f}  {match.model}"
          f"  {match.label}"
        )
  if flags.json:
    console.print_answer(json.dumps(entries, indent=2))
  return int(failed)
