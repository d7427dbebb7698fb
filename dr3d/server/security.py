"""Which names and pages may call; what a browser may do with responses."""

import base64
import hashlib
import ipaddress
import pathlib
import re
import socket
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Any

from dr3d.server.http_error import PROBLEM, encode_problem

_SCRIPT = re.compile(
  rb"<script(?![^>]*\bsrc\b)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE
)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
  """Rejects foreign host names and origins; adds security headers (ASGI).

  A request must name the service by an IP address, "localhost", the name of
  this machine, or an allowed name. That stops DNS rebinding: a page of another
  site whose host name resolves to this machine. Only a page of the service
  itself may send requests that are not safe (RFC 9110, 9.2.1).
  """

  def __init__(self, app: Any, hosts: Collection[str], page: pathlib.Path):
    """Makes it.

    Args:
      app: the application (ASGI).
      hosts: further names that are allowed.
      page: an HTML file, whose inline scripts may run.
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

    async def add_headers(message: Any) -> None:
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
    if not self._is_allowed(host):
      await reject(
        add_headers,
        421,
        "this host name is not allowed: start dr3d serve with --allow-host.",
      )
    elif scope["method"] not in _SAFE_METHODS and not _is_same_origin(
      origin, host
    ):
      await reject(
        add_headers, 403, "pages of other sites may not call this service."
      )
    else:
      await self._app(scope, receive, add_headers)

  def _is_allowed(self, host: str) -> bool:
    try:
      name = urllib.parse.urlsplit(f"//{host}").hostname or ""
      if name in self._hosts:
        return True
      ipaddress.ip_address(name)
    except ValueError:
      return False
    return True


def _is_same_origin(origin: str, host: str) -> bool:
  """Whether a request comes from a page of the service, or from no page."""
  return not origin or urllib.parse.urlsplit(origin).netloc == host


async def reject(
  send: Any, status: int, message: str, headers: Mapping[str, str] | None = None
) -> None:
  """Sends a problem document as the response (ASGI)."""
  body = encode_problem(status, message)
  pairs = {
    "Content-Type": PROBLEM,
    "Content-Length": str(len(body)),
    **(headers or {}),
  }
  await send(
    {
      "type": "http.response.start",
      "status": status,
      "headers": [
        (name.lower().encode(), text.encode()) for name, text in pairs.items()
      ],
    }
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
