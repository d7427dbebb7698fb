"""Tokens: who may read, write or administer.

They are kept in the directory of the database, as salted hashes, so that a
copy of the directory gives nobody a token. A token is 256 random bits, which
cannot be guessed from its hash; so a fast hash does, and a flood of wrong
tokens costs the service little.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets
import threading
from collections.abc import Iterator
from typing import Literal, get_args

from dr3d.error import Dr3dError
from dr3d.runtime.atomic import sync

Role = Literal["read", "write", "admin"]
"""What a token allows. Each role may do what those before it may: search;
add, change and remove models; read the audit log, revoke tokens, start scans
and backups."""

ROLES: tuple[Role, ...] = get_args(Role)
FILE = "tokens.json"
OWN = "service"
"""Name of the token of DR3D_TOKEN or --token-file."""

_PREFIX = "dr3d"  # so that a scanner of leaked secrets can recognise a token
_TOKEN = re.compile(rf"{_PREFIX}_([0-9a-f]{{8}})_([\w-]{{43}})")
_NAME = re.compile(r"[\w.@ -]{1,60}")
_MAX_LENGTH = 512  # characters of a token that is looked at


@dataclasses.dataclass(frozen=True)
class Identity:
  """Who calls.

  Attributes:
    name: of the token; empty without one.
    role: None without a token.
  """

  name: str = ""
  role: Role | None = None

  def may(self, role: Role) -> bool:
    """Whether the role, or one above it, was granted."""
    return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


@dataclasses.dataclass(frozen=True)
class StoredToken:
  """A token as it is kept.

  Attributes:
    id: part of the token, by which it is found.
    name: of the person or program that uses it; unique.
    role: what it allows.
    created: time of day in UTC, ISO 8601.
    salt: hexadecimal.
    digest: BLAKE2b of the secret with this salt, hexadecimal.
  """

  id: str
  name: str
  role: Role
  created: str
  salt: str
  digest: str


class TokenStore:
  """The tokens of a database; changes by other processes are seen at once."""

  def __init__(self, directory: pathlib.Path, *, own: str | None = None):
    """Opens the tokens.

    Args:
      directory: of the database.
      own: a token besides the kept ones, which allows everything.
    """
    self._path = directory / FILE
    self._own = own
    self._lock = threading.Lock()
    self._stamp: tuple[int, int, int] | None = None
    self._tokens: dict[str, StoredToken] = {}

  def find(self, token: str) -> Identity | None:
    """Returns whose token it is; None if it is none.

    Raises:
      Dr3dError: the file of the tokens is damaged.
    """
    if len(token) > _MAX_LENGTH:
      return None
    if self._own and hmac.compare_digest(token.encode(), self._own.encode()):
      return Identity(OWN, "admin")
    found = _TOKEN.fullmatch(token)
    if found is None:
      return None
    stored = self._read().get(found[1])
    if stored is None:
      return None
    digest = _hash(found[2], bytes.fromhex(stored.salt))
    if not hmac.compare_digest(digest, stored.digest):
      return None
    return Identity(stored.name, stored.role)

  def is_generated(self, token: str) -> bool:
    """Whether a text has the form of tokens that `add` makes."""
    return _TOKEN.fullmatch(token[:_MAX_LENGTH]) is not None

  def allows(self, role: Role) -> bool:
    """Whether there is any token for a role."""
    kept = [Identity(token.name, token.role) for token in self.list()]
    return bool(self._own) or any(identity.may(role) for identity in kept)

  def list(self) -> list[StoredToken]:
    """Returns all kept tokens by name."""
    return sorted(self._read().values(), key=lambda token: token.name)

  def add(self, name: str, role: Role) -> str:
    """Makes a token.

    Args:
      name: of the person or program that uses it.
      role: what it allows.

    Returns:
      The token, which cannot be shown again.

    Raises:
      Dr3dError: the name is taken or not allowed.
    """
    if not _NAME.fullmatch(name) or name == OWN:
      raise Dr3dError(
        f"{name!r} cannot be the name of a token: take up to 60 letters,"
        " digits, spaces and any of . @ _ -."
      )
    with self._change() as tokens:
      if any(token.name == name for token in tokens.values()):
        raise Dr3dError(f"there is already a token {name!r}: revoke it first.")
      number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
      salt = secrets.token_bytes(16)
      now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
      tokens[number] = StoredToken(
        number, name, role, now, salt.hex(), _hash(secret, salt)
      )
    return f"{_PREFIX}_{number}_{secret}"

  def revoke(self, name: str) -> None:
    """Removes a token; a running service rejects it from now on.

    Raises:
      Dr3dError: there is no such token.
    """
    with self._change() as tokens:
      numbers = [key for key, token in tokens.items() if token.name == name]
      if not numbers:
        known = ", ".join(token.name for token in tokens.values()) or "none"
        raise Dr3dError(f"there is no token {name!r}; there are: {known}.")
      for number in numbers:
        del tokens[number]

  def _read(self) -> dict[str, StoredToken]:
    """Reads the file again if it has changed."""
    with self._lock:
      try:
        status = self._path.stat()
      except FileNotFoundError:
        self._stamp, self._tokens = None, {}
        return {}
      stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
      if stamp != self._stamp:
        self._tokens, self._stamp = _parse(self._path), stamp
      return self._tokens

  @contextlib.contextmanager
  def _change(self) -> "Iterator[dict[str, StoredToken]]":
    """Yields the tokens to change, and replaces the file."""
    tokens = dict(self._read())
    yield tokens
    partial = self._path.with_name(f".{FILE}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
      json.dump([dataclasses.asdict(token) for token in tokens.values()], file)
      file.flush()
      os.fsync(file.fileno())
    partial.replace(self._path)
    sync(self._path.parent)


def _hash(secret: str, salt: bytes) -> str:
  return hashlib.blake2b(
    secret.encode(), salt=salt, person=b"dr3d token", digest_size=32
  ).hexdigest()


def _parse(path: pathlib.Path) -> dict[str, StoredToken]:
  try:
    rows = json.loads(path.read_text(encoding="utf-8"))
    tokens = [StoredToken(**row) for row in rows]
    if any(token.role not in ROLES for token in tokens):
      raise ValueError("unknown role")
  except (OSError, ValueError, TypeError) as error:
    raise Dr3dError(
      f"{path} cannot be read ({error}): restore it, or remove it and make new"
      " tokens with dr3d token add."
    ) from error
  return {token.id: token for token in tokens}
