"""Reads the splits of a table: files to train on and files to test."""

import csv
import os
import pathlib
from collections.abc import Iterable

from dr3d.data.folder import ModelFile
from dr3d.error import LabelError

_COLUMNS = ("class", "file", "split")


def read_splits(
  directory: str | os.PathLike[str],
  table: str | os.PathLike[str] | None = None,
) -> dict[str, list[ModelFile]]:
  """Reads which files belong to which split.

  Args:
    directory: folder of the mesh files.
    table: CSV file with at least the columns class, file (relative to the
      folder) and split; `index.csv` in the folder if None.

  Returns:
    The models of each split, in the order of the table.

  Raises:
    LabelError: the table cannot be read, lacks a column, or has no row.
  """
  root = pathlib.Path(directory)
  path = root / "index.csv" if table is None else pathlib.Path(table)
  try:
    with path.open(encoding="utf-8-sig", newline="") as file:
      rows = csv.DictReader(file)
      missing = [c for c in _COLUMNS if c not in (rows.fieldnames or ())]
      if missing:
        raise LabelError(f"{path} lacks the column {' and '.join(missing)}.")
      splits: dict[str, list[ModelFile]] = {}
      for row in rows:
        label, name, split = (row[column] or "" for column in _COLUMNS)
        model = ModelFile(root / name, name, label)
        splits.setdefault(split, []).append(model)
  except OSError as error:
    raise LabelError(f"{path} cannot be read ({error.strerror}).") from error
  except (csv.Error, UnicodeDecodeError) as error:
    raise LabelError(f"{path} is not a CSV file in UTF-8 ({error}).") from error
  if not splits:
    raise LabelError(f"{path} lists no file.")
  return splits


def second_classes(labels: Iterable[str]) -> set[str]:
  """Returns every second class in the order of names."""
  return set(sorted(set(labels))[::2])


def halve_classes(
  splits: dict[str, list[ModelFile]],
) -> dict[str, list[ModelFile]]:
  """Splits by class: every second class to train on, the others to test.

  Args:
    splits: from `read_splits`.

  Returns:
    `seen`, the files of the train split of `second_classes`, and `unseen`, all
    files of the other classes.

  Raises:
    LabelError: the train split is missing.
  """
  if "train" not in splits:
    raise LabelError('no file has the split "train", which is trained on.')
  every = [file for files in splits.values() for file in files]
  chosen = second_classes(file.label for file in every)
  return {
    "seen": [file for file in splits["train"] if file.label in chosen],
    "unseen": [file for file in every if file.label not in chosen],
  }


def link_splits(
  splits: dict[str, list[ModelFile]], directory: pathlib.Path
) -> None:
  """Links the files of each split as `directory/split/class/name`.

  Each split gets an `index.csv`, so that `experiments.train` can read it.

  Args:
    splits: from `read_splits`.
    directory: made if missing; existing links are replaced.

  Raises:
    LabelError: two files of a class and a split have the same name.
  """
  made: dict[pathlib.Path, str] = {}
  for split, files in splits.items():
    (directory / split).mkdir(parents=True, exist_ok=True)
    rows = [_COLUMNS]
    for file in files:
      path = directory / split / file.label / pathlib.Path(file.name).name
      if path in made:
        raise LabelError(
          f"{made[path]} and {file.name} would both be {path}: rename one of"
          " them."
        )
      made[path] = file.name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.unlink(missing_ok=True)
      path.symlink_to(file.path.resolve())
      rows.append((file.label, f"{file.label}/{path.name}", "train"))
    with (directory / split / "index.csv").open("w", newline="") as table:
      csv.writer(table).writerows(rows)
