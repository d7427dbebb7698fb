r"""Samples KiCad's packages by label, as folders for `dr3d index`.

    apt-get download kicad-packages3d
    dpkg-deb --fsys-tarfile kicad-packages3d_*.deb | tar x --wildcards '*.step'
    python -m experiments.sample_packages --out=work/packages \
      --libraries=usr/share/kicad/3dmodels
    dr3d index --db=work/packages.db --models=work/packages
    dr3d evaluate --db=work/packages.db

KiCad has about six thousand electronic parts in their manufacturers' sizes, in
libraries such as `Connector_PinHeader_2.54mm.3dshapes`. A part's label is the
first two words of its library's name; the rest is pitch, series or mounting.
The folders hold links. The same seed gives the same sample.
"""

import pathlib
import re

import numpy as np
from absl import app, flags

from dr3d.data.folder import ModelFile
from dr3d.error import LabelError
from experiments.partition import link_splits

LIBRARIES = flags.DEFINE_string(
  "libraries", None, "Folder of the *.3dshapes folders.", required=True
)
OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
COUNT = flags.DEFINE_integer("count", 20, "Most parts of a label.")
LEAST = flags.DEFINE_integer("least", 4, "Fewest parts of a label.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the sample.")


def main(_) -> None:
  labels: dict[str, list[pathlib.Path]] = {}
  for path in sorted(pathlib.Path(LIBRARIES.value).glob("*.3dshapes/*.step")):
    labels.setdefault(read_label(path.parent.name), []).append(path)
  if not labels:
    raise LabelError(
      f"{LIBRARIES.value} has no folder *.3dshapes with STEP files: pass the"
      " folder 3dmodels of KiCad's packages as --libraries."
    )
  rng = np.random.default_rng(SEED.value)
  sampled = [
    ModelFile(files[i], files[i].name, label)
    for label, files in sorted(labels.items())
    if len(files) >= LEAST.value
    for i in sorted(rng.permutation(len(files))[: COUNT.value])
  ]
  out = pathlib.Path(OUT.value)
  link_splits({out.name: sampled}, out.parent)
  kinds = len({file.label for file in sampled})
  print(f"{out}: {len(sampled)} parts with {kinds} labels")


def read_label(library: str) -> str:
  """Returns the first two words of a library's name."""
  words = re.split("[_.]", library.removesuffix(".3dshapes"))
  return "_".join(words[:2])


if __name__ == "__main__":
  app.run(main)
