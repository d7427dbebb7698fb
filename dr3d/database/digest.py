"""Digests that tell damaged data from what was written.

They are 64 bits of SHA-256, signed because SQLite stores signed integers. They
find damage, not forgery: whoever can write the files can write the digests.
"""

import hashlib
import json
from collections.abc import Sequence

Value = str | int | float | None


def hash_bytes(*parts: bytes | memoryview) -> int:
  """Digest of bytes, one part after the other."""
  digest = hashlib.sha256()
  for part in parts:
    digest.update(part)
  return int.from_bytes(digest.digest()[:8], "little", signed=True)


def hash_values(values: Sequence[Value]) -> int:
  """Digest of the values of a row.

  JSON writes a float with the digits that restore it, and escapes text, so
  the digest is the same on every system and version of Python.
  """
  return hash_bytes(json.dumps(values).encode())
