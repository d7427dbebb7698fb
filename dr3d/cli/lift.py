"""`dr3d lift`: a mesh from one picture, and a search with it."""

import pathlib
from typing import TYPE_CHECKING

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError

if TYPE_CHECKING:
  from dr3d.mesh import Mesh

MESH_SUFFIXES = (".glb", ".obj", ".off", ".ply", ".stl")
MODEL = Flag(
  "model",
  "Shape model that experiments.shape_train wrote, instead of the small one"
  " that ships with dr3d.",
  "DIR",
)
RESOLUTION = Flag(
  "resolution",
  "Points of the decoder along an axis: 32, 64, 128 or 256. More show finer"
  " surfaces of the same shape.",
  "N",
  64,
  "integer",
  minimum=32,
  maximum=256,
)


def run(flags: FlagValues, files: list[str]) -> int:
  """Lifts the picture."""
  argument.check_suffix("lift", "out", flags.out, MESH_SUFFIXES)
  check_resolution("lift", flags.resolution)
  if flags.db is not None:
    argument.check_database(flags.db)
  from dr3d.shape import output
  from dr3d.shape.lift import lift
  from dr3d.shape.model import ShapeModel

  model = ShapeModel.load(flags.model)
  lifted = lift(model, files[0], resolution=flags.resolution)
  path = pathlib.Path(flags.out)
  output.write_mesh(lifted.mesh, path)
  sheet = path.with_suffix(".png")
  output.draw_sheet([lifted.mesh], sheet, pictures=[lifted.picture])
  print(f"{path}: {lifted.mesh.face_count} faces, lifted from {files[0]}")
  print(f"{sheet}: what the network saw, and the mesh")
  print(
    f"confidence {lifted.confidence:.2f}: agreement of the shapes of shifted"
    " and flipped copies of the picture"
  )
  if flags.db is not None:
    _search(flags, files[0], lifted.mesh)
  return 0


def check_resolution(subcommand: str, resolution: int) -> None:
  """Checks the value of --resolution.

  Raises:
    UsageError: it is not 32 times a power of 2.
  """
  if resolution not in (32, 64, 128, 256):
    raise UsageError(
      f"{subcommand}: --resolution={resolution} must be 32, 64, 128 or 256; see"
      f" dr3d {subcommand} --help."
    )


def _search(flags: FlagValues, name: str, mesh: "Mesh") -> None:
  from dr3d.cli.query_output import Outcome, Writer
  from dr3d.database.writer import Database

  # A picture tells no size, so sizes do not count.
  answer = Database.open(flags.db).query(mesh, k=flags.k, size="ignore")
  writer = Writer(json=False, csv=False, pairs=None)
  writer.add(Outcome(name, answer))
  writer.finish()


SUBCOMMAND = Subcommand(
  name="lift",
  summary="Make a rough mesh from one picture of a thing.",
  details="""
    The picture shows one thing on a plain ground, or on a transparent one. A
    network guesses the shape in its principal pose, and marching cubes makes
    the mesh. Beside it, a .png shows what the network saw and the mesh from
    several sides. The mesh has no true size.

    The guess is rough, and only shapes like those of the training come out
    well; experiments/results/shape.md has measurements. The confidence tells
    how much the shape changes if the picture is shifted or flipped.

    With --db, the mesh is also looked up in a database. dr3d query with the
    picture itself finds more, as measured there; the mesh is for a look.
  """,
  example="""
    dr3d lift photo.png --out=mesh.glb
    dr3d lift photo.png --out=mesh.glb --db=parts.db --k=5
  """,
  flags=(
    Flag(
      "out",
      "Mesh to write: .glb, .obj, .off, .ply or .stl.",
      "FILE.glb",
      required=True,
    ),
    Flag("db", "Database to search with the mesh.", "DIR"),
    Flag("k", "Number of matches.", "N", 10, "integer", minimum=1),
    RESOLUTION,
    MODEL,
  ),
  files="PICTURE",
  max_files=1,
  run=run,
)
