"""The files in a zip archive, for the formats that are one."""

import io
import posixpath
import zipfile

from dr3d.error import MeshError
from dr3d.mesh.io.raw import UNPACKED_LIMIT

_ENCRYPTED = 1  # APPNOTE 4.4.4: bit 0 of an entry's flags


class Archive:
  """A zip archive of bounded size."""

  def __init__(self, data: bytes, name: str):
    """Opens an archive.

    Args:
      data: content of the file.
      name: what messages call its format.

    Raises:
      MeshError: it is damaged or too large. The message is a predicate.
    """
    self._name = name
    try:
      self._zip = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:
      raise MeshError(
        f"is damaged: a {name} file is a zip archive, and this one cannot be "
        "opened; export it again"
      ) from error
    entries = self._zip.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > UNPACKED_LIMIT:
      raise MeshError(
        f"would unpack to {unpacked >> 20} MB, more than the "
        f"{UNPACKED_LIMIT >> 20} MB that are allowed"
      )
    # Open Packaging Conventions, ISO/IEC 29500-2, 6.2.2.3: names of parts are
    # equal if they differ in case only.
    self._entries = {
      posixpath.normpath("/" + entry.filename.replace("\\", "/")).lower(): entry
      for entry in entries
      if not entry.is_dir()
    }

  @property
  def names(self) -> list[str]:
    """Names of the files, each with a leading slash."""
    return [
      "/" + entry.filename.lstrip("/") for entry in self._entries.values()
    ]

  def __contains__(self, name: str) -> bool:
    return posixpath.normpath("/" + name.lstrip("/")).lower() in self._entries

  def read(self, name: str) -> bytes:
    """Returns the content of a file.

    Raises:
      MeshError: it is missing, encrypted or damaged.
    """
    key = posixpath.normpath("/" + name.lstrip("/")).lower()
    entry = self._entries.get(key)
    if entry is None:
      raise MeshError(f"lacks its part {name[:200]}; export it again")
    if entry.flag_bits & _ENCRYPTED:
      raise MeshError("is encrypted; export it without a password")
    try:
      return self._zip.read(entry)
    except MemoryError:
      raise
    except Exception as error:
      raise MeshError(
        f"is damaged: its part {name[:200]} cannot be unpacked; export it again"
      ) from error
