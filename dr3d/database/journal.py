"""The upload journal: files that a database keeps, and models it accepted.

    DIR/files/HASH.EXT    a file, named by the SHA-256 of its content
    DIR/inbox/KEY.json    a note: a model that was accepted and is not yet in
                          the catalogue

File and note are on the disk before the catalogue is touched, and the note is
removed when the model is in it. So the next writer completes every model that
was accepted, whenever the one before was killed. Names that users give never
become part of a path. Whoever writes here holds the writer's lock.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
from collections.abc import Collection, Mapping

from dr3d.data import folder
from dr3d.database import shared, shared_journal
from dr3d.database.digest import hash_values
from dr3d.mesh.unit import UNITS
from dr3d.runtime.atomic import atomic_file, sync

FILES = shared_journal.FILES
PENDING = "inbox"

# A note from elsewhere must not name a file outside of the database.
_KEPT_NAME = re.compile(r"[0-9a-f]{64}\.[0-9a-z]{1,9}")
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("file", "name", "label", "metadata", "unit")


def accept(directory: pathlib.Path, file: folder.ModelFile) -> folder.ModelFile:
  """Keeps a copy of a file and a note about it; both survive a crash.

  Args:
    directory: the database.
    file: the model, with digest and unit; the ending of its path tells the
      format.

  Returns:
    The model, with the path of the copy.

  Raises:
    OSError: the disk does not store them; then neither is left.
  """
  name = f"{file.digest}{file.path.suffix.lower()}"
  kept = dataclasses.replace(file, path=directory / FILES / name)
  note: dict[str, object] = {
    "file": name,
    "name": file.name,
    "label": file.label,
    "metadata": dict(file.metadata or {}),
    "unit": file.unit,
  }
  note["digest"] = _hash_note(note)
  if shared.find_uri(directory) is not None:
    data = file.path.read_bytes()
    with atomic_file(kept.path) as partial:
      partial.write_bytes(data)
    shared_journal.accept(directory, _make_key(file.name), note, data)
    return kept
  is_new = not kept.path.exists()
  try:
    with atomic_file(kept.path) as partial:
      shutil.copyfile(file.path, partial)
    with atomic_file(_note_path(directory, file.name)) as partial:
      partial.write_text(json.dumps(note), encoding="utf-8")
    sync(directory)  # of the folders, which may be new
  except OSError:
    # Without this the next start would index a model whose sender was told
    # that it is not accepted.
    withdraw(directory, file.name)
    if is_new:
      with contextlib.suppress(OSError):
        kept.path.unlink(missing_ok=True)
    raise
  return kept


def keep(
  directory: pathlib.Path, data: bytes, *, digest: str, suffix: str
) -> pathlib.Path:
  """Keeps bytes as a file of the database; returns its path.

  `collect_garbage` removes it unless a row of the catalogue has its digest.

  Args:
    directory: the database.
    data: the content.
    digest: SHA-256 of it.
    suffix: ending that tells the format, ".stl".

  Raises:
    OSError: the disk does not store it.
  """
  path = directory / FILES / f"{digest}{suffix}"
  if shared.find_uri(directory) is not None:
    shared_journal.put_file(directory, path.name, data)
  if not path.exists():
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as partial:
      partial.write_bytes(data)
  return path


def withdraw(directory: pathlib.Path, name: str) -> None:
  """Removes the note about a model that is not accepted after all."""
  if shared.find_uri(directory) is not None:
    shared_journal.forget(directory, _make_key(name))
    return
  path = _note_path(directory, name)
  if path.exists():
    path.unlink()
    with contextlib.suppress(OSError):  # the disk may be what fails
      sync(path.parent)


def read_pending(directory: pathlib.Path) -> list[folder.ModelFile]:
  """Models that were accepted and are not yet in the catalogue.

  Damaged notes are left out; `find_damaged` lists them.
  """
  if shared.find_uri(directory) is not None:
    notes = shared_journal.read_notes(directory)
    files = [_parse_note(directory, data) for data in notes.values()]
    for file in files:
      if file is not None:
        find_file(directory, file.digest)  # which fetches it
  else:
    files = [_read_note(directory, path) for path in _list_notes(directory)]
  return [file for file in files if file is not None]


def find_damaged(directory: pathlib.Path) -> list[pathlib.Path]:
  """Notes that cannot be read, so that their models cannot be completed."""
  if shared.find_uri(directory) is not None:
    notes = shared_journal.read_notes(directory)
    return [
      directory / PENDING / key
      for key, data in notes.items()
      if _parse_note(directory, data) is None
    ]
  return [
    path
    for path in _list_notes(directory)
    if _read_note(directory, path) is None
  ]


def forget(directory: pathlib.Path, name: str) -> None:
  """Removes the note about a model that is in the catalogue now."""
  if shared.find_uri(directory) is not None:
    shared_journal.forget(directory, _make_key(name))
    return
  _note_path(directory, name).unlink(missing_ok=True)


def collect_garbage(directory: pathlib.Path, hashes: Collection[str]) -> None:
  """Removes files that no model has any more.

  Nothing is removed while a note is damaged: its file may be wanted.

  Args:
    directory: of the database.
    hashes: of the files of all models.
  """
  if find_damaged(directory):
    return
  kept = {*hashes, *(file.digest for file in read_pending(directory))}
  for path in (directory / FILES).glob("*"):
    if path.name.split(".")[0] not in kept:
      path.unlink(missing_ok=True)


def find_file(directory: pathlib.Path, digest: str) -> pathlib.Path | None:
  """The file with this SHA-256, if the database keeps it."""
  if not _HASH.fullmatch(digest):
    return None
  found = next((directory / FILES).glob(f"{digest}.*"), None)
  if found is None and shared.find_uri(directory) is not None:
    return shared_journal.provide_file(directory, directory / FILES, digest)
  return found


def list_files(directory: pathlib.Path) -> list[pathlib.Path]:
  """All files that the database keeps, by name."""
  if shared.find_uri(directory) is not None:
    shared_journal.provide_all(directory, directory / FILES)
  paths = sorted((directory / FILES).glob("*"))
  return [path for path in paths if _KEPT_NAME.fullmatch(path.name)]


def _list_notes(directory: pathlib.Path) -> list[pathlib.Path]:
  paths = sorted((directory / PENDING).glob("*.json"))
  # A name with a dot is a note whose writer was killed before it was whole.
  return [path for path in paths if path.name[0] != "."]


def _read_note(
  directory: pathlib.Path, path: pathlib.Path
) -> folder.ModelFile | None:
  """Reads a note; None if it is damaged."""
  try:
    return _parse_note(directory, path.read_bytes())
  except OSError:
    return None


def _parse_note(
  directory: pathlib.Path, data: bytes
) -> folder.ModelFile | None:
  """The model of a note; None if it is damaged."""
  try:
    note = json.loads(data)
    digest = note.pop("digest", None)  # version 0.1 wrote none
    if not _is_whole(note) or digest not in (None, _hash_note(note)):
      return None
  except (ValueError, TypeError, AttributeError):
    return None
  name = note["file"]
  return folder.ModelFile(
    directory / FILES / name,
    note["name"],
    note["label"],
    note["metadata"],
    name.split(".")[0],
    note["unit"],
    label_source="hand",
  )


def _is_whole(note: object) -> bool:
  """Whether a note has the fields that it must have, of the right types."""
  return (
    isinstance(note, dict)
    and set(note) == set(_FIELDS)
    and isinstance(note["name"], str)
    and isinstance(note["label"], str)
    and isinstance(note["metadata"], dict)
    and note["unit"] in UNITS
    and isinstance(note["file"], str)
    and _KEPT_NAME.fullmatch(note["file"]) is not None
  )


def _hash_note(note: Mapping[str, object]) -> int:
  return hash_values([json.dumps(note, sort_keys=True)])


def _note_path(directory: pathlib.Path, name: str) -> pathlib.Path:
  return directory / PENDING / f"{_make_key(name)}.json"


def _make_key(name: str) -> str:
  # Half of the digits keep names apart and paths short.
  return hashlib.sha256(name.encode()).hexdigest()[:32]
