"""What is checked before a request costs anything, cheapest first.

    token   who calls, and whether the role allows the call
    rate    how often the address calls
    size    what the request says about its body
    body    bytes and time that it may really take, while it arrives

So nobody without a right to call makes the service keep or parse a body. The
number of queries at once is limited later, when the body has arrived: a slow
one would take the place of others.
"""

import asyncio
import base64
import binascii
import dataclasses
import logging
import re
import time
from typing import Any, Literal

from starlette.exceptions import HTTPException

from dr3d.error import Dr3dError
from dr3d.server.audit import AuditLog
from dr3d.server.http_error import HttpError, to_http_error
from dr3d.server.limiter import RateLimiter, group_address
from dr3d.server.metric import ADDRESS, ROUTE, USER, Metrics
from dr3d.server.proxy import find_user
from dr3d.server.security import reject
from dr3d.server.settings import ServerConfig
from dr3d.server.token import Identity, Role, TokenStore
from dr3d.server.upload import FORM_BYTES, too_large

IDENTITY = "dr3d_identity"
"""Key in `scope["state"]` of who calls."""

_LOG = logging.getLogger("dr3d.server")

Cost = Literal["none", "picture", "listing", "query"]
"""Of a call: nothing; a file or a row; all rows; the pipeline or a reader."""

_RATES: dict[Cost, float] = {"picture": 10.0, "listing": 2.0, "query": 1.0}
_MAX_BODY = 64 << 10  # bytes of a body that is not an upload
_BODY_SECONDS = 10.0  # that it may take
# Wrong tokens of one address: so many at once, then so many a second.
_WRONG_BURST, _WRONG_RATE = 10, 0.1


@dataclasses.dataclass(frozen=True)
class Call:
  """What a kind of request may do, and what it costs.

  Attributes:
    methods: of HTTP.
    path: a pattern for the whole path.
    route: its name in metrics.
    cost: which rate applies.
    role: that the caller needs; None if anyone may call.
    uploads: whether the body is an upload.
  """

  methods: tuple[str, ...]
  path: re.Pattern[str]
  route: str
  cost: Cost
  role: Role | None = "read"
  uploads: bool = False


_READ = ("GET", "HEAD", "OPTIONS")
_MODEL = "/api/models/{model:path}"


def _call(
  methods: tuple[str, ...], path: str, route: str, cost: Cost, **options: Any
) -> Call:
  return Call(methods, re.compile(path, re.DOTALL), route, cost, **options)


# The first that matches counts.
_CALLS = (
  _call(_READ, "/api/health", "/api/health", "none", role=None),
  _call(_READ, "/api/ready", "/api/ready", "none", role=None),
  _call(_READ, "/api/info", "/api/info", "listing"),
  _call(_READ, "/api/failures", "/api/failures", "listing"),
  _call(_READ, "/api/map", "/api/map", "listing"),
  _call(_READ, "/api/duplicates", "/api/duplicates", "listing"),
  _call(_READ, "/metrics", "/metrics", "listing"),
  _call(_READ, "/api/audit", "/api/audit", "listing", role="admin"),
  _call(_READ, "/api/scan", "/api/scan", "listing", role="admin"),
  _call(_READ, "/api/backups", "/api/backups", "listing", role="admin"),
  _call(_READ, "/api/tokens", "/api/tokens", "listing", role="admin"),
  _call(("POST",), "/api/scan", "/api/scan", "query", role="admin"),
  _call(("POST",), "/api/backups", "/api/backups", "query", role="admin"),
  _call(
    ("DELETE",), "/api/tokens/.*", "/api/tokens/{name}", "query", role="admin"
  ),
  _call(_READ, "/api/inspection", "/api/inspection", "query"),
  _call(_READ, "/api/overlay", "/api/overlay", "query"),
  _call(("POST",), "/api/overlay", "/api/overlay", "query", uploads=True),
  _call(_READ, "/api/models/.+/similar", f"{_MODEL}/similar", "query"),
  _call(_READ, "/api/models/.+/blend.glb", f"{_MODEL}/blend.glb", "query"),
  _call(_READ, "/api/models/.+", _MODEL, "picture"),
  _call(_READ, "/api/models", "/api/models", "listing"),
  _call(("POST",), "/api/query", "/api/query", "query", uploads=True),
  *(
    _call(("POST",), path, path, "query", uploads=True)
    for path in ("/api/render", "/api/embed", "/api/embed/images")
  ),
  _call(("POST",), "/api/locate", "/api/locate", "query", uploads=True),
  _call(
    ("POST",), "/api/models", "/api/models", "query", role="write", uploads=True
  ),
  _call(
    ("POST", "PUT", "PATCH", "DELETE"),
    "/api/models.*",
    _MODEL,
    "query",
    role="write",
  ),
  # The page holds nothing of the database, and asks for the token itself.
  _call(_READ, "/|/static/.*", "page", "picture", role=None),
  _call(_READ, ".*", "other", "picture"),
)
_OTHER = Call((), re.compile(""), "other", "query", role="write")


