"""Real scans and the clean models of the same objects, and their split."""

import csv
import pathlib


def read_objects(root: pathlib.Path) -> dict[str, dict[str, str]]:
  """Files of each object by kind."""
  objects: dict[str, dict[str, str]] = {}
  with (root / "index.csv").open(newline="") as file:
    for row in csv.DictReader(file):
      objects.setdefault(row["object"], {})[row["kind"]] = row["file"]
  return objects


def split_objects(names: list[str]) -> dict[str, list[str]]:
  """Every second object to choose settings on, the others to report."""
  return {"choose": names[1::2], "report": names[::2]}
