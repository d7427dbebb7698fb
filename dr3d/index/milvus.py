"""Approximate search by Milvus, with exact similarities.

A collection holds the vectors of one build, numbered from 0, with the label,
the metadata and the size of each model, so that Milvus itself filters. It
proposes candidates; their similarities are computed from the vectors kept here,
and what has come since the build is compared exactly, as with ScaNN.

`milvus:milvus.db` is a file of milvus-lite, which one process opens at a
time; `milvus:http://host:19530` is a server or a cluster. `?index=DISKANN`
after it chooses Milvus's index: a cluster also has SCANN, DISKANN and IVF_PQ.
milvus-lite accepts any name, reports that the index is finished and then
compares all vectors, and it ignores parameters that it does not know. So names
that it does not implement are errors here. The environment variable
MILVUS_TOKEN holds a server's token.

Notation: M stored vectors, D numbers of a vector.
"""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dr3d.error import Dr3dError
from dr3d.index.milvus_filter import Fields, make_fields
from dr3d.index.scann import ScannIndex
from dr3d.index.scann_file import fingerprint

PREFIX = "milvus:"
MAX_FOUND = 16_384  # neighbours that a cluster returns at most

# Seconds after which a call is given up. Otherwise pymilvus tries 75 times, and
# a query would wait for minutes while Milvus is away.
_SEARCH = 10.0
_BUILD_CALL = 120.0
_NOT_LOADED = 101  # Milvus's code of a collection that is not in memory
_BATCH = 1000  # rows of an insertion: 1 MB, below the 64 MB of a message
_MAX_TEXT = 65_535  # bytes of a VARCHAR
_TOKEN = "MILVUS_TOKEN"
_DEFAULT = "HNSW"
_CLIENTS: dict[str, Any] = {}
_LITE = ("AUTOINDEX", "FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8")
_BUILD: dict[str, dict[str, int]] = {
  "HNSW": {"M": 16, "efConstruction": 200},
  "HNSW_SQ": {"M": 16, "efConstruction": 200},
}


@dataclasses.dataclass(frozen=True)
class MilvusAddress:
  """Where Milvus is, and how it shall index.

  Attributes:
    uri: of a server, or a file of milvus-lite.
    index: type of Milvus's index.
  """

  uri: str
  index: str = _DEFAULT

  @classmethod
  def parse(cls, text: str) -> "MilvusAddress":
    """Reads `milvus:URI` or `milvus:URI?index=TYPE`.

    Raises:
      ValueError: there is no URI, or milvus-lite has no such index.
    """
    uri, _, options = text.removeprefix(PREFIX).partition("?")
    key, _, index = options.partition("=")
    if not uri or (options and (key != "index" or not index)):
      raise ValueError(
        f"engine {text!r} must be milvus:URI or milvus:URI?index=TYPE, such as "
        "milvus:milvus.db or milvus:http://localhost:19530?index=DISKANN"
      )
    address = cls(uri, (index or _DEFAULT).upper())
    if not address.is_server and not uri.endswith(".db"):
      raise ValueError(
        f"engine {text!r} names neither a server nor a file whose name ends in "
        ".db, as milvus-lite wants it"
      )
    if not address.is_server and address.index not in _LITE:
      raise ValueError(
        f"milvus-lite has no index {address.index}, only {', '.join(_LITE)}; "
        "use a Milvus server for others"
      )
    return address

  @property
  def is_server(self) -> bool:
    """Whether it is not a file."""
    return "://" in self.uri

  def connect(self) -> Any:
    """Opens a client.

    Raises:
      Dr3dError: pymilvus is not installed, or Milvus does not answer.
    """
    try:
      from pymilvus import MilvusClient
    except ImportError as error:
      raise Dr3dError(
        "engine milvus needs further packages: pip install 'dr3d[milvus]'."
      ) from error
    # One for all threads: milvus-lite runs in this process, and a second
    # connection to it fails while the process is busy.
    if self.uri not in _CLIENTS:
      # It logs each failed call with its stack; the caller gets a sentence.
      logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
      with _explain(self, "does not answer"):
        _CLIENTS[self.uri] = MilvusClient(
          self.uri, token=os.environ.get(_TOKEN, ""), timeout=_SEARCH
        )
    return _CLIENTS[self.uri]


