"""Copies of a database that can be trusted, made while it is written.

    OUT/backup.json   format, time and SHA-256 of every file
    OUT/database/     a database of one state

The catalogue is copied by SQLite's online backup, so it is of one moment. Its
copy says which vectors, pipeline and kept files belong to it. Vectors are never
overwritten within a generation, so those up to its count are right. If a
rebuild or a deletion removes a file that the copy needs, all is copied again.

Notes about accepted models are copied first: each such model is then in the
copied catalogue or among the copied notes, whenever it is indexed. ScaNN's
index is left out, because it is derived.
"""

import contextlib
import dataclasses
import datetime
import errno
import hashlib
import json
import pathlib
import shutil
import sqlite3
from typing import Any

from dr3d.database import catalogue, check, journal, row, setting, shared
from dr3d.database.connection import Connection
from dr3d.database.embedding import LoadPipeline
from dr3d.database.model import ADDED
from dr3d.database.sqlite_file import connect
from dr3d.database.sqlite_file import is_full as is_full_disk
from dr3d.error import DatabaseError, FullDiskError
from dr3d.runtime.atomic import atomic_directory, find_whole

MANIFEST = "backup.json"
DATABASE = "database"
_FORMAT = 1
_ATTEMPTS = 20  # deletions during a copy are rare, and a rebuild is one


@dataclasses.dataclass(frozen=True)
class Backup:
  """What a backup holds.

  Attributes:
    time: UTC, when the copy began, as in ISO 8601.
    searchable: number of models that can be searched.
    generation: of the vectors.
    byte_count: size of all files.
  """

  time: str
  searchable: int
  generation: int
  byte_count: int


class _ChangedError(Exception):
  """A file that the copy needs was removed meanwhile."""


def back_up(directory: pathlib.Path, out: pathlib.Path) -> Backup:
  """Copies a database that other processes may write.

  Args:
    directory: of the database.
    out: new folder; it appears when the copy is complete.

  Raises:
    DatabaseError: the folder exists, the database is damaged or changes too
      fast, or the disk does not store the copy.
  """
  if shared.find_uri(directory) is not None:
    raise DatabaseError(
      f"{shared.describe(directory)} is backed up by PostgreSQL's pg_dump; dr3d"
      " migrate copies it to a folder."
    )
  if out.exists():
    raise DatabaseError(f"{out} exists: name a new folder for the backup.")
  time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(out) as partial:
      home = partial / DATABASE
      generation = _copy_state(directory, home)
      files = _hash_files(home)
      result = Backup(
        time,
        check.count_searchable(home),
        generation,
        sum(path.stat().st_size for path in home.rglob("*") if path.is_file()),
      )
      manifest = {"format": _FORMAT, **dataclasses.asdict(result)}
      (partial / MANIFEST).write_text(
        json.dumps({**manifest, "files": files}, indent=2), encoding="utf-8"
      )
  except (OSError, FullDiskError) as error:
    raise _explain(error, out, "there is no backup") from error
  return result


def restore(
  backup: pathlib.Path,
  directory: pathlib.Path,
  *,
  load_pipeline: LoadPipeline | None = None,
) -> Backup:
  """Makes a database of a backup, after checking all of it.

  Args:
    backup: folder that `back_up` wrote.
    directory: of the database, which must not exist.
    load_pipeline: reads the pipeline; `Pipeline.load` if None.

  Raises:
    DatabaseError: the directory exists, the backup is damaged, or the disk does
      not store the database.
  """
  if directory.exists():
    raise DatabaseError(
      f"{directory} exists: name a new directory; move it when the restored "
      "database is right."
    )
  result, files = read(backup), _read_manifest(backup)["files"]
  _compare(files, backup / DATABASE)
  try:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(directory) as partial:
      shutil.copytree(backup / DATABASE, partial, dirs_exist_ok=True)
      _compare(files, partial)  # of what the disk stored
      for finding in check.scan(partial, load_pipeline=load_pipeline):
        raise DatabaseError(f"{backup} is damaged: {finding}.")
  except (OSError, FullDiskError) as error:
    raise _explain(error, directory, "nothing is restored") from error
  return result


def _explain(
  error: OSError | FullDiskError, out: pathlib.Path, result: str
) -> DatabaseError:
  """Says why a folder cannot be written, and what has come of it."""
  reason = getattr(error, "strerror", None) or str(error)
  if isinstance(error, shutil.Error):  # of several files; the first one
    reason = str(error.args[0][0][2])
  is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
  if is_full or is_full_disk(out.parent):
    return FullDiskError(
      f"{out} is on a disk that is full: {result}; make space and give the"
      " same command again."
    )
  if isinstance(error, FullDiskError):  # of the database that is copied
    return error
  return DatabaseError(f"{out} cannot be written ({reason}): {result}.")


def read(backup: pathlib.Path) -> Backup:
  """Returns what a backup holds, without checking it.

  Raises:
    DatabaseError: the folder is not a backup, or damaged.
  """
  manifest = _read_manifest(backup)
  names = [field.name for field in dataclasses.fields(Backup)]
  return Backup(**{name: manifest[name] for name in names})


