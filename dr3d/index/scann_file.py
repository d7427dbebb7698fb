"""ScaNN's index on disk: derived from vectors, checked against them.

The vectors are stored elsewhere. Beside ScaNN's files is a key of each vector,
so that an index stays useful when a few vectors have come or gone or when their
order has changed. A key is a hash of the vector's bits, or of what its owner
knows about them. An index is ignored if it shares too few vectors with those to
be searched, or if a byte differs from what was written.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import platform
import re
import shutil
from collections.abc import Collection, Mapping

import numpy as np

from dr3d.index.scann import ScannIndex, Searcher
from dr3d.index.vector_index import check_vectors
from dr3d.runtime import atomic
from dr3d.runtime.hashing import MIX
from dr3d.runtime.output import suppress_output

_FORMAT = 4
_DIGITS = 16  # of a fingerprint, in names
_PREFIX = "index-"
_NAME = re.compile(rf"{_PREFIX}[0-9a-f]{{16}}(\.partial)?")
_MANIFEST = "manifest.json"
_KEYS = "keys.npy"
_ARRAY = "array-{}.npy"
_MIN_SHARED = 0.5  # of the vectors; below, most answers would be missed
_PICKLED_IDS = "scann_docids.pkl"  # ScaNN would unpickle it: run its code


def fingerprint(vectors: np.ndarray) -> str:
  """Names what a saved index depends on: the vectors, ScaNN, the machine."""
  digest = hashlib.sha256(f"{_origin()} {vectors.shape}".encode())
  digest.update(np.ascontiguousarray(vectors, "<f4").data)
  return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class SavedIndex:
  """What `save_index` wrote, matched with what is to be searched now.

  Attributes:
    searcher: ScaNN's object; None if another engine holds the vectors.
    fingerprint: of the vectors that it was built from, the first digits.
    rows: int [M'], the present row of each vector that it was built from, -1
      for those that have gone; None if they are the present ones, in order.
    arrays: what was saved beside it, by name, mapped from their files.
  """

  searcher: Searcher | None
  fingerprint: str
  rows: np.ndarray | None
  arrays: dict[str, np.ndarray]


def save_index(
  index: ScannIndex,
  parent: pathlib.Path,
  *,
  keys: np.ndarray | None = None,
  arrays: Mapping[str, np.ndarray] | None = None,
) -> pathlib.Path:
  """Writes ScaNN's part of an index to `parent`, whole or not at all.

  It becomes a directory named by the fingerprint of the vectors; indices of
  other vectors are removed then. The vectors themselves are not written.

  Args:
    index: an index as it was built.
    parent: a directory that exists.
    keys: uint64 [M], see `load_index`.
    arrays: what else belongs to it, by name.

  Returns:
    The directory.

  Raises:
    ValueError: its vectors are no longer those that ScaNN was built from.
  """
  if index.rows is not None:
    raise ValueError("an index must be saved as it was built")
  name = fingerprint(index.vectors)
  with atomic.atomic_directory(_directory(parent, name)) as partial:
    with suppress_output():
      index.searcher.serialize(str(partial), relative_path=True)
    keys = _number(_hash_rows(index.vectors) if keys is None else keys)
    np.save(partial / _KEYS, keys, allow_pickle=False)
    for each, array in (arrays or {}).items():
      np.save(partial / _ARRAY.format(each), array, allow_pickle=False)
    manifest = {
      "origin": _origin(),
      "fingerprint": name,
      "files": {path.name: _digest(path) for path in partial.iterdir()},
    }
    (partial / _MANIFEST).write_text(json.dumps(manifest, indent=1))
  directory = _directory(parent, name)
  remove_indices(parent, kept=directory.name)
  return directory


def list_fingerprints(parent: pathlib.Path) -> list[str]:
  """First digits of the fingerprints of the indices that were saved here."""
  return [
    path.name.removeprefix(_PREFIX)
    for path in sorted(parent.glob(f"{_PREFIX}*"))
    if is_index_name(path.name)
  ]


def is_index_name(name: str) -> bool:
  """Whether a directory of this name is one that `save_index` writes."""
  return _NAME.fullmatch(name) is not None and not name.endswith(".partial")


def remove_indices(parent: pathlib.Path, *, kept: str = "") -> None:
  """Removes all that `save_index` wrote here, for any vectors.

  Args:
    parent: where the indices were saved.
    kept: name of a directory that stays.
  """
  for path in parent.glob(f"{_PREFIX}*"):
    if _NAME.fullmatch(path.name) and path.name != kept:
      shutil.rmtree(path)


def load_index(
  parent: pathlib.Path, vectors: np.ndarray, *, keys: np.ndarray | None = None
) -> ScannIndex | None:
  """Reads what `save_index` wrote for these vectors, or for most of them.

  ScaNN reads no file before its checksum has been compared.

  Args:
    parent: where the index was saved.
    vectors: [M, D] the vectors to search.
    keys: uint64 [M], equal for equal vectors and different for others, the
      same as when the index was saved. If None they are computed from the
      vectors, which takes seconds for a million.

  Returns:
    The index over these vectors. None if there is none, or if it is damaged,
    knows less than half of them, or was made by another version of ScaNN or on
    another kind of machine.
  """
  vectors = check_vectors(vectors, "vectors")
  saved = find_saved(parent, _hash_rows(vectors) if keys is None else keys)
  if saved is None or saved.searcher is None:
    return None
  return ScannIndex(vectors, saved.searcher, saved.rows)


def find_saved(
  parent: pathlib.Path,
  keys: np.ndarray,
  *,
  arrays: Collection[str] = (),
  has_searcher: bool = True,
) -> SavedIndex | None:
  """Reads what `save_index` wrote for vectors of these keys, or most of them.

  Args:
    parent: where the index was saved.
    keys: uint64 [M], see `load_index`.
    arrays: names of what must have been saved beside it.
    has_searcher: whether ScaNN's files are read.

  Returns:
    None as `load_index`, or if an array was not saved.
  """
  names = _number(keys)
  for directory in sorted(parent.glob(f"{_PREFIX}*")):
    try:
      saved = _load(directory, names, arrays, has_searcher)
    except (OSError, ValueError, RuntimeError, ImportError, LookupError):
      continue
    if saved is not None:
      return saved
  return None


def _load(
  directory: pathlib.Path,
  names: np.ndarray,
  arrays: Collection[str],
  has_searcher: bool,
) -> SavedIndex | None:
  manifest = json.loads((directory / _MANIFEST).read_text())
  files = {
    path.name: _digest(path)
    for path in directory.iterdir()
    if path.name != _MANIFEST
  }
  name = manifest["fingerprint"]
  if manifest != {"origin": _origin(), "fingerprint": name, "files": files}:
    return None
  if directory != _directory(directory.parent, name) or _PICKLED_IDS in files:
    return None
  keys = np.load(directory / _KEYS, allow_pickle=False)
  rows = _match(keys, names)
  if (rows >= 0).sum() < _MIN_SHARED * max(len(rows), len(names)):
    return None
  searcher: Searcher | None = None
  if has_searcher:
    import scann

    with suppress_output():
      searcher = scann.scann_ops_pybind.load_searcher(str(directory))
    if searcher.size() != len(rows):
      return None
  same = np.array_equal(rows, np.arange(len(names)))
  return SavedIndex(
    searcher,
    name[:_DIGITS],
    None if same else rows,
    {
      each: np.load(directory / _ARRAY.format(each), mmap_mode="r")
      for each in arrays
    },
  )


def _hash_rows(vectors: np.ndarray) -> np.ndarray:
  """Returns uint64 [M]: hashes of the bits of each vector.

  Two rows of one key would only cost recall: similarities are computed from
  the vectors themselves.
  """
  bits = np.ascontiguousarray(vectors, "<f4").view("<u4").astype(np.uint64)
  rng = np.random.default_rng(0)
  odd = rng.integers(2**63, size=bits.shape[1], dtype=np.uint64) * 2 + 1
  return bits @ odd  # wraps, as a hash should


def _number(keys: np.ndarray) -> np.ndarray:
  """Makes equal keys different by numbering them in their order."""
  order = np.argsort(keys, kind="stable")
  ranked = keys[order]
  begins = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
  lengths = np.diff(np.append(begins, len(ranked)))
  number = np.arange(len(ranked)) - np.repeat(begins, lengths)
  result = keys.copy()
  result[order] += number.astype(np.uint64) * MIX
  return result


def _match(before: np.ndarray, now: np.ndarray) -> np.ndarray:
  """Returns int64: the row in `now` of each key of `before`, -1 for none."""
  order = np.argsort(now)
  slot = np.searchsorted(now[order], before).clip(max=len(now) - 1)
  rows = order[slot]
  return np.where(now[rows] == before, rows, -1)


def _origin() -> str:
  """What a saved index depends on besides its vectors."""
  try:
    version = importlib.metadata.version("scann")
  except importlib.metadata.PackageNotFoundError:
    version = "none"
  return f"{_FORMAT} {version} {platform.machine()}"


def _directory(parent: pathlib.Path, name: str) -> pathlib.Path:
  return parent / f"{_PREFIX}{name[:_DIGITS]}"


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
