"""What a training run keeps on disk beside its checkpoints."""

import json
import pathlib
from typing import Any

from dr3d.error import TrainingError
from dr3d.runtime.atomic import atomic_file


def lock_run(workdir: pathlib.Path, run: dict[str, Any]) -> None:
  """Notes whose working directory it is, or checks that it is this run's.

  Args:
    workdir: made if missing.
    run: what the run is made from, in types that JSON keeps.

  Raises:
    TrainingError: the directory holds another run; the message says in what
      it differs.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / "config.json"
  run = json.loads(json.dumps(run))  # tuples become lists
  if not path.exists():
    with atomic_file(path) as partial:
      partial.write_text(json.dumps(run, indent=2), encoding="utf-8")
    return
  try:
    old = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise TrainingError(f"{path} cannot be read: {error}.") from error
  differing = _differences(old, run)
  if differing:
    raise TrainingError(
      f"{workdir} holds another run, which differs in {', '.join(differing)};"
      " name another working directory or delete this one."
    )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
  """Names of the fields that differ, with dots between nested ones."""
  if not (isinstance(old, dict) and isinstance(new, dict)):
    return [] if old == new else [name]
  return [
    difference
    for key in sorted(old.keys() | new.keys())
    for difference in _differences(
      old.get(key), new.get(key), f"{name}.{key}".lstrip(".")
    )
  ]


class Log:
  """A file of JSON lines, one a step, none doubled after a resume."""

  def __init__(self, path: pathlib.Path, *, step: int):
    """Opens the log of a run that goes on after `step`.

    Rows after it, and one that a kill cut short, are dropped.
    """
    rows = [row for row in _read_rows(path) if row["step"] <= step]
    with atomic_file(path) as partial:
      partial.write_text("".join(map(_to_line, rows)), encoding="utf-8")
    self.rows = rows
    self._file = path.open("a", encoding="utf-8")

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, *_: object) -> None:
    self._file.close()

  def write(self, row: dict[str, Any]) -> None:
    """Appends a row; it is on its way to the disk when this returns."""
    self._file.write(_to_line(row))
    self._file.flush()


def _to_line(row: dict[str, Any]) -> str:
  return json.dumps(row) + "\n"


def _read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
  rows = []
  if path.exists():
    for line in path.read_text(encoding="utf-8").splitlines():
      try:
        rows.append(json.loads(line))
      except ValueError:  # cut short
        continue
  return rows
