"""The files of a saved pipeline: its configuration and its arrays."""

import hashlib
import json
import pathlib
from typing import Any

from dr3d.error import PipelineError
from dr3d.runtime.atomic import atomic_directory, find_whole

FORMAT = 2  # of the files; raised when older ones can no longer be read
CONFIG_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.msgpack"


def write_files(
  path: pathlib.Path, config: dict[str, Any], data: bytes
) -> None:
  """Writes a pipeline's directory; it appears complete or not at all.

  Args:
    path: of the directory; its parents are made.
    config: the configuration as plain values.
    data: the arrays, serialised.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  saved = {
    "format": FORMAT,
    "sha256": hashlib.sha256(data).hexdigest(),
    "config": config,
  }
  with atomic_directory(path) as partial:
    (partial / CONFIG_FILE).write_text(json.dumps(saved, indent=2))
    (partial / WEIGHTS_FILE).write_bytes(data)


def read_files(directory: pathlib.Path) -> tuple[pathlib.Path, Any, bytes]:
  """Reads what `write_files` wrote and checks that it is undamaged.

  Args:
    directory: as given to `write_files`.

  Returns:
    The directory that was read, the configuration as plain values, unchecked,
    and the bytes of the arrays.

  Raises:
    PipelineError: a file is missing, damaged, or of another format.
  """
  path = find_whole(directory)
  try:
    saved = json.loads((path / CONFIG_FILE).read_text())
    data = (path / WEIGHTS_FILE).read_bytes()
  except FileNotFoundError as error:
    raise PipelineError(
      f"{path} holds no pipeline: {pathlib.Path(error.filename).name} is"
      " missing; name the directory that dr3d train wrote."
    ) from error
  except (OSError, ValueError) as error:
    raise PipelineError(f"{path} cannot be read: {error}.") from error
  if not isinstance(saved, dict) or saved.get("format") != FORMAT:
    raise PipelineError(
      f"{path} holds a pipeline of another format than {FORMAT}, which is the"
      " only one that this version of dr3d reads."
    )
  if hashlib.sha256(data).hexdigest() != saved.get("sha256"):
    raise PipelineError(
      f"{path / WEIGHTS_FILE} is damaged: its checksum does not match"
      f" {CONFIG_FILE}; copy the directory again."
    )
  return path, saved.get("config"), data
