"""The bodies of assemblies as models of their own.

Each body is kept as a file of the database, and its row names the assembly in
the metadata `parent`. A body whose assembly is gone, or that is not asked for
any more, becomes missing as any model whose file is gone.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Sequence

from dr3d.data.folder import ModelFile, to_text
from dr3d.database import journal
from dr3d.database.file_reader import FileReader
from dr3d.database.report import Failure, Report
from dr3d.error import Dr3dError
from dr3d.mesh.io.body import split_file
from dr3d.runtime import pool

PARENT = "parent"
"""Metadata of a body: the name of its assembly."""

_FUNCTION = "dr3d.mesh.io.body:split_file"


def list_bodies(
  files: Sequence[ModelFile],
  directory: pathlib.Path,
  *,
  reader: FileReader,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[ModelFile], list[Failure]]:
  """Splits assemblies, and keeps each of their bodies as a file.

  Args:
    files: of assemblies and of single parts.
    directory: of the database, whose writer's lock is held.
    reader: its processes and limits read the files.
    progress: called after each file with the files done and all files.

  Returns:
    The bodies, with digest, label and unit of their assembly, and the metadata
    `parent` and `body`; and the files that could not be split, with the reason.
  """
  found: list[ModelFile] = []
  failures: list[Failure] = []
  for done, (file, bodies) in enumerate(
    zip(files, _split_each(files, reader), strict=True), start=1
  ):
    if isinstance(bodies, Dr3dError):
      reason = str(bodies).replace(str(file.path), file.name)
      failures.append(Failure(file.name, to_text(reason)))
    else:
      found += [
        _keep(data, f"{number} of {len(bodies)}", number, file, directory)
        for number, data in enumerate(bodies, start=1)
      ]
    progress(done, len(files))
  return found, failures


def add_failures(report: Report, failures: Sequence[Failure]) -> Report:
  """Adds files that could not be split to a report, as warnings.

  Those that could not be read at all are among its failures already.
  """
  known = {failure.model for failure in report.failures}
  others = [failure for failure in failures if failure.model not in known]
  return dataclasses.replace(report, warnings=(*report.warnings, *others))


def _split_each(
  files: Sequence[ModelFile], reader: FileReader
) -> Iterator[list[bytes] | Dr3dError]:
  if reader.count:
    yield from pool.call_each(
      _FUNCTION,
      ({"path": file.path} for file in files),
      limits=reader.limits,
      count=reader.count,
    )
    return
  for file in files:
    try:
      yield split_file(file.path)
    except Dr3dError as error:
      yield error


def _keep(
  data: bytes, which: str, number: int, file: ModelFile, directory: pathlib.Path
) -> ModelFile:
  """Writes a body to the files of the database."""
  digest = hashlib.sha256(data).hexdigest()
  return dataclasses.replace(
    file,
    path=journal.keep(directory, data, digest=digest, suffix=".stl"),
    name=f"{file.name}/body-{number}.stl",
    digest=digest,
    metadata={**(file.metadata or {}), PARENT: file.name, "body": which},
  )
