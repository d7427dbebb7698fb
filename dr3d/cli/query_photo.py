"""`dr3d query` with photographs instead of mesh files."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dr3d.cli import console
from dr3d.cli.query_output import Outcome, Writer
from dr3d.cli.subcommand import FlagValues, UsageError
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  from dr3d.database.condition import Condition
  from dr3d.database.writer import Database
  from dr3d.image.cutout import CutOut
  from dr3d.image.mask import Box
  from dr3d.search.answer import Answer

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif")
"""As in `dr3d.image.photograph`, which imports NumPy and Pillow."""


def is_photograph(file: str) -> bool:
  """Whether a file is a photograph, by its extension."""
  return pathlib.Path(file).suffix.lower() in SUFFIXES


def read_region(flags: FlagValues, files: Sequence[str]) -> "Box | None":
  """Parses --region and checks it against the files.

  Raises:
    UsageError: the value is not a box, or there is not one photograph.
  """
  photos = [file for file in files if is_photograph(file)]
  reason = ""
  box: Box | None = None
  if flags.region is not None:
    parts = flags.region.split(",")
    if len(parts) == 4 and all(
      part.strip().isascii() and part.strip().isdigit() for part in parts
    ):
      x, y, w, h = map(int, parts)
      box = x, y, w, h
    if box is None or not (box[2] and box[3]):
      reason = (
        f"--region={flags.region} must be x,y,width,height of a box, whole"
        " pixels from the upper left"
      )
    elif len(photos) != 1:
      reason = f"--region needs one photograph, got {len(photos)}"
  if not reason and flags.together and len(photos) != len(files):
    reason = "--together takes photographs only"
  if not reason and photos and flags.refine is not None:
    reason = "--refine needs mesh files; a photograph has no surface"
  if not reason and photos and flags.size == "match":
    reason = "--size=match needs mesh files; a photograph has no size"
  if reason:
    raise UsageError(f"query: {reason}; see dr3d query --help.")
  return box


def group(files: Sequence[str], *, together: bool) -> list[list[str]]:
  """The photographs of each query."""
  if together and files:
    return [list(files)]
  return [[file] for file in files]


def ask_database(
  database: "Database",
  flags: FlagValues,
  files: Sequence[str],
  region: "Box | None",
  condition: "Condition",
  writer: Writer,
) -> Iterator[Outcome]:
  """Yields the answer of a database to each photograph, or to all together."""
  from dr3d.image.cutout import cut_out

  @functools.cache
  def prepare_once() -> None:
    prepare(database)

  def ask(names: list[str]) -> "Answer":
    # A picture that cannot be read must not cost the time of a preparation.
    cutouts = [cut_out(name, region=region) for name in names]
    prepare_once()
    answer = database.query(
      photo=cutouts,
      k=flags.k,
      condition=condition,
      min_score=flags.min_score,
    )
    writer.draw_photo_pairs(database, cutouts, ", ".join(names), answer)
    notes = *answer.notes, *map(describe_cutout, cutouts)
    return dataclasses.replace(answer, notes=notes)

  yield from _list_outcomes(files, ask, together=flags.together)


def ask_server(
  flags: FlagValues,
  files: Sequence[str],
  region: "Box | None",
  condition: "Condition",
) -> Iterator[Outcome]:
  """Yields the answer of a service likewise.

  Raises:
    ServiceError: the service cannot be reached.
  """
  import os

  from dr3d.client import Client

  token = os.environ.get("DR3D_TOKEN", "").strip() or None
  with Client(flags.server, token=token) as client:

    def ask(names: list[str]) -> "Answer":
      return client.query(
        photo=names,
        region=region,
        k=flags.k,
        condition=condition,
        min_score=flags.min_score,
      )

    yield from _list_outcomes(files, ask, together=flags.together)


def prepare(database: "Database") -> None:
  """Makes the models findable by photographs, with a bar if that takes long."""
  with console.progress(1, "preparing for photographs") as show:
    database.prepare_photos(progress=show)


def describe_cutout(cutout: "CutOut") -> str:
  """Where the thing was seen in a photograph, in one line."""
  x, y, w, h = cutout.box
  how = {
    "alpha": "by its transparency",
    "box": "within the region",
    "border": "by its background",
  }[cutout.mask.source]
  return f"seen in {cutout.name} at {x},{y},{w},{h} ({how})"


def _list_outcomes(
  files: Sequence[str],
  ask: "Callable[[list[str]], Answer]",
  *,
  together: bool,
) -> Iterator[Outcome]:
  from dr3d.error import ServiceError

  for names in group(files, together=together):
    query = ", ".join(names)
    try:
      answer = ask(names)
    except ServiceError as error:
      if error.status is None:
        raise  # the service is unreachable for the next one too
      yield Outcome(query, error=str(error))
    except Dr3dError as error:
      yield Outcome(query, error=str(error))
    else:
      yield Outcome(query, answer)
