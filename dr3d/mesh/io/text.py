"""The bytes of a text file become lines, whatever editor saved them."""

import codecs
import re
import zlib

from dr3d.error import MeshError
from dr3d.mesh.io.raw import UNPACKED_LIMIT

_MARKS = (  # UTF-32 first, whose mark begins as that of UTF-16
  (codecs.BOM_UTF32_LE, "utf-32"),
  (codecs.BOM_UTF32_BE, "utf-32"),
  (codecs.BOM_UTF16_LE, "utf-16"),
  (codecs.BOM_UTF16_BE, "utf-16"),
  (codecs.BOM_UTF8, "utf-8-sig"),
)
_GZIP = b"\x1f\x8b\x08"  # RFC 1952, section 2.3.1: magic number and deflate


def decode_text(data: bytes) -> str:
  """Returns text without a byte order mark, lines ended by LF."""
  return _decode(data).replace("\r\n", "\n").replace("\r", "\n")


def drop_padding(text: str) -> str:
  """Removes zeros by which some writers pad their lines.

  Raises:
    MeshError: a zero stands elsewhere, where something else has been. The
      message is a predicate.
  """
  if "\0" not in text:
    return text
  text = re.sub(r"\0[\0 \t]*(?=[\r\n]|\Z)", "", text)
  place = text.find("\0")
  if place >= 0:
    raise MeshError(
      f"is damaged: line {text.count(chr(10), 0, place) + 1} has zero bytes "
      "among its words; export it again"
    )
  return text


def recode_text(data: bytes) -> bytes:
  """Returns the bytes as they are, or in UTF-8 if a mark says otherwise."""
  if any(data.startswith(mark) for mark, _ in _MARKS) or _is_wide(data):
    return decode_text(data).encode()
  return data


def unpack_gzip(data: bytes) -> bytes:
  """Returns what gzip packed, or the bytes as they are.

  Raises:
    MeshError: it is damaged, or too large. The message is a predicate.
  """
  for _ in range(2):  # a packed .stpz may be packed once more by a server
    if not data.startswith(_GZIP):
      break
    data = _inflate(data)
  return data


def _inflate(data: bytes) -> bytes:
  """Unpacks all members of a gzip file, RFC 1952, section 2.2."""
  parts, size = [], 0
  while data.startswith(_GZIP):
    stream = zlib.decompressobj(wbits=31)  # 31: with the head of gzip
    try:
      part = stream.decompress(data, UNPACKED_LIMIT - size + 1)
    except zlib.error as error:
      raise MeshError(
        "is packed by gzip and damaged; pack or export it again"
      ) from error
    size += len(part)
    if size > UNPACKED_LIMIT:
      raise MeshError(
        f"is packed by gzip and would unpack to more than the "
        f"{UNPACKED_LIMIT >> 20} MB that are allowed"
      )
    if not stream.eof:
      raise MeshError("is packed by gzip and truncated; export it again")
    parts.append(part)
    data = stream.unused_data
  return b"".join(parts)


def _decode(data: bytes) -> str:
  for mark, encoding in _MARKS:
    if data.startswith(mark):
      return data.decode(encoding, "replace")
  if _is_wide(data):
    return data.decode("utf-16-le" if data[1] == 0 else "utf-16-be", "replace")
  try:
    return data.decode()
  except UnicodeDecodeError:  # names and comments in some older code page
    return data.decode("latin-1")


def _is_wide(data: bytes) -> bool:
  """Tells whether every other byte is zero, as in UTF-16 without a mark."""
  head = data[:64]
  if len(head) < 8 or len(data) % 2:
    return False
  even, odd = head[::2], head[1::2]
  return (not any(odd) and all(even)) or (not any(even) and all(odd))
