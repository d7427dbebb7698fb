"""What reverse proxies say of a request: the client's address and the user.

Anybody can send these headers. So they are believed only on a connection from a
trusted proxy, and removed from all other requests.
"""

from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from dr3d.server.limiter import is_in, parse_networks
from dr3d.server.settings import ServerConfig, UserHeaders
from dr3d.server.token import Identity, Role

_MAX_NAME = 100  # characters of a user's name that are kept
_RANKED: tuple[Role, ...] = ("admin", "write")  # the higher role first


class TrustedProxies:
  """Takes address and user from trusted proxies only (ASGI)."""

  def __init__(self, app: Any, config: ServerConfig):
    """Makes it.

    Args:
      app: the application (ASGI).
      config: has the proxies, and the headers of users.
    """
    self._app = app
    self._proxies = parse_networks(config.proxies)
    self._with_address = ProxyHeadersMiddleware(
      app, trusted_hosts=list(config.proxies)
    )
    users = config.users
    names = (users.user, users.groups) if users else ()
    self._names = {name.lower().encode() for name in names if name}

  async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
    """Handles a request (ASGI)."""
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    client = scope.get("client")
    if client and is_in(client[0], self._proxies):
      await self._with_address(scope, receive, send)
      return
    headers = [
      pair for pair in scope["headers"] if pair[0].lower() not in self._names
    ]
    await self._app({**scope, "headers": headers}, receive, send)


def find_user(
  headers: dict[bytes, bytes], users: UserHeaders
) -> Identity | None:
  """Returns the user that a trusted proxy named; None if it named none.

  Args:
    headers: of a request that has passed `TrustedProxies`.
    users: the headers' names, and the roles of groups.
  """
  name = _read(headers, users.user)
  if not name:
    return None
  text = _read(headers, users.groups) if users.groups else ""
  groups = {group.strip() for group in text.split(",")}
  for role in _RANKED:
    if groups & users.roles.get(role, frozenset()):
      return Identity(name[:_MAX_NAME], role)
  return Identity(name[:_MAX_NAME], "read")


def _read(headers: dict[bytes, bytes], name: str) -> str:
  return headers.get(name.lower().encode(), b"").decode("latin-1").strip()
