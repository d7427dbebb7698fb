"""The upload journal: files that a database keeps, and models it accepted.

    DIR/files/HASH.EXT    a file, named by the SHA-256 of its content
    DIR/inbox/KEY.json    a note: a model that was accepted and is not yet in
                          the catalogue

File and note are on the disk before the catalogue is touched, and the note is
removed when the model is in it. So the next writer completes every model that
was accepted, whenever the one before was killed. Names that users give never
become part of a path. Whoever writes here holds the writer's lock.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Collection

from dr3d.data import folder
from dr3d.runtime.atomic import atomic_file, sync

FILES = "files"
PENDING = "inbox"


def accept(directory: pathlib.Path, file: folder.ModelFile) -> folder.ModelFile:
  """Keeps a copy of a file and a note about it; both survive a crash.

  Args:
    directory: the database.
    file: the model, with digest and unit; the ending of its path tells the
      format.

  Returns:
    The model, with the path of the copy.

  Raises:
    OSError: the disk does not take it.
  """
  name = f"{file.digest}{file.path.suffix.lower()}"
  kept = dataclasses.replace(file, path=directory / FILES / name)
  with atomic_file(kept.path) as partial:
    shutil.copyfile(file.path, partial)
    sync(partial)
  sync(directory / FILES)
  note = {
    "file": name,
    "name": file.name,
    "label": file.label,
    "metadata": dict(file.metadata or {}),
    "unit": file.unit,
  }
  with atomic_file(_place(directory, file.name)) as partial:
    partial.write_text(json.dumps(note), encoding="utf-8")
    sync(partial)
  sync(directory / PENDING)
  sync(directory)
  return kept


def read_pending(directory: pathlib.Path) -> list[folder.ModelFile]:
  """Models that were accepted and are not yet in the catalogue."""
  files = []
  for path in sorted((directory / PENDING).glob("*.json")):
    if path.name[0] == ".":  # the writer was killed before the note was whole
      continue
    note = json.loads(path.read_text(encoding="utf-8"))
    name = note.pop("file")
    files.append(
      folder.ModelFile(
        directory / FILES / name, digest=name.split(".")[0], **note
      )
    )
  return files


def forget(directory: pathlib.Path, name: str) -> None:
  """Removes the note about a model that is in the catalogue now."""
  _place(directory, name).unlink(missing_ok=True)


def collect_garbage(directory: pathlib.Path, hashes: Collection[str]) -> None:
  """Removes files that no model has any more.

  Args:
    directory: of the database.
    hashes: of the files of all models.
  """
  kept = {*hashes, *(file.digest for file in read_pending(directory))}
  for path in (directory / FILES).glob("*"):
    if path.name.split(".")[0] not in kept:
      path.unlink(missing_ok=True)


def find_file(directory: pathlib.Path, digest: str) -> pathlib.Path | None:
  """The file with this SHA-256, if it is kept."""
  return next((directory / FILES).glob(f"{digest}.*"), None) if digest else None


def _place(directory: pathlib.Path, name: str) -> pathlib.Path:
  key = hashlib.sha256(name.encode()).hexdigest()[:32]
  return directory / PENDING / f"{key}.json"
