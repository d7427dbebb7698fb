"""ScaNN's index on disk: derived from vectors, checked against them.

The vectors are kept elsewhere; whoever loads an index has them. An index that
does not belong to exactly these vectors, or is not byte for byte what was
written, is as good as none.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import platform
import re
import shutil

import numpy as np

from dr3d import staging
from dr3d.search.index import Index, check_vectors
from dr3d.silence import quiet

_FORMAT = 1
_PREFIX = "index-"
_NAME = re.compile(rf"{_PREFIX}[0-9a-f]{{16}}(\.partial)?")
_MANIFEST = "manifest.json"
_PICKLED_IDS = "scann_docids.pkl"  # ScaNN would unpickle it: run its code


def fingerprint(vectors: np.ndarray) -> str:
  """Names what a saved index depends on: the vectors, ScaNN, the machine."""
  try:
    version = importlib.metadata.version("scann")
  except importlib.metadata.PackageNotFoundError:
    version = "none"
  digest = hashlib.sha256(
    f"{_FORMAT} {version} {platform.machine()} {vectors.shape}".encode()
  )
  digest.update(np.ascontiguousarray(vectors, "<f4").data)
  return digest.hexdigest()


def save_index(index: Index, parent: pathlib.Path) -> None:
  """Writes ScaNN's part of an index to `parent`, whole or not at all.

  It becomes a directory named by the fingerprint of the vectors; those of
  other vectors are removed. The vectors themselves are not written: whoever
  loads the index has them.

  Args:
    index: an index with backend "scann".
    parent: a directory that exists.

  Raises:
    ValueError: the index is exact, so there is nothing to write.
  """
  if index.searcher is None:
    raise ValueError("an exact index has nothing to save")
  name = fingerprint(index.vectors)
  remove_indices(parent)
  with staging.staged(_directory(parent, name)) as partial:
    with quiet():
      index.searcher.serialize(str(partial), relative_path=True)
    manifest = {
      "fingerprint": name,
      "files": {path.name: _digest(path) for path in partial.iterdir()},
    }
    (partial / _MANIFEST).write_text(json.dumps(manifest, indent=1))


def remove_indices(parent: pathlib.Path) -> None:
  """Removes all that `save_index` wrote here, for whatever vectors."""
  for path in parent.glob(f"{_PREFIX}*"):
    if _NAME.fullmatch(path.name):
      shutil.rmtree(path)


def load_index(parent: pathlib.Path, vectors: np.ndarray) -> Index | None:
  """Reads what `save_index` wrote for these vectors.

  Nothing is handed to ScaNN before its checksum has been compared.

  Args:
    parent: where the index was saved.
    vectors: [M, D] the vectors that the index must have been built from.

  Returns:
    The index, or None where there is none, or it is damaged or was made from
    other vectors, by another version of ScaNN or on another kind of machine.
  """
  vectors = check_vectors(vectors, "vectors")
  name = fingerprint(vectors)
  directory = _directory(parent, name)
  try:
    manifest = json.loads((directory / _MANIFEST).read_text())
    files = {
      path.name: _digest(path)
      for path in directory.iterdir()
      if path.name != _MANIFEST
    }
    if manifest != {"fingerprint": name, "files": files}:
      return None
    if _PICKLED_IDS in files:
      return None
    import scann

    with quiet():
      searcher = scann.scann_ops_pybind.load_searcher(str(directory))
  except (OSError, ValueError, RuntimeError, ImportError):
    return None
  return Index(vectors, searcher) if searcher.size() == len(vectors) else None


def _directory(parent: pathlib.Path, name: str) -> pathlib.Path:
  return parent / f"{_PREFIX}{name[:16]}"


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
