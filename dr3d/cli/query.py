"""`dr3d query`: find the models of a database that files look like."""

import itertools
import os
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dr3d.cli import (
  argument,
  console,
  engine_flag,
  query_code,
  query_field,
  query_photo,
  query_shape,
)
from dr3d.cli.parsing import read_pairs
from dr3d.cli.query_output import Outcome, Writer
from dr3d.cli.reader_flags import UNIT
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.error import Dr3dError, MeshError
from dr3d.registration.relation import VERIFIED_COUNT

if TYPE_CHECKING:
  from dr3d.database.condition import Condition
  from dr3d.database.writer import Database

REFINED_COUNT = 20  # matches of --refine without a value


def run(flags: FlagValues, files: list[str]) -> int:
  """Answers each file; a file that fails does not stop the others."""
  check_arguments(flags)
  condition = make_condition(flags)
  refine = read_refine(flags.refine)
  region = query_photo.read_region(flags, files)
  if flags.field:
    query_field.check(flags, files)
  writer = Writer(json=flags.json, csv=flags.csv, pairs=flags.pairs)
  photos = [file for file in files if query_photo.is_photograph(file)]
  codes = [file for file in files if query_code.is_code_file(file)]
  meshes = [file for file in files if file not in (*photos, *codes)]
  query_code.check(flags, codes)
  if flags.by == "shape":
    query_shape.check(flags, photos)
  sources: list[Iterator[Outcome]] = []
  if flags.server is not None:
    if meshes:
      sources.append(ask_server(flags, meshes, condition))
    if photos:
      sources.append(query_photo.ask_server(flags, photos, region, condition))
  else:
    engine_flag.check("query", flags)
    argument.check_database(flags.db)
    from dr3d.database.writer import Database

    database = Database.open(flags.db, engine=flags.engine)
    engine_flag.warn(flags, database)
    if flags.by == "shape":
      return query_shape.ask(database, flags, files)
    database.gallery  # noqa: B018  fails once here, not once for each file
    if meshes:
      sources.append(
        ask_database(database, flags, meshes, condition, refine, writer)
      )
    if codes:
      sources.append(query_code.ask_database(database, flags, codes, condition))
    if photos:
      sources.append(
        (query_field if flags.field else query_photo).ask_database(
          database, flags, photos, region, condition, writer
        )
      )
  total = 1 if flags.together else len(files)
  with console.progress(total, "querying") as progress:
    outcomes = itertools.chain.from_iterable(sources)
    for done, outcome in enumerate(outcomes, start=1):
      writer.add(outcome)
      # A file of codes asks as often as it has codes.
      progress(done, max(done, total))
  writer.finish()
  return int(writer.failed)


def check_arguments(flags: FlagValues) -> None:
  """Checks the flags before anything large is imported.

  Raises:
    UsageError: flags contradict each other, or a value is invalid.
  """
  reason = ""
  if flags.json and flags.csv:
    reason = "--json and --csv exclude each other"
  elif (flags.db is None) == (flags.server is None):
    reason = "give either --db=DB or --server=URL"
  elif flags.server is not None and flags.pairs:
    reason = "--pairs needs --db; the page of the server shows the pairs"
  elif flags.server is not None and flags.refine is not None:
    reason = "--refine needs --db; a server does not refine matches"
  elif flags.server is not None and flags.neighbours > 1:
    reason = "--neighbours needs --db; a server counts one"
  elif flags.server is not None:
    url = urllib.parse.urlsplit(flags.server)
    if url.scheme not in ("http", "https") or not url.netloc:
      reason = f"--server={flags.server} must begin with http:// or https://"
  if reason:
    raise UsageError(f"query: {reason}; see dr3d query --help.")
  if flags.pairs:
    argument.check_suffix(
      "query", "pairs", flags.pairs, argument.IMAGE_SUFFIXES
    )


def ask_database(
  database: "Database",
  flags: FlagValues,
  files: list[str],
  condition: "Condition",
  refine: int,
  writer: Writer,
) -> Iterator[Outcome]:
  """Yields the answer of a database to each file.

  Args:
    database: that is asked.
    flags: the flags.
    files: mesh files.
    condition: which models to search.
    refine: number of matches to refine.
    writer: gets the images of --pairs.
  """
  from dr3d.database.file_reader import FileReader
  from dr3d.mesh.unit import mark_given
  from dr3d.runtime.pool import WorkerError

  present = [pathlib.Path(file).exists() for file in files]
  # The child processes read the first files while the pipeline is loaded.
  results = FileReader(jobs=1).read(
    [pathlib.Path(f) for f, there in zip(files, present, strict=True) if there],
    face_budget=database.face_budget,
    appearance=database.appearance,
    unit=flags.unit or database.unit,
  )
  if any(present):
    database.pipeline  # noqa: B018  imports jax
  for file, there in zip(files, present, strict=True):
    result = next(results) if there else MeshError(f"{file} does not exist.")
    if isinstance(result, WorkerError):
      yield Outcome(file, error=f"{file} {result}.")
    elif isinstance(result, Dr3dError):
      yield Outcome(file, error=str(result))
    else:
      unit = mark_given(result.unit) if flags.unit else result.unit
      try:
        answer = database.query(
          database.embed(result.mesh, unit=unit),
          k=flags.k,
          condition=condition,
          min_score=flags.min_score,
          refine=refine,
          verify=flags.verify,
          size=flags.size,
          neighbours=flags.neighbours,
        )
      except Dr3dError as error:
        yield Outcome(file, error=str(error))
      else:
        writer.draw_pairs(database, result.mesh, file, answer)
        yield Outcome(file, answer)


