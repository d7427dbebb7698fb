"""The body of a request becomes a file of bounded size, as it arrives."""

import contextlib
import hashlib
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import IO

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from dr3d.data.folder import ModelFile
from dr3d.image.photograph import recognize_photograph
from dr3d.mesh.io.format import FORMATS, find_format, suffix_of
from dr3d.mesh.io.format import recognize as recognize_head
from dr3d.server.http_error import HttpError

FIELD = "file"
FORM_BYTES = 64 << 10  # of a body besides the file
PHOTO_LIMIT = 8  # of one query

_MAGIC_BYTES = 4096  # at the start of a file, to recognise its format
_MAX_PARTS = 16  # of a form; each costs a call of Python for a few bytes
_PART_HEADER_BYTES = 4096  # a name of 200 characters and its encoding
_NAME_LENGTH = 200  # characters
_ZIPPED = ("amf", "stpz", "zae")  # endings of zip archives that are no 3MF


@contextlib.asynccontextmanager
async def receive(
  request: Request,
  directory: pathlib.Path,
  *,
  byte_limit: int,
) -> AsyncIterator[ModelFile]:
  """Writes the field `file` of a multipart body to a temporary file.

  The file is in a folder of its own and is deleted when the block ends.

  Args:
    request: its body must not have been read yet.
    directory: for the folder.
    byte_limit: size of the file.

  Yields:
    Path, name without folders, and digest. The content decides the ending of
    the path.

  Raises:
    HttpError: the body is too large, not a multipart form, or without a file;
      the file has an unknown format; or the disk is full.
  """
  async with _receive(request, directory, byte_limit, limit=1) as parts:
    yield _to_mesh_file(parts[0])


@contextlib.asynccontextmanager
async def receive_query(
  request: Request, directory: pathlib.Path, *, byte_limit: int
) -> AsyncIterator[list[ModelFile]]:
  """As `receive`, but the fields `file` may also hold photographs of one thing.

  Args:
    request: likewise, as the following.
    directory: for the folder.
    byte_limit: size of all files together.

  Yields:
    A mesh file, or up to `PHOTO_LIMIT` photographs.

  Raises:
    HttpError: as by `receive`, or a mesh file is among several.
  """
  async with _receive(
    request, directory, byte_limit, limit=PHOTO_LIMIT
  ) as parts:
    files = [_to_photograph(part) for part in parts]
    photos = [file for file in files if file is not None]
    if len(files) == 1 and not photos:
      yield [_to_mesh_file(parts[0])]
      return
    if len(photos) < len(files):
      raise HttpError(
        422, "several files of one query must all be photographs."
      )
    yield photos


@contextlib.asynccontextmanager
async def _receive(
  request: Request, directory: pathlib.Path, byte_limit: int, *, limit: int
) -> AsyncIterator[list["_Part"]]:
  """Writes the fields `file`, at most `limit`, to temporary files."""
  kind, options = parse_options_header(request.headers.get("content-type"))
  if kind != b"multipart/form-data" or not options.get(b"boundary"):
    raise HttpError(
      415, f"send the file as the field {FIELD!r} of multipart/form-data."
    )
  with (
    tempfile.TemporaryDirectory(dir=directory) as folder,
    contextlib.ExitStack() as opened,
  ):
    form = _Form(pathlib.Path(folder), opened, byte_limit, limit)
    await _parse(request, options[b"boundary"], form)
    opened.close()
    if not form.parts:
      raise HttpError(400, f"the form has no field {FIELD!r} with a file.")
    for part in form.parts:
      if not part.size:
        raise HttpError(422, f"{part.name} is empty.")
    yield form.parts


def _to_mesh_file(part: "_Part") -> ModelFile:
  """Names a file by its format.

  Raises:
    HttpError: the format is unknown.
  """
  suffix = recognize(part.path, part.name)
  if suffix is None:
    known = ", ".join(f".{name}" for name in FORMATS)
    raise HttpError(
      415,
      f"{part.name} has none of the formats that can be read ({known}): "
      "export it as STL or 3MF.",
    )
  return part.rename(suffix)


def _to_photograph(part: "_Part") -> ModelFile | None:
  """Names a photograph by its format; None if it is something else."""
  with part.path.open("rb") as file:
    suffix = recognize_photograph(file.read(16))
  return None if suffix is None else part.rename(suffix)


def recognize(path: pathlib.Path, name: str) -> str | None:
  """Recognises the format of a file by its content.

  Args:
    path: of the file.
    name: its ending decides for formats without a signature, such as OBJ.

  Returns:
    One of `reader.FORMATS`, or None.
  """
  with path.open("rb") as file:
    head = file.read(_MAGIC_BYTES)
  size = path.stat().st_size
  if size >= 84 and 84 + 50 * int.from_bytes(head[80:84], "little") == size:
    return "stl"
  named = find_format(name)
  if head.startswith(b"PK\3\4"):  # several formats are a zip archive
    return suffix_of(name) if suffix_of(name) in _ZIPPED else "3mf"
  if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
    return "gltf"
  found = recognize_head(head) or named
  return found.suffixes[0] if found else None


