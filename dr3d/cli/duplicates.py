"""`dr3d duplicates`: models of a database with the same shape."""

import csv
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dr3d.cli import argument, console
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.registration.relation import RELATIONS
from dr3d.runtime.text import escape_row, neutralize

if TYPE_CHECKING:
  from dr3d.database.duplicate import Group
  from dr3d.database.writer import Database


def run(flags: FlagValues, files: list[str]) -> int:
  """Finds and prints the groups."""
  del files
  if flags.json and flags.csv:
    raise UsageError(
      "duplicates: --json and --csv exclude each other; see dr3d duplicates"
      " --help."
    )
  if flags.html:
    argument.check_suffix(
      "duplicates", "html", flags.html, argument.PAGE_SUFFIXES
    )
  argument.check_database(flags.db)
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  total = database.count_states()["indexed"]
  with console.progress(total, "comparing") as progress:
    groups = database.find_duplicates(weakest=flags.weakest, progress=progress)
  if flags.html:
    write_page(database, groups, pathlib.Path(flags.html))
  if flags.json:
    json.dump([dataclasses.asdict(group) for group in groups], sys.stdout)
    print()
  elif flags.csv:
    write_csv(groups)
  else:
    print_groups(groups, total=total)
  return 0


def write_page(
  database: "Database", groups: "Sequence[Group]", path: pathlib.Path
) -> None:
  """Writes an HTML page with a thumbnail of each model."""
  from dr3d.database import duplicate_page
  from dr3d.runtime.atomic import atomic_file

  names = [member.model for group in groups for member in group.members]
  shapes = database.load_shapes(names)
  thumbnails = {name: shape.thumbnail for name, shape in shapes.items()}
  title = f"Duplicates in {database.directory}"
  text = duplicate_page.make_page(title, groups, thumbnails)
  with atomic_file(path) as partial:
    partial.write_text(text, encoding="utf-8")


def write_csv(groups: "Sequence[Group]") -> None:
  """Prints one CSV row for each model."""
  from dr3d.database.duplicate import Member

  columns = [field.name for field in dataclasses.fields(Member)]
  writer = csv.DictWriter(sys.stdout, ["group", *columns], lineterminator="\n")
  writer.writeheader()
  for number, group in enumerate(groups, start=1):
    for member in group.members:
      row = {"group": number, **dataclasses.asdict(member)}
      writer.writerow(escape_row(row))


def print_groups(groups: "Sequence[Group]", *, total: int) -> None:
  """Prints the groups for a person.

  Args:
    groups: the groups.
    total: number of models in the database.
  """
  from dr3d.database import duplicate_page

  for number, group in enumerate(groups, start=1):
    print(f"{number}. {group.relation}")
    for member in group.members:
      text = duplicate_page.describe(member)
      line = f"  {member.model}{f'  ({text})' if text else ''}"
      print(neutralize(line))
  models = sum(len(group.members) for group in groups)
  print(f"{len(groups)} groups, {models} of {total} models. Nothing changed.")


SUBCOMMAND = Subcommand(
  name="duplicates",
  summary="List models of a database with the same shape; changes nothing.",
  details="""
    Models are listed in groups. Each model but the first has a relation to
    another one of its group:

      identical  the same triangles at the same size
      same       the same surface in another mesh, format or pose
      scaled     the same shape at another size
      mirrored   the mirror image
      similar    nearly the same shape

    Distances are those of the surfaces at equal size, in radii of the smallest
    enclosing sphere. Shapes that differ only in small details can be listed as
    the same: look at them before you delete one.

    With --json, stdout is one JSON document: a list of {relation, members:
    [{model, label, relation, to, scale, distance, mirrored}]}.
  """,
  example="""
    dr3d duplicates --db=parts.db --html=duplicates.html
    dr3d duplicates --db=parts.db --weakest=same --csv > same.csv
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag(
      "weakest",
      f"Weakest relation to list: {', '.join(RELATIONS)}.",
      "NAME",
      "similar",
      choices=RELATIONS,
    ),
    Flag("json", "Print JSON.", kind="switch"),
    Flag("csv", "Print CSV, one row for each model.", kind="switch"),
    Flag("html", "Page to write, with an image of each model.", "FILE.html"),
  ),
  run=run,
)