def ask_server(
  flags: FlagValues, files: list[str], condition: "Condition"
) -> Iterator[Outcome]:
  """Yields the answer of a service to each file.

  Raises:
    ServiceError: the service cannot be reached.
  """
  from dr3d.client import Client
  from dr3d.error import ServiceError

  # A service that is not public needs a token for reading.
  token = os.environ.get("DR3D_TOKEN", "").strip() or None
  with Client(flags.server, token=token) as client:
    for file in files:
      try:
        answer = client.query(
          file,
          k=flags.k,
          condition=condition,
          min_score=flags.min_score,
          verify=flags.verify,
          unit=flags.unit,
          size=flags.size,
        )
      except ServiceError as error:
        if error.status is None:
          raise  # the service is unreachable for the next file too
        # The service knows the file's name only, not its folder.
        name, reason = pathlib.Path(file).name, str(error)
        if reason.startswith(name):
          yield Outcome(file, error=f"{file}{reason.removeprefix(name)}")
        else:
          yield Outcome(file, error=f"{file}: {reason}")
      except Dr3dError as error:
        yield Outcome(file, error=str(error))
      else:
        yield Outcome(file, answer)


def make_condition(flags: FlagValues) -> "Condition":
  """Makes the condition that the flags describe.

  Raises:
    UsageError: a value is invalid.
  """
  where = read_pairs("query", "where", flags.where)
  from dr3d.database.condition import TOLERANCE, Condition

  same_size = None
  if flags.size == "match":
    same_size = TOLERANCE if flags.tolerance is None else flags.tolerance
  elif flags.tolerance is not None:
    raise UsageError(
      "query: --tolerance needs --size=match; see dr3d query --help."
    )
  return Condition(labels=flags.label or (), where=where, same_size=same_size)


def read_refine(text: str | None) -> int:
  """Parses the value of --refine.

  Args:
    text: the value; empty if it is omitted, None without the flag.

  Returns:
    The number of matches to refine.

  Raises:
    UsageError: the value is invalid.
  """
  if text is None:
    return 0
  if text and not (text.isascii() and text.isdigit() and int(text)):
    raise UsageError(
      f"query: --refine={text} must be an integer, at least 1; see dr3d query"
      " --help."
    )
  return int(text or REFINED_COUNT)


