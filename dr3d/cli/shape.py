"""`dr3d shape`: codes of shapes; new shapes from codes."""

import pathlib
from typing import TYPE_CHECKING

from dr3d.cli import argument
from dr3d.cli.lift import MODEL, RESOLUTION, check_resolution
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.error import Dr3dError

if TYPE_CHECKING:
  import numpy as np

  from dr3d.shape.model import ShapeModel
  from dr3d.shape.refine import RefineConfig

_ACTIONS = ("encode", "decode", "sample", "interpolate")
_SHEET = "sheet.png"
_STEPS = 3  # shapes between two: at a quarter, a half and three quarters


def run(flags: FlagValues, files: list[str]) -> int:
  """Runs one of the four actions."""
  action, *names = files
  _check(flags, action, names)
  from dr3d.shape.model import ShapeModel, interpolate
  from dr3d.shape.refine import RefineConfig

  model = ShapeModel.load(flags.model)
  refinement = None
  if flags.refine is not None:
    refinement = RefineConfig(flags.refine)
  elif action == "interpolate":
    refinement = RefineConfig()
  if action == "encode":
    return _encode(model, names, flags.out, refinement)
  texts: list[str] = []
  if action == "decode":
    from dr3d.shape.code_file import read_codes

    codes = read_codes(pathlib.Path(names[0]), model)
  elif action == "sample":
    from dr3d.shape.generator import sample_codes

    codes = sample_codes(model, flags.count, seed=flags.seed)
  else:
    first, second = _find_codes(model, names, flags.db, refinement)
    codes = interpolate(first, second, count=_STEPS)
    texts = [f"{i} of {_STEPS + 1} parts {names[0]}" for i in (1, 2, 3)]
  return _write(model, codes, texts, flags)


def _check(flags: FlagValues, action: str, names: list[str]) -> None:
  """Checks the arguments before jax is imported."""
  counts = {"encode": None, "decode": 1, "sample": 0, "interpolate": 2}
  reason = ""
  if action not in _ACTIONS:
    reason = f"{action!r} must be one of {', '.join(_ACTIONS)}"
  elif counts[action] is None and not names:
    reason = "encode needs mesh files"
  elif counts[action] not in (None, len(names)):
    reason = f"{action} takes {counts[action]} files, not {len(names)}"
  elif action == "encode" and not flags.out.endswith(".npy"):
    reason = f"--out={flags.out} must end in .npy for encode"
  elif flags.db is not None and action != "interpolate":
    reason = "--db goes with interpolate only"
  elif flags.refine is not None and action not in ("encode", "interpolate"):
    reason = "--refine goes with encode and interpolate only"
  if reason:
    raise UsageError(f"shape: {reason}; see dr3d shape --help.")
  check_resolution("shape", flags.resolution)
  if flags.db is not None:
    argument.check_database(flags.db)
  elif action != "sample":
    argument.check_files(names)
  if action != "encode":
    argument.check_new_folder(flags.out)


def _encode(
  model: "ShapeModel",
  names: list[str],
  out: str,
  refinement: "RefineConfig | None",
) -> int:
  from dr3d.mesh import load_mesh
  from dr3d.shape.code_file import write_codes

  meshes = [load_mesh(name, face_budget=None) for name in names]
  codes = model.encode(meshes, refinement=refinement)
  write_codes(pathlib.Path(out), codes)
  print(f"{out}: codes of {len(names)} meshes, {codes.shape[1]} numbers each")
  return 0


def _find_codes(
  model: "ShapeModel",
  names: list[str],
  directory: str | None,
  refinement: "RefineConfig | None",
) -> "np.ndarray":
  """Returns the codes of two files, or of two models of a database."""
  from dr3d.mesh import load_mesh
  from dr3d.shape.key import encode_pair

  if directory is None:
    first, second = (load_mesh(name, face_budget=None) for name in names)
    return encode_pair(model, first, second, refinement=refinement)
  from dr3d.database.writer import Database
  from dr3d.mesh.packing import unpack_mesh

  database = Database.open(directory)
  for name in names:
    database.find_model(name)  # raises if there is none
  shapes = database.load_shapes(names)
  missing = [name for name in names if name not in shapes]
  if missing:
    raise Dr3dError(f"{directory}: {missing[0]} is not indexed.")
  first, second = (unpack_mesh(shapes[name].mesh) for name in names)
  return encode_pair(model, first, second, refinement=refinement)


def _write(
  model: "ShapeModel",
  codes: "np.ndarray",
  texts: list[str],
  flags: FlagValues,
) -> int:
  """Writes the meshes of codes and their contact sheet into a folder."""
  from dr3d.error import MeshError
  from dr3d.shape import output

  folder = pathlib.Path(flags.out)
  folder.mkdir(parents=True, exist_ok=True)
  meshes = []
  for number, code in enumerate(codes):
    path = folder / f"{number + 1:03d}.glb"
    try:
      mesh = model.decode(code, resolution=flags.resolution)
    except MeshError as error:
      print(f"{path.name} is left out: {error}")
      continue
    output.write_mesh(mesh, path)
    meshes.append(mesh)
    text = f", {texts[number]}" if texts else ""
    print(f"{path}: {mesh.face_count} faces{text}")
  if not meshes:
    raise Dr3dError("no code has a surface.")
  output.draw_sheet(meshes, folder / _SHEET)
  print(f"{folder / _SHEET}: {len(meshes)} meshes, one a row")
  return 0


SUBCOMMAND = Subcommand(
  name="shape",
  summary="Turn meshes into codes, and codes into new meshes.",
  details="""
      encode FILE...    writes the codes of mesh files, .npy
      decode FILE.npy   writes the meshes of codes
      sample            writes new meshes
      interpolate A B   writes three meshes between two: a quarter of A, a half
                        and three quarters; A and B are mesh files, or models
                        of a database with --db

    A code is 128 numbers between 0 and 1 that describe a shape in its principal
    pose. The meshes are written to the folder --out, with a contact sheet. The
    small network that ships with dr3d shows rough forms, no details. With
    --refine, gradient descent makes codes that draw the files better, 1.6 CPU
    seconds each. Refined codes are for shapes; as keys of dr3d query --by=shape
    those of the encoder are better. dr3d query takes a file of codes, too.
  """,
  example="""
    dr3d shape encode bolt.stl --out=codes.npy
    dr3d query --db=parts.db codes.npy
    dr3d shape decode codes.npy --out=decoded
    dr3d shape sample --count=8 --out=samples
    dr3d shape interpolate bolt.stl nut.stl --out=between
  """,
  flags=(
    Flag("out", "File .npy, or folder, to write.", "PATH", required=True),
    Flag("count", "Shapes to sample.", "N", 8, "integer", minimum=1),
    Flag("seed", "Of the samples.", "N", 0, "integer", minimum=0),
    Flag(
      "refine",
      "Steps by which encode and interpolate refine each code; 200 for"
      " interpolate and 0 for encode unless given.",
      "N",
      kind="integer",
      minimum=0,
    ),
    Flag("db", "Database whose models A and B are.", "DIR"),
    RESOLUTION,
    MODEL,
  ),
  files="ACTION [FILE...]",
  run=run,
)