def clean_name(name: str) -> str:
  """The last part of a path of any system, without control characters.

  Those that turn the direction of text are control characters too: they would
  show "exe.stl" for "lts.exe".
  """
  name = name.replace("\\", "/").rsplit("/", 1)[-1]
  name = "".join(c for c in name if c.isprintable()).strip()
  return name[-_NAME_LENGTH:] or "upload"


class _Part:
  """A file of a form, as far as it has arrived."""

  def __init__(self, path: pathlib.Path, name: str, file: IO[bytes]):
    self.path = path
    self.name = name
    self.size = 0
    self.digest = hashlib.sha256()
    self._file = file

  def write(self, data: bytes) -> None:
    self.size += len(data)
    self.digest.update(data)
    self._file.write(data)

  def rename(self, suffix: str) -> ModelFile:
    """Gives the file the ending of its format."""
    path = self.path.rename(self.path.with_name(f"{self.path.name}.{suffix}"))
    return ModelFile(path, self.name, "", digest=self.digest.hexdigest())


class _Form:
  """Callbacks of the parser: writes and hashes files, drops all else."""

  def __init__(
    self,
    folder: pathlib.Path,
    opened: contextlib.ExitStack,
    byte_limit: int,
    limit: int,
  ):
    self.parts: list[_Part] = []
    self.byte_limit = byte_limit
    self._folder = folder
    self._opened = opened
    self._limit = limit
    self._size = 0
    self._writing = False
    self._field = b""
    self._value = b""
    self._disposition = b""
    self._part_count = 0
    self._header_bytes = 0

  def begin(self) -> None:
    self._writing, self._disposition = False, b""
    self._header_bytes = 0
    self._part_count += 1
    if self._part_count > _MAX_PARTS:
      raise HttpError(413, f"a form here has at most {_MAX_PARTS} parts.")

  def take_field(self, data: bytes, start: int, end: int) -> None:
    self._count_header(end - start)
    self._field += data[start:end]

  def take_value(self, data: bytes, start: int, end: int) -> None:
    self._count_header(end - start)
    self._value += data[start:end]

  def _count_header(self, count: int) -> None:
    self._header_bytes += count
    if self._header_bytes > _PART_HEADER_BYTES:
      raise HttpError(413, "the headers of a part of the form are too long.")

  def end_header(self) -> None:
    if self._field.lower() == b"content-disposition":
      self._disposition = self._value
    self._field = self._value = b""

  def end_headers(self) -> None:
    _, options = parse_options_header(self._disposition)
    field = options.get(b"name", b"").decode("utf-8", "replace")
    if field and field != FIELD:
      raise HttpError(
        422,
        f"the form has the unknown field {field[:60]!r}: send the file as"
        f" {FIELD!r}, and all else in the URL.",
      )
    if field:
      if len(self.parts) >= self._limit:
        raise HttpError(
          422,
          "send one file a request."
          if self._limit == 1
          else f"a query has at most {self._limit} photographs.",
        )
      self._writing = True
      name = options.get(b"filename", b"").decode("utf-8", "replace")
      path = self._folder / f"upload{len(self.parts) or ''}"
      file = self._opened.enter_context(path.open("wb"))
      self.parts.append(_Part(path, clean_name(name), file))

  def take_data(self, data: bytes, start: int, end: int) -> None:
    if self._writing:
      self._size += end - start
      if self._size > self.byte_limit:
        raise too_large(self.byte_limit)
      self.parts[-1].write(data[start:end])


async def _parse(request: Request, boundary: bytes, form: _Form) -> None:
  """Parses the body of a request into a form."""
  try:
    await _feed(request, boundary, form)
  except ClientDisconnect:
    raise HttpError(400, "the upload was cut off.") from None
  except (FormParserError, ValueError) as error:
    raise HttpError(400, f"the form cannot be read ({error}).") from error


async def _feed(request: Request, boundary: bytes, form: _Form) -> None:
  ended = []
  parser = python_multipart.MultipartParser(
    boundary,
    {
      "on_part_begin": form.begin,
      "on_header_field": form.take_field,
      "on_header_value": form.take_value,
      "on_header_end": form.end_header,
      "on_headers_finished": form.end_headers,
      "on_part_data": form.take_data,
      "on_end": lambda: ended.append(True),
    },
  )
  total = 0
  async for chunk in request.stream():
    total += len(chunk)
    if total > form.byte_limit + FORM_BYTES:
      raise too_large(form.byte_limit)
    parser.write(chunk)
  if not ended:
    raise HttpError(400, "the form is cut off: send it again.")


def too_large(byte_limit: int) -> HttpError:
  """The response to a file beyond the limit."""
  return HttpError(
    413,
    f"the file has more than the {byte_limit >> 20} MiB that this service "
    "takes: simplify it, or save it as binary.",
  )