SUBCOMMAND = Subcommand(
  name="query",
  summary="Find the models of a database that look like meshes or photographs.",
  details="""
    Each view of a file votes for the most similar model. The label with most
    votes is the prediction; where no model has a label, the model with most
    votes. With --neighbours, a view votes for the labels of several. Matches
    are ranked by score: the mean similarity of the views, raised for models
    that were verified. Behind the first five, models also gain that have
    neighbours in common with the file: models of one class look like the same
    others.

    The database calibrates its predictions by querying its own models. A
    prediction is accepted if 99 of 100 predictions of this probability are
    right, and if its score is higher than that of nine in ten queries whose
    label the database lacks. Otherwise reject_reason is ambiguous (models of
    other labels are nearly as similar) or unknown (the label may be missing in
    the database).

    The matches with the highest scores are verified: they are registered with
    the file at equal size, also mirrored. A close fit moves a match to the
    front and raises the probability of its label. distance is the mean distance
    of the surfaces in percent of the radius of the smallest enclosing sphere.
    note tells whether the shapes are the same, and the scale.

    Size counts as well. With --size=prefer, the default, models of the file's
    size come before models of the same shape and another size: fully at equal
    size, by 0.6 at a difference of 3%, hardly from 10% on. With --size=match,
    models of another size are not searched; if none remains, the nearest are
    listed. A unit is stated if the file names it, as STEP, 3MF and glTF files
    do, or if --unit names it here, in dr3d index or in dr3d add. Otherwise it
    is assumed, as for STL, and size counts less. The label does not depend on
    the size. If the best match has the shape of the file, but 25.4, 10, 100,
    304.8 or 1000 times its size, dr3d asks whether the unit is wrong.

    The size of a file and of a model is that of its box as drawn, along the
    axes x, y and z of the file. The smallest box in any pose is named if it
    differs.

    A file that ends in .jpg, .jpeg, .png, .webp, .heic or .heif is a photograph
    of one thing, which is cut out of its background: by its transparency, by
    GrabCut within --region, or else by GrabCut of what differs from the border.
    Photographs have vectors of their own, which the first photograph, or dr3d
    index --photos, makes and stores. With --together, several photographs of
    one thing are one query. Nothing is verified, and size does not count.
    Photographs need pip install 'dr3d[photo]'.

    A file that ends in .npy holds codes of dr3d shape encode. Each code asks by
    itself: its shape is drawn from the learned views, neither verified nor
    compared by size.

    --refine registers the first matches at more angles, compares rendered
    images of the best three with the file from six sides, and sorts them by
    both. With --size=match, sizes are compared as well. It takes about a
    second.

    With --json, stdout is one JSON document: a list with one object for each
    file.

      query       the file
      prediction  {label, confidence, probability, accepted, reject_reason,
                  model}
      matches     [{rank, model, label, score, votes, query_view, view, extent,
                  box, smallest_box, scale, distance, deviation, mirrored,
                  same, difference}]
      size        {mode, unit, unit_stated, extent, box, smallest_box}
      unit_question  {factor, unit, model}, or null
      misses      with --size=match, if nothing matches: models of other sizes
      error       the reason, instead of the two above, if the file failed

    label is the predicted class and confidence its share of the votes;
    probability is that of the label being right; accepted is true or false;
    reject_reason is "ambiguous", "unknown", "unlabelled" or "". model is the
    one with most votes if no vote went to a labelled model. query_view and view
    are the numbers of the two most similar views. Lengths are in mm: extent
    along the principal axes, box as drawn, and the sides of smallest_box.
    distance is in radii of the enclosing sphere, and deviation is the same in
    mm at the size of the file. The exit status is 1 if a file failed.
  """,
  example="""
    dr3d query --db=parts.db scan.stl
    dr3d query --db=parts.db --k=3 --json *.stl > answers.json
    dr3d query --db=parts.db scan.stl --label=bolt,screw --size=match
    dr3d query --db=parts.db scan.stl --refine --k=3
    dr3d query --server=http://127.0.0.1:8000 scan.stl
    dr3d query --db=parts.db photo.jpg --region=120,80,400,300
    dr3d query --db=parts.db front.jpg side.jpg --together --pairs=pairs.png
    dr3d query --db=parts.db codes.npy --k=5
    dr3d query --db=parts.db scan.stl --where=material=steel --pairs=pairs.png
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR"),
    engine_flag.FLAG,
    Flag(
      "server",
      "Address of a running dr3d serve, such as http://127.0.0.1:8000, instead"
      " of --db. Then neither jax nor the database is needed.",
      "URL",
    ),
    Flag(
      "k",
      "Number of matches for each file.",
      "N",
      10,
      "integer",
      minimum=1,
    ),
    Flag(
      "label", "Search only models with these labels.", "L,...", None, "names"
    ),
    Flag(
      "where",
      "Search only models with this metadata: columns of the table of dr3d"
      " index --labels, or values of dr3d add --set. Of several values of one"
      " key, a model needs one.",
      "KEY=VALUE,...",
      kind="names",
    ),
    Flag(
      "min-score",
      "Omit matches with a lower score.",
      "S",
      -1,
      "number",
      minimum=-1,
      maximum=1,
    ),
    Flag(
      "size",
      "How the true size counts. ignore: not at all; prefer: of models of one"
      " shape, those of the file's size come first; match: only models of the"
      " file's size are searched.",
      "NAME",
      "prefer",
      choices=("ignore", "prefer", "match"),
    ),
    Flag(
      "tolerance",
      "With --size=match, how much each side may differ, as a share of the"
      " file's longest side, by default 0.05.",
      "SHARE",
      kind="number",
      minimum=0.001,
      maximum=0.999,
    ),
    UNIT,
    Flag(
      "by",
      "What is compared. views: images of the models; shape: the codes of their"
      " voxels, a cheap second opinion without labels or probabilities. The"
      " first query by shape makes the codes.",
      "NAME",
      "views",
      choices=("views", "shape"),
    ),
    Flag(
      "region",
      "With one photograph: a box around the thing, in pixels from the upper"
      " left corner.",
      "X,Y,W,H",
    ),
    Flag(
      "together",
      "The photographs show one thing: ask with all of them at once.",
      kind="switch",
    ),
    Flag(
      "refine",
      "Sort the first K matches by how well the file fits them. Without a"
      f" value, K is {REFINED_COUNT}.",
      "K",
      kind="optional",
    ),
    Flag(
      "verify",
      "Number of matches to verify by registration.",
      "N",
      VERIFIED_COUNT,
      "integer",
      minimum=0,
    ),
    Flag(
      "neighbours",
      "Number of most similar models that each view votes for. The predictions"
      " are calibrated again for another number than 1, which takes up to two"
      " seconds.",
      "K",
      1,
      "integer",
      minimum=1,
      maximum=100,
    ),
    Flag("json", "Print JSON.", kind="switch"),
    Flag("csv", "Print CSV, one row for each match.", kind="switch"),
    Flag(
      "field",
      "Fit a field of dr3d field train to each photograph, and ask with what it"
      " shows at all learned views.",
      "WORKDIR",
    ),
    Flag(
      "pairs",
      "Image to write: each file beside the most similar views of its matches.",
      "FILE.png",
    ),
  ),
  files="FILE...",
  run=run,
)
