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
from dr3d.registration.relation import IDENTICAL, RELATIONS, SAME
from dr3d.runtime.text import count, escape_row, neutralize

if TYPE_CHECKING:
  from dr3d.database.duplicate import Group
  from dr3d.database.writer import Database


def run(flags: FlagValues, files: list[str]) -> int:
  """Finds and prints the groups; removes copies if that is asked for."""
  del files
  check_arguments(flags)
  argument.check_database(flags.db)
  from dr3d.database.writer import Database

  database = Database.open(flags.db)
  total = database.count_states()["indexed"]
  weakest = flags.remove or flags.weakest
  with console.progress(total, "comparing") as progress:
    groups = database.find_duplicates(weakest=weakest, progress=progress)
  if flags.html:
    write_page(database, groups, pathlib.Path(flags.html))
  if flags.json:
    json.dump([dataclasses.asdict(group) for group in groups], sys.stdout)
    print()
  elif flags.csv:
    write_csv(groups)
  else:
    print_groups(groups, total=total)
  if flags.remove:
    remove_copies(
      database, choose_copies(groups, keep=flags.keep or ()), yes=flags.yes
    )
  return 0


def check_arguments(flags: FlagValues) -> None:
  """Checks the flags before anything large is imported.

  Raises:
    UsageError: flags contradict each other.
  """
  reason = ""
  if flags.json and flags.csv:
    reason = "--json and --csv exclude each other"
  elif flags.keep and not flags.remove:
    reason = "--keep needs --remove"
  elif flags.yes and not flags.remove:
    reason = "--yes needs --remove"
  elif flags.remove and (flags.json or flags.csv):
    reason = "--remove prints no --json and no --csv"
  elif flags.remove and not flags.yes and not sys.stdin.isatty():
    reason = "--remove asks on a terminal; without one it needs --yes"
  if reason:
    raise UsageError(f"duplicates: {reason}; see dr3d duplicates --help.")
  if flags.html:
    argument.check_suffix(
      "duplicates", "html", flags.html, argument.PAGE_SUFFIXES
    )


def choose_copies(
  groups: "Sequence[Group]", *, keep: Sequence[str]
) -> dict[str, str]:
  """Chooses the copies to remove: of each shape all models but one.

  Args:
    groups: of identical models, or of identical and same ones.
    keep: names of models that stay; of a shape without any, the first stays.

  Returns:
    The model that stays, by name of a model to remove.

  Raises:
    UsageError: a model to keep is in no group.
  """
  first: dict[str, str] = {}
  for group in groups:  # the first of a group may be a member of another one
    for member in group.members[1:]:
      first[member.model] = group.members[0].model
  shapes: dict[str, list[str]] = {}
  for group in groups:
    for member in group.members:
      name = member.model
      while name in first:
        name = first[name]
      shape = shapes.setdefault(name, [])
      if member.model not in shape:
        shape.append(member.model)
  known = {name for shape in shapes.values() for name in shape}
  for name in keep:
    if name not in known:
      raise UsageError(
        f"duplicates: --keep={name} is not in a group; see dr3d duplicates."
      )
  copies: dict[str, str] = {}
  for shape in shapes.values():
    kept = [name for name in shape if name in keep] or shape[:1]
    copies |= {name: kept[0] for name in shape if name not in kept}
  return copies


def remove_copies(
  database: "Database", copies: dict[str, str], *, yes: bool
) -> None:
  """Removes models after a confirmation.

  Args:
    database: that they are in.
    copies: see `choose_copies`.
    yes: whether to ask no more.
  """
  if not copies:
    print("No copies to remove.")
    return
  for name, kept in sorted(copies.items()):
    print(neutralize(f"  {name}  ({kept} stays)"))
  what = count(len(copies), "model")
  if not yes:
    answer = input(f"Remove {what} from {database.directory}? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
      print("Nothing changed.")
      return
  database.remove(list(copies))
  print(
    f"{database.directory}: {what} removed. The files stay; dr3d index adds"
    " those of its folder again, so delete or move them."
  )


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

  heading = ""
  for number, group in enumerate(groups, start=1):
    if group.relation != heading:
      heading = group.relation
      print(f"{duplicate_page.HEADINGS[heading]}:")
    print(neutralize(f"  {number}. {group.members[0].model}"))
    for member in group.members[1:]:
      text = duplicate_page.describe(member)
      print(neutralize(f"     {member.model}{f'  ({text})' if text else ''}"))
  models = len({member.model for group in groups for member in group.members})
  print(
    f"{count(len(groups), 'group')}, {models} of {count(total, 'model')}."
    + ("" if groups else " Every model is a shape of its own.")
  )


SUBCOMMAND = Subcommand(
  name="duplicates",
  summary="List models of a database with the same shape, and remove copies.",
  details="""
    Models are listed in groups, those of the strongest relation first. All
    models of a group have one relation to its first model:

      identical  the same triangles at the same size
      same       the same surface in another mesh, format or pose
      scaled     the same shape at another size: a family of sizes
      mirrored   the mirror image
      similar    nearly the same shape

    A model is in the group of its strongest relation. It can be the first model
    of further groups.

    --remove=identical removes copies from the database, and --remove=same also
    models of the same surface. One model of each shape stays: the first one, or
    those that --keep names. dr3d label gives models another label.

    Distances are those of the surfaces at equal size, in radii of the smallest
    enclosing sphere. Shapes that differ only in small details can be listed as
    the same: look at them before you delete one.

    With --json, stdout is one JSON document: a list of {relation, members:
    [{model, label, relation, to, scale, distance, mirrored}]}.
  """,
  example="""
    dr3d duplicates --db=parts.db --html=duplicates.html
    dr3d duplicates --db=parts.db --weakest=same --csv > same.csv
    dr3d duplicates --db=parts.db --remove=identical --keep=bolt/m8.stl
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
    Flag(
      "remove",
      "Remove copies of this relation, after a confirmation: identical, or same"
      " (which includes identical).",
      "NAME",
      choices=(IDENTICAL, SAME),
    ),
    Flag("keep", "Models that --remove keeps.", "MODEL,...", kind="names"),
    Flag("yes", "Remove without asking.", kind="switch"),
    Flag("json", "Print JSON.", kind="switch"),
    Flag("csv", "Print CSV, one row for each model.", kind="switch"),
    Flag("html", "Page to write, with an image of each model.", "FILE.html"),
  ),
  run=run,
)
