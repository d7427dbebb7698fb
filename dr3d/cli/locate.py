"""`dr3d locate`: find an object in pictures and videos."""

import contextlib
import functools
import json
import pathlib
from typing import TYPE_CHECKING

from dr3d.cli import argument, console
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  from dr3d.locate.medium import Found
  from dr3d.locate.query import Query


def run(flags: FlagValues, files: list[str]) -> int:
  """Searches each medium; one that fails does not stop the others."""
  region = read_region(flags.region)
  sources, paths = split_files(flags, files)
  argument.check_new_folder(flags.out)
  from dr3d.locate.medium import find_media, locate_file, name_outputs, to_plain

  media = find_media(paths)
  queries = read_queries(flags, sources, region)
  from dr3d.locate.locator import Locator

  locator = Locator.load(flags.locator)
  query = locator.prepare(queries)
  out = pathlib.Path(flags.out)
  out.mkdir(parents=True, exist_ok=True)
  results, failed = [], False
  with console.stages() as show:
    for number, (path, name) in enumerate(
      zip(media, name_outputs(media), strict=True)
    ):
      try:
        for found in locate_file(
          locator,
          query,
          path,
          out,
          name,
          threshold=flags.threshold,
          progress=functools.partial(show, path.name),
        ):
          results.append(found)
          if not flags.json:
            console.print_answer(format_found(found))
      except Dr3dError as error:
        failed = True
        console.print_error(f"dr3d: {error}")
      if len(media) > 1:
        show("searching", number + 1, len(media))
  text = json.dumps([to_plain(found) for found in results], indent=2)
  (out / "found.json").write_text(text, encoding="utf-8")
  if flags.json:
    console.print_answer(text)
  return int(failed)


def split_files(
  flags: FlagValues, files: list[str]
) -> tuple[list[str], list[str]]:
  """Splits the arguments into the query's files and the media.

  Raises:
    UsageError: there is no medium, or flags contradict each other.
  """
  reason = ""
  if (flags.db is None) != (flags.model is None):
    reason = "--db=DB and --model=NAME belong together"
  elif flags.db is not None and (flags.region or flags.more):
    reason = "--region and --more need a picture as the query, not --model"
  elif flags.db is None and len(files) < 2:
    reason = "give a query and at least one picture, folder or video"
  if reason:
    raise UsageError(f"locate: {reason}; see dr3d locate --help.")
  if flags.db is not None:
    argument.check_database(flags.db)
    return [], files
  return [files[0], *(flags.more or ())], files[1:]


def read_region(text: str | None) -> tuple[int, int, int, int] | None:
  """Parses x,y,width,height.

  Raises:
    UsageError: the text is something else.
  """
  if text is None:
    return None
  with contextlib.suppress(ValueError):
    x, y, width, height = (int(number) for number in text.split(","))
    if min(width, height) > 0:
      return x, y, width, height
  raise UsageError(
    f"locate: --region={text} must be x,y,width,height in pixels; see dr3d"
    " locate --help."
  )


def read_queries(
  flags: FlagValues,
  sources: list[str],
  region: tuple[int, int, int, int] | None,
) -> "list[Query]":
  """Returns the views of the query.

  Raises:
    Dr3dError: a file cannot be read, or the database lacks the model.
  """
  from dr3d.locate.read import join_queries, read_model, read_query

  if flags.db is not None:
    return read_model(flags.db, flags.model)
  return join_queries(
    [
      read_query(source, box=region if number == 0 else None)
      for number, source in enumerate(sources)
    ]
  )


def format_found(found: "Found") -> str:
  """One line: the medium, the frame, and what is in it."""
  place = found.medium
  if found.frame is not None:
    place += f" frame {found.frame}"
  if not found.instances:
    return f"{place}: not here"
  parts = [
    f"{','.join(map(str, each.box))} ({each.score:.2f})"
    for each in found.instances
  ]
  return f"{place}: {'  '.join(parts)}"


SUBCOMMAND = Subcommand(
  name="locate",
  summary="Find an object in pictures and videos, and highlight it.",
  details="""
    QUERY is a picture of the object or a mesh file. In a picture the object
    stands out from a plain background, or --region=x,y,width,height is a box
    around it, or the picture is transparent elsewhere. With --db and --model
    the query is a model of a database, and all arguments are media.

    A MEDIUM is a picture, a video, or a folder of them. For each, --out gets a
    picture (or an MP4 video) in which only the object is lit, and a heat map;
    found.json lists the boxes. A line for each medium or frame lists
    x,y,width,height of all instances and how probable each is, or says "not
    here". dr3d says "not here" rather than show a wrong place: it misses more
    objects than it finds in cluttered pictures, above all small and grey ones,
    and is wrong in a few of a hundred that do not show the object. A lower
    --threshold, such as 0.2, finds more. experiments/results/locate.md has the
    figures.

    With --json, stdout is one JSON document: a list with one object for each
    picture or frame.

      medium         the file
      frame          number of the frame from 0, or null
      height, width  of the picture that was searched
      instances      [{box: [x, y, width, height], score, area, view}]

    The exit status is 1 if a medium could not be read.
  """,
  example="""
    dr3d locate part.jpg shelf.jpg --out=found
    dr3d locate desk.jpg --region=120,80,60,40 photos/ --out=found --json
    dr3d locate part.stl walk.mp4 --out=found
    dr3d locate --db=parts.db --model=bolt/m8.stl bench.jpg --out=found
  """,
  flags=(
    Flag("out", "Folder for pictures and videos.", "DIR", required=True),
    Flag(
      "region",
      "Box around the object in the query's picture, pixels.",
      "X,Y,W,H",
    ),
    Flag(
      "more",
      "Further pictures or meshes of the same object.",
      "FILE,...",
      kind="names",
    ),
    Flag("db", "Folder of a database that has the object.", "DIR"),
    Flag("model", "Name of the object in that database.", "NAME"),
    Flag(
      "threshold",
      "Least probability of an instance, instead of the calibrated one.",
      "P",
      kind="number",
      minimum=0,
      maximum=1,
    ),
    Flag("locator", "Locator that a training wrote, instead of dr3d's.", "DIR"),
    Flag("json", "Print JSON.", kind="switch"),
  ),
  files="FILE...",
  run=run,
)