@dataclasses.dataclass(frozen=True, eq=False)
class MilvusSearcher:
  """Asks a collection, as `scann.Searcher` is asked.

  Attributes:
    address: of Milvus.
    client: that is connected.
    collection: its name.
    count: vectors that it holds.
    expression: Milvus's filter; empty for none.
  """

  address: MilvusAddress
  client: Any
  collection: str
  count: int
  expression: str = ""

  def search(
    self, query: np.ndarray, **options: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Ids and similarities of what is near.

    Raises:
      Dr3dError: Milvus fails.
    """
    from pymilvus.exceptions import MilvusException

    fetch = min(options["final_num_neighbors"], MAX_FOUND, self.count)
    with _explain(self.address, "cannot search"):
      try:
        hits = self._ask(query, fetch)
      except MilvusException as error:
        if error.code != _NOT_LOADED:
          raise
        # Milvus has been started again since the collection was opened.
        self.client.load_collection(self.collection, timeout=_BUILD_CALL)
        hits = self._ask(query, fetch)
    ids = np.array([hit["id"] for hit in hits], np.int64)
    return ids, np.array([hit["distance"] for hit in hits], np.float32)

  def _ask(self, query: np.ndarray, count: int) -> Any:
    (hits,) = self.client.search(
      self.collection,
      [query],
      limit=count,
      filter=self.expression,
      output_fields=["id"],
      search_params={"metric_type": "IP", "params": {"ef": 2 * count}},
      timeout=_SEARCH,
    )
    return hits

  def serialize(self, path: str, *, relative_path: bool) -> None:
    """Writes nothing: Milvus keeps the collection."""

  def size(self) -> int:
    """Vectors that the collection holds."""
    return self.count


@dataclasses.dataclass(frozen=True, eq=False)
class MilvusIndex(ScannIndex):
  """Stored unit vectors that Milvus searches; see `ScannIndex`."""

  engine = "milvus"
  max_fetch = MAX_FOUND

  def within(self, expression: str) -> "MilvusIndex":
    """The same index, filtered by Milvus; see `make_expression`.

    `allowed` of a search must not allow what the expression drops, and still
    holds: it also excludes models by name.
    """
    assert isinstance(self.searcher, MilvusSearcher)
    searcher = dataclasses.replace(self.searcher, expression=expression)
    return dataclasses.replace(self, searcher=searcher)

  def drop_others(self, digests: Sequence[str]) -> None:
    """Drops collections of these fingerprints, except its own."""
    assert isinstance(self.searcher, MilvusSearcher)
    own = self.searcher.collection
    others = [each for each in digests if name_collection(each) != own]
    drop_collections(f"{PREFIX}{self.searcher.address.uri}", others)

  @property
  def is_filtered(self) -> bool:
    """Whether Milvus drops what a filter does not allow."""
    return bool(getattr(self.searcher, "expression", ""))


def build_milvus(
  vectors: np.ndarray, engine: str, fields: Sequence[Fields] | None = None
) -> MilvusIndex:
  """Fills a collection.

  Args:
    vectors: float32 [M, D] unit vectors, D at least 2.
    engine: `milvus:URI`, see `MilvusAddress`.
    fields: of each vector, see `make_fields`; empty ones if None.

  Returns:
    The index.

  Raises:
    ValueError: see `MilvusAddress.parse`.
    Dr3dError: Milvus fails, or pymilvus is not installed.
  """
  address = MilvusAddress.parse(engine)
  client = address.connect()
  if fields is None:
    fields = [make_fields()] * len(vectors)
  name = name_collection(fingerprint(vectors))
  with _explain(address, "cannot store the vectors"):
    # Of a build that did not end, or the same.
    if client.has_collection(name, timeout=_SEARCH):
      client.drop_collection(name)
    _create(client, name, vectors.shape[1], address.index)
    for start in range(0, len(vectors), _BATCH):
      part = vectors[start : start + _BATCH]
      client.insert(
        name,
        [
          {"id": i, "vector": vector, **fields[i]}
          for i, vector in enumerate(part, start)
        ],
        timeout=_BUILD_CALL,
      )
    client.flush(name, timeout=_BUILD_CALL)
    client.load_collection(name, timeout=_BUILD_CALL)
  return MilvusIndex(
    vectors, MilvusSearcher(address, client, name, len(vectors))
  )


def open_milvus(engine: str, digest: str, count: int) -> MilvusSearcher | None:
  """Opens a collection that `build_milvus` filled; None if it is not there.

  Args:
    engine: `milvus:URI`.
    digest: fingerprint of its vectors.
    count: how many these are.

  Raises:
    Dr3dError: Milvus fails.
  """
  address = MilvusAddress.parse(engine)
  client = address.connect()
  name = name_collection(digest)
  with _explain(address, "cannot open its collection"):
    if not client.has_collection(name, timeout=_SEARCH):
      return None
    if int(client.get_collection_stats(name)["row_count"]) != count:
      return None
    client.load_collection(name, timeout=_BUILD_CALL)
  return MilvusSearcher(address, client, name, count)


def drop_collections(engine: str, digests: Sequence[str]) -> None:
  """Drops collections of vectors that are no longer searched.

  Args:
    engine: `milvus:URI`.
    digests: fingerprints of their vectors.

  Raises:
    Dr3dError: Milvus fails.
  """
  address = MilvusAddress.parse(engine)
  client = address.connect()
  with _explain(address, "cannot drop a collection"):
    for digest in digests:
      if client.has_collection(name_collection(digest), timeout=_SEARCH):
        client.drop_collection(name_collection(digest))


def name_collection(digest: str) -> str:
  """Name of the collection of vectors of this fingerprint."""
  return f"dr3d_{digest[:16]}"


@contextlib.contextmanager
def _explain(address: MilvusAddress, what: str) -> Iterator[None]:
  """Makes a sentence of an error of Milvus."""
  from pymilvus.exceptions import MilvusException

  try:
    yield
  except (MilvusException, OSError) as error:
    raise Dr3dError(
      f"Milvus at {address.uri} {what} ({_describe(error)}): start it, or use "
      "another engine."
    ) from error


def _create(client: Any, name: str, size: int, index: str) -> None:
  from pymilvus import DataType

  schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
  schema.add_field("id", DataType.INT64, is_primary=True)
  schema.add_field("vector", DataType.FLOAT_VECTOR, dim=size)
  schema.add_field("label", DataType.VARCHAR, max_length=_MAX_TEXT)
  schema.add_field("metadata", DataType.JSON)
  for i in range(3):
    schema.add_field(f"side{i}", DataType.DOUBLE)
  params = client.prepare_index_params()
  params.add_index(
    "vector",
    index_type=index,
    metric_type="IP",
    params=_BUILD.get(index, {}),
  )
  client.create_collection(
    name, schema=schema, index_params=params, consistency_level="Strong"
  )


def _describe(error: Exception) -> str:
  text = str(getattr(error, "message", "") or error)
  return " ".join(text.split())[:200].rstrip(".") or type(error).__name__