class Admission:
  """Checks requests before the application sees them (ASGI)."""

  def __init__(
    self,
    app: Any,
    *,
    config: ServerConfig,
    tokens: TokenStore,
    audit: AuditLog,
    metrics: Metrics,
  ):
    self._app = app
    self._config = config
    self._tokens = tokens
    self._audit = audit
    self._metrics = metrics
    self._rates = {
      cost: RateLimiter(config.rate * factor, round(config.burst * factor))
      for cost, factor in _RATES.items()
    }
    self._wrong = RateLimiter(_WRONG_RATE, _WRONG_BURST)

  async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
    """Handles a request (ASGI)."""
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    call = find_call(scope["method"], scope["path"])
    state = scope.setdefault("state", {})
    state[ROUTE] = call.route
    state[ADDRESS] = find_address(scope)
    headers = dict(scope["headers"])
    try:
      state[IDENTITY] = self._admit(call, scope, headers)
    except Dr3dError as problem:
      error = to_http_error(problem)
      challenge = error.headers
      if error.status == 401 and not scope["path"].startswith("/api/"):
        # A browser asks for the token and sends it with all that the page
        # loads; any user name will do.
        challenge["WWW-Authenticate"] = 'Basic realm="dr3d token"'
      await reject(send, error.status, str(error), challenge)
      return
    limited = (
      limit_time(receive, stall=self._config.stall, total=self._config.timeout)
      if call.uploads
      else limit_body(receive)
    )
    await self._app(scope, limited, send)

  def _admit(
    self, call: Call, scope: Any, headers: dict[bytes, bytes]
  ) -> Identity:
    """Returns who calls.

    Raises:
      HttpError: the call is not allowed, too frequent, or too large.
    """
    address = scope["state"][ADDRESS]
    identity = self._identify(headers.get(b"authorization"), address, scope)
    scope["state"][USER] = identity.name
    self._check_role(call, identity)
    if call.cost != "none":
      self._rates[call.cost].take(address)
    self._check_size(call, headers)
    return identity

  def _identify(
    self, header: bytes | None, address: str, scope: Any
  ) -> Identity:
    """Returns whose token a request has, or whom a trusted proxy names.

    Raises:
      HttpError: the token is wrong, or the address has sent too many such.
    """
    if header is None:
      users = self._config.users
      user = users and find_user(dict(scope["headers"]), users)
      return user or Identity()
    kind, token = parse_authorization(header)
    is_generated = self._tokens.is_generated(token)
    # A token that a person chose may be guessed; a generated one may not, so
    # its owner is not shut out by wrong ones from the same address.
    if not is_generated and self._wrong.is_empty(address):
      self._metrics.tokens_rejected.inc()
      raise HttpError(
        429,
        "too many wrong tokens came from this address: try again later.",
        retry_after=round(1 / _WRONG_RATE),
      )
    identity = self._tokens.find(token) if kind in ("bearer", "basic") else None
    if identity is None:
      self._note_wrong(address, scope)
      raise HttpError(
        401, "the token is not valid: ask the operator of the service for one."
      )
    # A browser adds Basic by itself, also to a request that another site made.
    return (
      dataclasses.replace(identity, role="read")
      if kind == "basic"
      else (identity)
    )

  def _note_wrong(self, address: str, scope: Any) -> None:
    """Counts a wrong token; logs it, unless the address has sent many."""
    self._metrics.tokens_rejected.inc()
    try:
      self._wrong.take(address)
    except HttpError:
      return
    _LOG.warning("a wrong token came from %s", address)
    self._audit.write(
      "token rejected",
      who="",
      address=address,
      detail=f"{scope['method']} {scope['state'][ROUTE]}",
      status=401,
    )

  def _check_role(self, call: Call, identity: Identity) -> None:
    role = call.role
    if role is None or identity.may(role):
      return
    if role == "read" and self._config.public_read:
      return
    if identity.role is not None:
      raise HttpError(
        403,
        f"{identity.name} has the role {identity.role}: that needs {role}.",
      )
    if not self._tokens.allows(role):
      raise HttpError(
        403,
        "this service allows no changes: make a token with dr3d token add, or"
        " start it with one (DR3D_TOKEN or --token-file).",
      )
    what = "reading needs a" if role == "read" else "changes need the"
    raise HttpError(401, f"{what} token: send Authorization: Bearer TOKEN.")

  def _check_size(self, call: Call, headers: dict[bytes, bytes]) -> None:
    length = headers.get(b"content-length", b"")
    size = int(length) if length.isdigit() and len(length) < 20 else 0
    if call.uploads and size > self._config.byte_limit + FORM_BYTES:
      raise too_large(self._config.byte_limit)
    if not call.uploads and size > _MAX_BODY:
      raise HttpError(413, _too_much())


