r"""Links a table's splits as folders for `dr3d index` and `dr3d evaluate`.

    python -m experiments.split --data=parts --out=work/parts
    dr3d index --db=work/parts.db --models=work/parts/train \
      --pipeline=work/part/pipeline
    dr3d evaluate --db=work/parts.db --queries=work/parts/test

Each split becomes a folder with a folder for each class, which holds links to
the files. With --halves the folders are `seen`, the train files of every second
class, and `unseen`, all files of the other classes. They measure retrieval of
classes that were not trained on.
"""

import pathlib

from absl import app, flags

from experiments.partition import halve_classes, link_splits, read_splits

DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder of the splits.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Columns class, file, split. Default: DATA/index.csv."
)
HALVES = flags.DEFINE_bool("halves", False, "Split by class instead.")


def main(_) -> None:
  splits = read_splits(DATA.value, INDEX.value)
  if HALVES.value:
    splits = halve_classes(splits)
  link_splits(splits, pathlib.Path(OUT.value))
  for split, files in splits.items():
    print(f"{OUT.value}/{split}: {len(files)} files")


if __name__ == "__main__":
  app.run(main)
