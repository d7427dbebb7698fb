"""The body of a request becomes a file of bounded size, as it arrives."""

import contextlib
import hashlib
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Literal

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from dr3d.data.folder import ModelFile
from dr3d.mesh.io.format import FORMATS, find_format, suffix_of
from dr3d.mesh.io.format import recognize as recognize_head
from dr3d.server.http_error import HttpError

Kind = Literal["mesh", "picture"]

FIELD = "file"
FORM_BYTES = 64 << 10  # of a body besides the file

_MAGIC_BYTES = 4096  # at the start of a file, to recognise its format
_MAX_PARTS = 8  # of a form; each costs a call of Python for a few bytes
_PART_HEADER_BYTES = 4096  # a name of 200 characters and its encoding
_NAME_LENGTH = 200  # characters
_PICTURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}
_ZIPPED = ("amf", "stpz", "zae")  # endings of zip archives that are no 3MF


@contextlib.asynccontextmanager
async def receive(
  request: Request,
  directory: pathlib.Path,
  *,
  byte_limit: int,
  kind: Kind = "mesh",
) -> AsyncIterator[ModelFile]:
  """Writes the field `file` of a multipart body to a temporary file.

  The file is in a folder of its own and is deleted when the block ends.

  Args:
    request: its body must not have been read yet.
    directory: for the folder.
    byte_limit: size of the file.
    kind: what the file must be.

  Yields:
    Path, name without folders, and digest. The content decides the ending of
    the path.

  Raises:
    HttpError: the body is too large, not a multipart form, or without a file;
      the file has an unknown format; or the disk is full.
  """
  content, options = parse_options_header(request.headers.get("content-type"))
  if content != b"multipart/form-data" or not options.get(b"boundary"):
    raise HttpError(
      415, f"send the file as the field {FIELD!r} of multipart/form-data."
    )
  with tempfile.TemporaryDirectory(dir=directory) as folder:
    path = pathlib.Path(folder) / "upload"
    with path.open("wb") as file:
      form = _Form(file, byte_limit)
      await _parse(request, options[b"boundary"], form)
    if not form.found:
      raise HttpError(400, f"the form has no field {FIELD!r} with a file.")
    if not form.size:
      raise HttpError(422, f"{form.name} is empty.")
    if kind == "picture":
      suffix = recognize_picture(path, form.name)
    else:
      suffix = recognize_mesh(path, form.name)
    path = path.rename(path.with_name(f"upload.{suffix}"))
    yield ModelFile(path, form.name, "", digest=form.digest.hexdigest())


def recognize_picture(path: pathlib.Path, name: str) -> str:
  """Recognises the format of a picture by its content.

  Args:
    path: of the file.
    name: of the file in messages.

  Raises:
    HttpError: it is not a JPEG, PNG or WebP.
  """
  with path.open("rb") as file:
    head = file.read(12)
  for start, suffix in _PICTURES.items():
    if head.startswith(start) and (suffix != "webp" or head[8:] == b"WEBP"):
      return suffix
  raise HttpError(
    415, f"{name} is not a picture that can be read: send JPEG, PNG or WebP."
  )


def recognize_mesh(path: pathlib.Path, name: str) -> str:
  """As `recognize`.

  Raises:
    HttpError: the format is unknown.
  """
  suffix = recognize(path, name)
  if suffix is None:
    known = ", ".join(f".{name}" for name in FORMATS)
    raise HttpError(
      415,
      f"{name} has none of the formats that can be read ({known}): "
      "export it as STL or 3MF.",
    )
  return suffix


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


class _Form:
  """Callbacks of the parser: writes and hashes the file, drops all else."""

  def __init__(self, file: IO[bytes], byte_limit: int):
    self.name = "upload"
    self.size = 0
    self.digest = hashlib.sha256()
    self.found = False
    self._file = file
    self.byte_limit = byte_limit
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
      raise HttpError(
        413, f"a form here has at most {_MAX_PARTS} parts: send one file."
      )

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
    if field and not self.found:
      self.found = self._writing = True
      name = options.get(b"filename", b"").decode("utf-8", "replace")
      self.name = clean_name(name)

  def take_data(self, data: bytes, start: int, end: int) -> None:
    if self._writing:
      self.size += end - start
      if self.size > self.byte_limit:
        raise too_large(self.byte_limit)
      self.digest.update(data[start:end])
      self._file.write(data[start:end])


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
