r"""Reads damaged files; none may crash, hang or be misread silently.

    python -m experiments.fuzz_reader --count=1100 --family=3mf

Valid files of one format, or of every format, are mutated: bytes are cut,
changed, removed, repeated or zeroed, extreme numbers and stray words inserted;
or the structure of XML and JSON is changed (references, indices, extensions,
transforms) and the file stays well formed. One in ten has a wrong extension.
They are read as `dr3d index` reads them. The table counts for each extension
the files that were read, those rejected with a reason, and those stopped only
by the limits of the worker. A file that is read must give a finite mesh with a
size.

With --compare a second library reads each file as well, and the files in which
it finds another area are listed: a person must look at these, since either
reader may be wrong. Then every valid file is cut at many places: a cut file
that is read must hold all of the whole file, except OBJ, which does not show
where it was cut. The exit status is 1 if any of this fails.
"""

import collections
import pathlib
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from dr3d.database.file_reader import FileReader
from dr3d.database.processed_model import ProcessedModel
from dr3d.evaluation.report.table import format_table
from dr3d.runtime.pool import Limits, WorkerError, call_each
from experiments.corpus import FAMILIES, make_seeds, write_corpus
from experiments.second_reader import LIBRARIES

COUNT = flags.DEFINE_integer("count", 1000, "Mutated files.", lower_bound=0)
CUTS = flags.DEFINE_integer("cuts", 40, "Cuts of each file.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the mutations.")
JOBS = flags.DEFINE_integer("jobs", None, "Processes; default: one per core.")
FAMILY = flags.DEFINE_enum("family", None, sorted(FAMILIES), "Format to test.")
COMPARE = flags.DEFINE_bool("compare", False, "Read with a second library too.")
KEEP = flags.DEFINE_string("keep", None, "Folder to keep the files in.")

LIMITS = Limits(seconds=20, memory=1 << 30)  # below those of dr3d index
FACE_BUDGET = 1024


def main(argv: list[str]) -> None:
  del argv
  begin = time.perf_counter()
  reader = FileReader(jobs=JOBS.value, limits=LIMITS)
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(KEEP.value or temporary)
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(
      write_corpus(
        folder, count=COUNT.value, seed=SEED.value, family=FAMILY.value
      )
    )
    tally: dict[str, collections.Counter] = collections.defaultdict(
      collections.Counter
    )
    wrong = []
    results = reader.read(paths, face_budget=FACE_BUDGET, unit="mm")
    for path, result in zip(paths, results, strict=True):
      tally[path.suffix][classify(result)] += 1
      if isinstance(result, WorkerError):
        print(f"{path.name} {result}")
      if isinstance(result, ProcessedModel) and not is_sound(result):
        wrong.append(path.name)
    if COMPARE.value:
      tell_differences(paths)
    wrong += read_cut_files(reader, folder)
  unseen = [name for name in wrong if name.endswith(".obj")]
  wrong = [name for name in wrong if name not in unseen]
  kinds = sorted({kind for row in tally.values() for kind in row})
  print(
    format_table(
      ("format", *kinds),
      [
        (suffix, *(str(row[kind]) for kind in kinds))
        for suffix, row in sorted(tally.items())
      ],
      right=range(1, len(kinds) + 1),
    )
  )
  print(
    f"{len(paths)} files in {time.perf_counter() - begin:.0f} s, "
    f"{len(wrong)} misread: {', '.join(wrong) or 'none'}; of {CUTS.value} cut"
    f" OBJ files {len(unseen)} were read as if complete"
  )
  sys.exit(bool(wrong))


def classify(result: object) -> str:
  """Says in a word or two how reading a file ended."""
  if isinstance(result, ProcessedModel):
    return "read"
  if isinstance(result, WorkerError):
    return "stopped by limits"
  return "rejected"


def is_sound(processed: ProcessedModel) -> bool:
  """Whether a mesh can be rendered and has a size."""
  mesh = processed.mesh
  numbers = [mesh.vertices, mesh.normals, mesh.frame, mesh.extent]
  return (
    0 < len(mesh.faces) <= FACE_BUDGET
    and mesh.faces.min() >= 0
    and mesh.faces.max() < len(mesh.vertices)
    and all(bool(np.isfinite(number).all()) for number in numbers)
    and 0 < mesh.radius < np.inf
    and np.linalg.norm(mesh.vertices, axis=1).max() < 1.001
  )


def tell_differences(paths: list[pathlib.Path]) -> None:
  """Prints how often a second library reads another area in a file."""
  paths = [path for path in paths if path.suffix in LIBRARIES]
  results = call_each(
    "experiments.second_reader:compare",
    ({"path": path} for path in paths),
    limits=LIMITS,
    count=JOBS.value or 1,
  )
  tally: collections.Counter[str] = collections.Counter()
  for path, result in zip(paths, results, strict=True):
    if isinstance(result, Exception):
      tally["one of them ended by the worker"] += 1
      continue
    kind, own, other = result
    if kind == "both":
      alike = np.isclose(own, other, rtol=1e-3)
      kind = "both alike" if alike else "both, but differently"
      if not alike:
        print(f"{path.name}: {own:.6g} here, {other:.6g} in another library")
    tally[kind] += 1
  print(f"compared with a second library: {dict(tally)}")


def read_cut_files(reader: FileReader, folder: pathlib.Path) -> list[str]:
  """Returns the names of cut files that were read although incomplete."""
  rng = np.random.default_rng(SEED.value)
  paths: list[pathlib.Path] = []
  wholes: dict[str, pathlib.Path] = {}
  for name, data in make_seeds().items():
    if FAMILY.value and name not in FAMILIES[FAMILY.value]:
      continue
    wholes[name] = folder / f"whole_{name}"
    wholes[name].write_bytes(data)
    for at in np.sort(rng.integers(1, len(data), size=CUTS.value)):
      path = folder / f"cut{at:06d}_{name}"
      path.write_bytes(data[:at])
      paths.append(path)
  whole_results = dict(
    zip(
      wholes,
      reader.read(wholes.values(), face_budget=FACE_BUDGET, unit="mm"),
      strict=True,
    )
  )
  wrong = []
  cut = reader.read(paths, face_budget=FACE_BUDGET, unit="mm")
  for path, result in zip(paths, cut, strict=True):
    whole = whole_results[path.name.split("_", 1)[1]]
    assert isinstance(whole, ProcessedModel), whole
    if isinstance(result, ProcessedModel) and result.geometry != whole.geometry:
      wrong.append(path.name)
  return wrong


if __name__ == "__main__":
  app.run(main)
