"""A folder as bytes, to send it to another machine."""

import io
import pathlib
import tarfile


def pack_folder(path: pathlib.Path) -> bytes:
  """Packs the files of a folder, with those of its folders."""
  data = io.BytesIO()
  with tarfile.open(fileobj=data, mode="w") as packed:
    packed.add(path, arcname=".")
  return data.getvalue()


def unpack_folder(data: bytes, path: pathlib.Path) -> None:
  """Writes files that were packed into a folder that exists.

  Only files are written, and only inside of the folder: links and devices that
  another program may have packed are left out. `tarfile` does the same by a
  filter, which Python 3.11.0 to 3.11.3 lack.

  Raises:
    ValueError: a file lies outside of the folder.
  """
  root = path.resolve()
  with tarfile.open(fileobj=io.BytesIO(data)) as packed:
    for member in packed:
      file = packed.extractfile(member) if member.isfile() else None
      if file is None:
        continue
      target = (root / member.name).resolve()
      if not target.is_relative_to(root):
        raise ValueError(f"{member.name} lies outside of the folder")
      target.parent.mkdir(parents=True, exist_ok=True)
      target.write_bytes(file.read())
