"""`dr3d duplicates`: which models of a database are one shape?"""

import csv
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dr3d.cli import report
from dr3d.cli.subcommand import Flag, Subcommand, UsageError
from dr3d.registration.relation import RELATIONS

if TYPE_CHECKING:
  from dr3d.database.duplicate import Group


def run(flags: Any, files: list[str]) -> int:
  """Prints the groups."""
  del files
  if flags.json and flags.csv:
    raise UsageError("duplicates: --json and --csv exclude each other.")
  from dr3d.database import duplicate_page
  from dr3d.database.writer import Database
  from dr3d.runtime.atomic import atomic_file

  database = Database.open(flags.db)
  total = database.count_states()["indexed"]
  with report.progress(total, "comparing") as progress:
    groups = database.find_duplicates(weakest=flags.weakest, progress=progress)
  if flags.html:
    names = [member.model for group in groups for member in group.members]
    shapes = database.load_shapes(names)
    pictures = {name: shape.thumbnail for name, shape in shapes.items()}
    title = f"Duplicates in {flags.db}"
    with atomic_file(pathlib.Path(flags.html)) as partial:
      text = duplicate_page.make_page(title, groups, pictures)
      partial.write_text(text, encoding="utf-8")
  if flags.json:
    json.dump([dataclasses.asdict(group) for group in groups], sys.stdout)
    print()
  elif flags.csv:
    write_csv(groups)
  else:
    for number, group in enumerate(groups, start=1):
      print(f"{number}. {group.relation}")
      for member in group.members:
        remark = duplicate_page.describe(member)
        print(f"  {member.model}{f'  ({remark})' if remark else ''}")
    models = sum(len(group.members) for group in groups)
    print(f"{len(groups)} groups, {models} of {total} models. Nothing changed.")
  return 0


def write_csv(groups: "Sequence[Group]") -> None:
  """Prints a line a model."""
  from dr3d.database.duplicate import Member

  columns = [field.name for field in dataclasses.fields(Member)]
  writer = csv.DictWriter(sys.stdout, ["group", *columns], lineterminator="\n")
  writer.writeheader()
  for number, group in enumerate(groups, start=1):
    for member in group.members:
      writer.writerow({"group": number, **dataclasses.asdict(member)})


SUBCOMMAND = Subcommand(
  name="duplicates",
  summary="Report models of a database that are one shape; nothing is changed.",
  details="""
    Models come in groups. Each but the first has a relation to another one of
    its group: identical (the very same triangles at the same true size), same
    (the same surface in another mesh, format or pose), scaled, mirrored, or
    similar. Distances are those of the surfaces at one size, in radii of the
    smallest enclosing sphere. Shapes that differ in small detail only may be
    called the same: look before you delete.

    With --json, stdout is one JSON document: a list of {relation, members
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
      f"Weakest relation that is reported: {', '.join(RELATIONS)}.",
      "NAME",
      "similar",
      choices=RELATIONS,
    ),
    Flag("json", "Print JSON.", kind="switch"),
    Flag("csv", "Print a table with commas, a line a model.", kind="switch"),
    Flag("html", "Page to write, with a picture of each model.", "FILE.html"),
  ),
  run=run,
)
