"""Finds models by words of their name, label and metadata.

The words are kept in memory in two full-text tables of SQLite (FTS5), which are
built from the rows that are searched. So they never differ from the catalogue,
whoever wrote it and when, also on a disk that cannot be written, and nothing of
a deleted model remains in a file.

A term, which is a word of the query, matches a model if

    a word of the model begins with it, or several in a row, as in "M8x20/A2"
    it is at least three letters anywhere within the text without punctuation,
    so that "12345" finds the part number "PN-123.45-A"

Upper case, accents and punctuation make no difference. All terms must match, in
any order.
"""

import dataclasses
import functools
import re
import sqlite3
import threading
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from dr3d.database.model import Model
from dr3d.error import DatabaseError

_WORD = re.compile(r"[^\W_]+")
# Between a letter and a digit: "M8x20" is also found by "20".
_BORDER = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_GRAM = 3  # letters that the tokenizer "trigram" takes at a time
_MAX_TERMS = 16  # of a query; the others are not looked at
# Worth of a word in the name, the label and the metadata (bm25 of FTS5).
# Metadata has the least: many models share a material or a supplier.
_WEIGHTS = (10.0, 5.0, 2.0)
_TABLES = """
CREATE VIRTUAL TABLE word USING fts5(
  name, label, metadata, tokenize = 'unicode61'
);
CREATE VIRTUAL TABLE run USING fts5(
  text, tokenize = 'trigram', detail = 'none'
);
"""


class TextIndex:
  """Words of models; any number of threads may search them."""

  def __init__(self) -> None:
    """Makes an index of no models.

    Raises:
      DatabaseError: this Python has an SQLite without full-text search.
    """
    self._lock = threading.Lock()
    self._connection = sqlite3.connect(":memory:", check_same_thread=False)
    self._rows: dict[str, int] = {}
    self._entries: dict[int, _Entry] = {}
    self._next = 1
    try:
      self._connection.executescript(_TABLES)
    except sqlite3.Error as error:
      raise DatabaseError(
        f"this Python's SQLite {sqlite3.sqlite_version} cannot search text "
        f"({error}): use a Python with SQLite 3.34 or later."
      ) from error

  def update(self, models: Collection[Model]) -> None:
    """Makes the index that of these models; only what differs costs time."""
    with self._lock, self._connection:
      wanted = {model.name: model for model in models}
      for name in [name for name in self._rows if name not in wanted]:
        self._delete(name)
      for name, model in wanted.items():
        row = self._rows.get(name)
        if row is not None:
          entry = self._entries[row]
          if (entry.label, entry.metadata) == (model.label, model.metadata):
            continue
          self._delete(name)
        self._insert(model)

  def find(self, text: str) -> list[str]:
    """Returns names of the models that all words of a text match.

    Args:
      text: words in any order.

    Returns:
      Models whose name or a value of whose metadata is the text come first,
      then those with whole words of the text, the rarest first, then those that
      contain it elsewhere. All models by name if the text has no word.
    """
    terms = _split(text)[:_MAX_TERMS]
    with self._lock:
      if not terms:
        return sorted(self._rows)
      found = set.intersection(*map(self._match, terms))
      ranked = self._rank(terms) if found else {}
      exact, worst = _join(text), len(ranked)

      def order(row: int) -> tuple[bool, int, str]:
        entry = self._entries[row]
        return exact not in entry.whole, ranked.get(row, worst), entry.name

      return [self._entries[row].name for row in sorted(found, key=order)]

  def _insert(self, model: Model) -> None:
    values = list(model.metadata.values())
    row, self._next = self._next, self._next + 1
    file = model.name.rsplit("/", 1)[-1]
    stem = file.rsplit(".", 1)[0]
    whole = frozenset(map(_join, (model.name, file, stem, *values)))
    entry = _Entry(model.name, model.label, model.metadata, whole)
    self._rows[model.name], self._entries[row] = row, entry
    self._connection.execute(
      "INSERT INTO word (rowid, name, label, metadata) VALUES (?, ?, ?, ?)",
      (
        row,
        _list_words(model.name),
        _list_known_words(model.label),
        " ".join(map(_list_known_words, values)),
      ),
    )
    # A space keeps the end of one text and the begin of the next apart.
    self._connection.execute(
      "INSERT INTO run (rowid, text) VALUES (?, ?)",
      (row, " ".join(map(_join, (model.name, model.label, *values)))),
    )

  def _delete(self, name: str) -> None:
    row = self._rows.pop(name)
    del self._entries[row]
    for table in ("word", "run"):
      self._connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))

  def _match(self, term: str) -> set[int]:
    """Rows that a term matches."""
    rows = {
      row
      for (row,) in self._connection.execute(
        "SELECT rowid FROM word WHERE word MATCH ?", (_to_phrase(term),)
      )
    }
    joined = _join(term)
    if len(joined) >= _GRAM:
      # Without positions only single trigrams can be asked for; whether they
      # stand in a row is checked in the text itself.
      grams = {joined[k:][:_GRAM] for k in range(len(joined) - _GRAM + 1)}
      expression = " AND ".join(f'"{gram}"' for gram in sorted(grams))
      rows |= {
        row
        for row, text in self._connection.execute(
          "SELECT rowid, text FROM run WHERE run MATCH ?", (expression,)
        )
        if joined in text
      }
    return rows

  def _rank(self, terms: Sequence[str]) -> dict[int, int]:
    """Place of the rows with whole words, the best first."""
    weights = ", ".join(map(str, _WEIGHTS))
    rows = self._connection.execute(
      "SELECT rowid FROM word WHERE word MATCH ? "
      f"ORDER BY bm25(word, {weights})",
      (" AND ".join(map(_to_phrase, terms)),),
    )
    return {row: place for place, (row,) in enumerate(rows)}


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
  """What is known of a row.

  Attributes:
    name: of the model.
    label: of the model.
    metadata: of the model.
    whole: texts that a query may name in full, without punctuation.
  """

  name: str
  label: str
  metadata: Mapping[str, str]
  whole: frozenset[str]


def _fold(text: str) -> str:
  """Text without accents and upper case."""
  if text.isascii():
    return text.lower()
  plain = unicodedata.normalize("NFKD", text)
  return "".join(
    letter for letter in plain if not unicodedata.combining(letter)
  ).casefold()


def _split(text: str) -> list[str]:
  """Terms of a query, folded; what has no letter or digit is left out."""
  return [term for term in _fold(text).split() if _WORD.search(term)]


def _join(text: str) -> str:
  """Letters and digits of a text, folded."""
  return "".join(_WORD.findall(_fold(text)))


def _list_words(text: str) -> str:
  """The words of a text, then the parts of those with letters and digits."""
  words = _WORD.findall(_fold(text))
  parts = [part for word in words for part in _BORDER.split(word)]
  return " ".join([*words, *(part for part in parts if part not in words)])


# Few values of labels and metadata stand in many models.
_list_known_words = functools.lru_cache(maxsize=1 << 14)(_list_words)


def _to_phrase(term: str) -> str:
  """A term as FTS5 takes it: words in a row, of which the last may go on."""
  return f'"{" ".join(_WORD.findall(term))}" *'