def _copy_state(directory: pathlib.Path, home: pathlib.Path) -> int:
  """Copies one state; returns the generation of its vectors.

  Raises:
    DatabaseError: the database changes too fast, or is damaged.
  """
  for _ in range(_ATTEMPTS):
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    try:
      _copy_notes(directory, home)
      _copy_catalogue(directory, home)
      return _copy_files(directory, home)
    except (FileNotFoundError, _ChangedError):
      continue
    except DatabaseError as error:
      if isinstance(error, FullDiskError):
        raise
      # The copy is damaged because its source is.
      reason = str(error).replace(str(home), str(directory))
      raise DatabaseError(reason) from error
  raise DatabaseError(
    f"{directory} changes too fast, or lacks files that its catalogue names: "
    "run dr3d check, or back up when fewer models are deleted."
  )


def _copy_notes(directory: pathlib.Path, home: pathlib.Path) -> None:
  """Copies notes about accepted models, with their files."""
  for name in (journal.PENDING, journal.FILES):
    (home / name).mkdir()
  for path in sorted((directory / journal.PENDING).glob("[!.]*")):
    # A note that is gone by now is in the catalogue, which is copied next.
    with contextlib.suppress(FileNotFoundError):
      shutil.copyfile(path, home / journal.PENDING / path.name)
  for file in journal.read_pending(home):
    source = directory / journal.FILES / file.path.name
    try:
      shutil.copyfile(source, file.path)
    except FileNotFoundError:  # not accepted after all
      journal.forget(home, file.name)


def _copy_catalogue(directory: pathlib.Path, home: pathlib.Path) -> None:
  """Copies the catalogue as it is at one moment."""
  with (
    catalogue.open_catalogue(directory) as source,
    connect(home / catalogue.FILE, mode="rwc") as target,
  ):
    assert isinstance(source, sqlite3.Connection), "the caller has checked it"
    assert isinstance(target, sqlite3.Connection)
    source.backup(target)


def _copy_files(directory: pathlib.Path, home: pathlib.Path) -> int:
  """Copies what the copied catalogue names; returns the generation."""
  with catalogue.open_catalogue(home) as connection:
    settings = setting.read_settings(connection)
    layout = row.read_layout(connection)
    models = {model.name: model for model in catalogue.read_models(connection)}
    _copy_vectors(directory, home, layout.name, layout.count * layout.stride)
  folder = setting.find_pipeline_folder(settings)
  pipeline = find_whole(directory / folder)
  if not pipeline.exists():
    raise _ChangedError
  shutil.copytree(pipeline, home / folder)
  for model in models.values():
    kept = journal.find_file(directory, model.hash)
    if kept is not None:
      shutil.copyfile(kept, home / journal.FILES / kept.name)
  with catalogue.open_catalogue(directory) as connection:
    for name, model in models.items():
      is_upload = model.source == ADDED
      if is_upload and _lost_file(connection, home, name, model.hash):
        raise _ChangedError
  return layout.generation


def _lost_file(
  connection: Connection, home: pathlib.Path, name: str, digest: str
) -> bool:
  """Whether a model was deleted before its file was copied.

  A model that is still in the catalogue after the copy had its file, if it has
  one, all the while.
  """
  if journal.find_file(home, digest) is not None:
    return False
  found = connection.execute(
    "SELECT 1 FROM model WHERE name = ? AND hash = ?", (name, digest)
  ).fetchone()
  return found is None


def _copy_vectors(
  directory: pathlib.Path, home: pathlib.Path, name: str, size: int
) -> None:
  """Copies the beginning of the vector file; the rest is of later rows."""
  if not size:
    return
  with (directory / name).open("rb") as source, (home / name).open("wb") as out:
    while size:
      block = source.read(min(size, 1 << 24))
      if not block:
        raise _ChangedError
      out.write(block)
      size -= len(block)


def _hash_files(home: pathlib.Path) -> dict[str, str]:
  """SHA-256 of each file by its path in a folder."""
  files = {}
  for path in sorted(home.rglob("*")):
    if path.is_file():
      with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
      files[path.relative_to(home).as_posix()] = digest
  return files


def _compare(expected: dict[str, str], home: pathlib.Path) -> None:
  """Raises unless a folder holds exactly the files that were written."""
  try:
    found = _hash_files(home)
  except OSError as error:
    raise DatabaseError(f"{home} cannot be read ({error.strerror}).") from error
  for name in sorted(expected.keys() | found.keys()):
    if expected.get(name) != found.get(name):
      what = "is missing" if name not in found else "is not what was written"
      raise DatabaseError(f"{home / name} {what}: use another backup.")


def _read_manifest(backup: pathlib.Path) -> dict[str, Any]:
  path = backup / MANIFEST
  try:
    manifest = json.loads(path.read_bytes())
    if manifest["format"] > _FORMAT:
      raise DatabaseError(f"{backup} was written by a newer dr3d: update dr3d.")
    names = {field.name for field in dataclasses.fields(Backup)}
    if not names | {"files"} <= set(manifest):
      raise ValueError("it lacks a field")
  except FileNotFoundError as error:
    raise DatabaseError(
      f"{backup} is not a backup: {MANIFEST} is missing."
    ) from error
  except (OSError, ValueError, LookupError, TypeError) as error:
    raise DatabaseError(f"{path} is damaged ({error}).") from error
  return manifest
