"""Who may call the service, and what a browser may do with its answers."""

import base64
import hashlib
import hmac
import ipaddress
import json
import pathlib
import re
import socket
import urllib.parse
from collections.abc import Collection
from typing import Any

from starlette.exceptions import HTTPException

from dr3d.server.http_error import HttpError

_SCRIPT = re.compile(
  rb"<script(?![^>]*\bsrc\b)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE
)
_BODY = 64 << 10  # bytes, but for forms
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
  """Refuses foreign names and origins, and sends security headers.

  A request must call the service by an address, by "localhost", by this
  machine's name or by a name that was allowed: a page of another site that
  points its own name here (DNS rebinding) is refused. Nothing but a page of
  the service itself may send a request that changes or costs something.
  """

  def __init__(self, app: Any, hosts: Collection[str], page: pathlib.Path):
    """Makes it.

    Args:
      app: the application (ASGI).
      hosts: names that are allowed besides.
      page: a page of HTML, whose scripts within it may run.
    """
    self._app = app
    self._hosts = {
      "localhost",
      socket.gethostname().lower(),
      *(host.lower() for host in hosts),
    }
    self._headers = _make_headers(page)

  async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
    """Handles a request (ASGI)."""
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return

    async def guard(message: Any) -> None:
      if message["type"] == "http.response.start":
        names = {name.lower() for name, _ in message["headers"]}
        message["headers"] = [
          *message["headers"],
          *(pair for pair in self._headers if pair[0] not in names),
        ]
      await send(message)

    headers = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1").lower()
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    if not self._knows(host):
      await _refuse(
        guard, 421, "the service is not known by this name: --allow-host."
      )
    elif scope["method"] not in _SAFE and not _is_own(origin, host):
      await _refuse(guard, 403, "pages of other sites may not ask.")
    else:
      bounded = receive
      if not headers.get(b"content-type", b"").startswith(b"multipart/"):
        bounded = _bound(receive)
      await self._app(scope, bounded, guard)

  def _knows(self, host: str) -> bool:
    try:
      name = urllib.parse.urlsplit(f"//{host}").hostname or ""
      if name in self._hosts:
        return True
      ipaddress.ip_address(name)
    except ValueError:
      return False
    return True


def check_token(authorization: str | None, token: str | None) -> None:
  """Lets a request change the database, or not.

  Args:
    authorization: that header of the request.
    token: that allows it; None: nobody may.

  Raises:
    HttpError: it may not.
  """
  if token is None:
    raise HttpError(
      403,
      "this service changes nothing: it was started without a token "
      "(DR3D_TOKEN or --token-file).",
    )
  kind, _, given = (authorization or "").partition(" ")
  same = hmac.compare_digest(given.strip().encode(), token.encode())
  if kind.lower() != "bearer" or not same:
    raise HttpError(
      401, "changes need the token: send Authorization: Bearer TOKEN."
    )


def _bound(receive: Any) -> Any:
  """Receives a body that is kept in memory, and so must be small.

  What a form brings goes to the disk and is bounded there.
  """
  total = 0

  async def bounded() -> Any:
    nonlocal total
    message = await receive()
    total += len(message.get("body", b""))
    if total > _BODY:
      raise HTTPException(413, f"a body here has at most {_BODY} bytes")
    return message

  return bounded


def _is_own(origin: str, host: str) -> bool:
  """Whether a request comes from no page at all, or from one of ours."""
  return not origin or urllib.parse.urlsplit(origin).netloc == host


async def _refuse(send: Any, status: int, message: str) -> None:
  body = json.dumps({"error": message}).encode()
  headers = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(body)).encode()),
  ]
  await send(
    {"type": "http.response.start", "status": status, "headers": headers}
  )
  await send({"type": "http.response.body", "body": body})


def _make_headers(page: pathlib.Path) -> list[tuple[bytes, bytes]]:
  scripts = " ".join(
    f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
    for text in _SCRIPT.findall(page.read_bytes() if page.exists() else b"")
  )
  policy = {
    "default-src": "'none'",
    "script-src": f"'self' {scripts}".strip(),
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self' data: blob:",
    "font-src": "'self'",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
  }
  text = "; ".join(f"{name} {value}" for name, value in policy.items())
  return [
    (b"content-security-policy", text.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-cache"),
  ]
