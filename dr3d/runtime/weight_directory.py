"""A directory of settings and weights, which appears complete or not at all.

DIR/NAME.json        format, digest of the weights, and the settings
DIR/weights.msgpack  the arrays, serialised
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from dr3d.error import Dr3dError
from dr3d.runtime.atomic import atomic_directory, find_whole

WEIGHTS_FILE = "weights.msgpack"


@dataclasses.dataclass(frozen=True)
class WeightDirectory:
  """How the directory of one kind of trained thing is written and read.

  Attributes:
    kind: of thing, in messages.
    config_file: name of the file with the settings.
    format: number of the format; raised when older ones can no longer be read.
    maker: the command that writes such directories, in messages.
    error: raised if one cannot be read.
  """

  kind: str
  config_file: str
  format: int
  maker: str
  error: type[Dr3dError] = Dr3dError

  def write(
    self, path: pathlib.Path, settings: dict[str, Any], data: bytes
  ) -> None:
    """Writes a directory.

    Args:
      path: of the directory; its parents are made.
      settings: plain values.
      data: the arrays, serialised.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = {
      "format": self.format,
      "sha256": hashlib.sha256(data).hexdigest(),
      **settings,
    }
    with atomic_directory(path) as partial:
      text = json.dumps(saved, indent=2)
      (partial / self.config_file).write_text(text, encoding="utf-8")
      (partial / WEIGHTS_FILE).write_bytes(data)

  def read(
    self, directory: pathlib.Path
  ) -> tuple[pathlib.Path, dict[str, Any], bytes]:
    """Reads what `write` wrote and checks that it is undamaged.

    Args:
      directory: as given to `write`.

    Returns:
      The directory that was read, the settings, unchecked, and the bytes of the
      arrays.

    Raises:
      Dr3dError: of the kind `error`: a file is missing, damaged, or of another
        format.
    """
    path = find_whole(directory)
    try:
      saved = json.loads((path / self.config_file).read_text(encoding="utf-8"))
      data = (path / WEIGHTS_FILE).read_bytes()
    except FileNotFoundError as error:
      raise self.error(
        f"{path} holds no {self.kind}: {pathlib.Path(error.filename).name} is"
        f" missing; name the directory that {self.maker} wrote."
      ) from error
    except (OSError, ValueError) as error:
      raise self.error(f"{path} cannot be read: {error}.") from error
    if not isinstance(saved, dict) or saved.get("format") != self.format:
      raise self.error(
        f"{path} holds a {self.kind} of another format than {self.format},"
        " which is the only one that this version of dr3d reads."
      )
    if hashlib.sha256(data).hexdigest() != saved.get("sha256"):
      raise self.error(
        f"{path / WEIGHTS_FILE} is damaged: its checksum does not match"
        f" {self.config_file}; copy the directory again."
      )
    return path, saved, data
