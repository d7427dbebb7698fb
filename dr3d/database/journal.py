"""Files of models that a database keeps itself, and what it has accepted.

    DIR/files/HASH.EXT    a file, called by the SHA-256 of its content
    DIR/inbox/KEY.json    a note: a model that was accepted and is not yet in
                          the catalogue

File and note are on the disk before the catalogue is touched, and the note
goes when the model is in it, so a model that was accepted is taken in by the
next writer, whatever happened to the one before. Names that users give are
never part of a path. Whoever writes here holds the writer's lock.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Collection, Mapping

from dr3d.data import folder
from dr3d.runtime.atomic import atomic_file, sync

FILES = "files"
PENDING = "inbox"


@dataclasses.dataclass(frozen=True)
class PendingModel:
  """A model that was accepted.

  Attributes:
    file: name of its file in FILES.
    name: what the model is called.
    label: of the model.
    metadata: of the model.
    unit: that is assumed where the file does not say.
  """

  file: str
  name: str
  label: str
  metadata: Mapping[str, str]
  unit: str

  def to_model_file(self, directory: pathlib.Path) -> folder.ModelFile:
    """What is taken in."""
    path = directory / FILES / self.file
    return folder.ModelFile(path, self.name, self.label, self.metadata)


def accept(
  directory: pathlib.Path,
  path: pathlib.Path,
  *,
  name: str,
  label: str,
  metadata: Mapping[str, str],
  unit: str,
) -> PendingModel:
  """Keeps a copy of a file, and a note of what it is; both survive a crash.

  Args:
    directory: of the database.
    path: of the file; its ending tells the format.
    name: what the model is called.
    label: of the model.
    metadata: of the model.
    unit: see `PendingModel`.

  Raises:
    OSError: the disk does not take it.
  """
  file = f"{folder.hash_file(path)}{path.suffix.lower()}"
  note = PendingModel(file, name, label, dict(metadata), unit)
  with atomic_file(directory / FILES / file) as partial:
    shutil.copyfile(path, partial)
    sync(partial)
  sync(directory / FILES)
  with atomic_file(_place(directory, note)) as partial:
    partial.write_text(json.dumps(dataclasses.asdict(note)), encoding="utf-8")
    sync(partial)
  sync(directory / PENDING)
  sync(directory)
  return note


def read_pending(directory: pathlib.Path) -> list[PendingModel]:
  """What was accepted and is not yet in the catalogue."""
  notes = []
  for path in sorted((directory / PENDING).glob("*.json")):
    if path.name[0] != ".":  # one that was not written to its end
      notes.append(PendingModel(**json.loads(path.read_text(encoding="utf-8"))))
  return notes


def settle(directory: pathlib.Path, note: PendingModel) -> None:
  """Forgets a note whose model is in the catalogue."""
  _place(directory, note).unlink(missing_ok=True)


def collect_garbage(directory: pathlib.Path, hashes: Collection[str]) -> None:
  """Removes files that no model has any more.

  Args:
    directory: of the database.
    hashes: of the files of all models.
  """
  kept = {
    *hashes,
    *(note.file.split(".")[0] for note in read_pending(directory)),
  }
  for path in (directory / FILES).glob("*"):
    if path.name.split(".")[0] not in kept:
      path.unlink(missing_ok=True)


def find_file(directory: pathlib.Path, digest: str) -> pathlib.Path | None:
  """The file with this SHA-256, if it is kept."""
  return next((directory / FILES).glob(f"{digest}.*"), None) if digest else None


def _place(directory: pathlib.Path, note: PendingModel) -> pathlib.Path:
  key = hashlib.sha256(note.name.encode()).hexdigest()[:32]
  return directory / PENDING / f"{key}.json"
