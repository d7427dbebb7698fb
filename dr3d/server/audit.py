"""The audit log: who changed what, when and from where, as JSON lines.

It lies in the directory of the database and is rotated by size. It holds names
of models and of tokens, and nothing of queries.
"""

import datetime
import json
import logging
import logging.handlers
import os
import pathlib
import threading
from io import TextIOWrapper
from typing import Literal, TypedDict

FILE = "audit.jsonl"

Action = Literal[
  "add",
  "label",
  "edit",
  "show",
  "remove",
  "scan",
  "backup",
  "token add",
  "token revoke",
  "token rejected",
  "start",
  "stop",
]

_MAX_BYTES = 10 << 20  # of a file; about 50 000 lines
_BACKUPS = 9  # older files, audit.jsonl.1 and so on
_LOG = logging.getLogger("dr3d.server")


class Entry(TypedDict, total=False):
  """One line of the log.

  Attributes:
    time: UTC, ISO 8601.
    who: name of the token, or of the user of this machine.
    what: the action.
    model: its name, if the action has one.
    detail: for example a role or a new label.
    address: of the caller; empty for a command on this machine.
    status: of HTTP.
  """

  time: str
  who: str
  what: Action
  model: str
  detail: str
  address: str
  status: int


class AuditLog:
  """Appends entries; many threads may do so."""

  def __init__(self, directory: pathlib.Path):
    """Opens the log; its file appears with the first entry."""
    self._directory = directory
    self._lock = threading.Lock()
    self.failures = 0

  def write(self, what: Action, *, who: str, **details: object) -> None:
    """Appends an entry.

    A full disk must not keep a model from being removed. So an entry that
    cannot be written goes to the service's log, which says why.

    Args:
      what: the action.
      who: name of the token, or of the user of this machine.
      **details: further fields of `Entry`; None is left out.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    known = {key: text for key, text in details.items() if text is not None}
    line = json.dumps({"time": now, "who": who, "what": what, **known})
    try:
      with self._lock:
        self._append(line)
    except OSError as error:
      self.failures += 1
      _LOG.error("the audit log cannot be written (%s): %s", error, line)

  def read_last(self, count: int) -> list[Entry]:
    """Returns the last entries of the present file, the latest first."""
    try:
      text = (self._directory / FILE).read_text(encoding="utf-8")
    except OSError:
      return []
    entries: list[Entry] = []
    for line in reversed(text.splitlines()[-count:]):
      try:
        entries.append(json.loads(line))
      except ValueError:  # cut off by a crash
        continue
    return entries

  def _append(self, line: str) -> None:
    # Opened for each entry, because a command may have rotated the file.
    handler = _Handler(
      self._directory / FILE,
      maxBytes=_MAX_BYTES,
      backupCount=_BACKUPS,
      encoding="utf-8",
    )
    try:
      handler.emit(logging.LogRecord("", 0, "", 0, line, None, None))
    finally:
      handler.close()


class _Handler(logging.handlers.RotatingFileHandler):
  """Rotates, and raises what `logging` would only print."""

  def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
    """Raises the error that is being handled."""
    raise  # `emit` calls this in its except block

  def _open(self) -> TextIOWrapper:
    """Opens a file that only its owner may read."""
    descriptor = os.open(
      self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    return open(descriptor, "a", encoding=self.encoding)