def find_call(method: str, path: str) -> Call:
  """Returns what is known of a request."""
  for call in _CALLS:
    if method in call.methods and call.path.fullmatch(path):
      return call
  return _OTHER


def find_address(scope: Any) -> str:
  """Returns the address of a request, as it counts for limits."""
  client = scope.get("client")
  return group_address(client[0]) if client else ""


def parse_authorization(header: bytes) -> tuple[str, str]:
  """Returns the scheme of a header, in small letters, and the token.

  The token is the password of the scheme Basic (RFC 7617).
  """
  kind, _, text = header.decode("latin-1").partition(" ")
  kind, text = kind.lower(), text.strip()
  if kind == "basic":
    try:
      pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
      return kind, ""
    text = pair.partition(":")[2]
  return kind, text


def limit_body(receive: Any) -> Any:
  """Limits bytes and seconds of a body that is kept in memory."""
  total = 0
  timed = limit_time(receive, stall=_BODY_SECONDS, total=_BODY_SECONDS)

  async def limited() -> Any:
    nonlocal total
    message = await timed()
    total += len(message.get("body", b""))
    if total > _MAX_BODY:
      raise HTTPException(413, _too_much().rstrip("."))
    return message

  return limited


def limit_time(receive: Any, *, stall: float, total: float) -> Any:
  """Limits the seconds without a byte, and those of the whole body."""
  end = time.monotonic() + total
  is_complete = False

  async def limited() -> Any:
    nonlocal is_complete
    if is_complete:  # from now on this waits until the client has gone
      return await receive()
    left = max(0.0, min(stall, end - time.monotonic()))
    try:
      async with asyncio.timeout(left):
        message = await receive()
    except TimeoutError:
      raise HTTPException(
        408, "the body took too long: try again", {"Connection": "close"}
      ) from None
    is_complete = not message.get("more_body", False)
    return message

  return limited


def _too_much() -> str:
  return f"a body here has at most {_MAX_BODY} bytes."
