"""The working directory of a run: which run it holds, and what it ends with."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dr3d.error import TrainingError
from dr3d.runtime import host
from dr3d.runtime.atomic import atomic_file

Product = TypeVar("Product")


def run_once(
  make: Callable[[], Product],
  *,
  workdir: pathlib.Path,
  run: Mapping[str, Any],
  name: str,
  load: Callable[[pathlib.Path], Product],
  save: Callable[[Product, pathlib.Path], None],
) -> Product:
  """Makes the product of a run, or reads it if the run is complete.

  Args:
    make: trains; calls `loop.run_steps` and turns the last state into the
      product.
    workdir: directory of the run; made if missing.
    run: description of the run, see `lock_run`.
    name: file or directory name of the product in `workdir`.
    load: reads the product from its path.
    save: writes the product to its path, whole or not at all.

  Returns:
    The product.

  Raises:
    TrainingError: `workdir` holds another run.
  """
  host.run_first(lambda: lock_run(workdir, run), "lock the run")
  path = workdir / name
  if path.exists():
    return load(path)
  product = make()
  host.run_first(lambda: save(product, path), f"save {name}")
  return product


def lock_run(workdir: pathlib.Path, run: Mapping[str, Any]) -> None:
  """Reserves a working directory for one run.

  The first call writes `config.json`; later calls compare with it. This keeps
  a changed command from resuming the checkpoints of another run. It does not
  keep two processes with the same command apart.

  Args:
    workdir: made if missing.
    run: description of the run, in types that JSON can hold.

  Raises:
    TrainingError: the directory holds another run. The message names the
      fields that differ.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / "config.json"
  run = json.loads(json.dumps(run))  # tuples become lists, as in the file
  if not path.exists():
    with atomic_file(path) as partial:
      partial.write_text(json.dumps(run, indent=2), encoding="utf-8")
    return
  try:
    old = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise TrainingError(
      f"{path} cannot be read: {error}. Delete {workdir} or name another"
      " working directory."
    ) from error
  differing = _find_differences(old, run)
  if differing:
    raise TrainingError(
      f"{workdir} holds another run, which differs in {', '.join(differing)};"
      " name another working directory or delete this one."
    )


def _find_differences(old: Any, new: Any, name: str = "") -> list[str]:
  """Returns the names of the fields that differ, `outer.inner` if nested."""
  if not (isinstance(old, dict) and isinstance(new, dict)):
    return [] if old == new else [name]
  return [
    difference
    for key in sorted(old.keys() | new.keys())
    for difference in _find_differences(
      old.get(key), new.get(key), f"{name}.{key}".lstrip(".")
    )
  ]
