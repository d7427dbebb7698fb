"""Who may reach a service: its own token, and whether anyone may read."""

import ipaddress
import os
import pathlib

from dr3d.cli.subcommand import FlagValues, UsageError
from dr3d.database import shared
from dr3d.error import Dr3dError

TOKEN = "DR3D_TOKEN"
"""Environment variable of the token."""

_MIN_TOKEN_LENGTH = 16  # characters; too many to guess


def read_token(path: str | None) -> str | None:
  """Reads the token that allows all, from a file or the environment.

  Raises:
    Dr3dError: the file cannot be read, or the token is too short.
  """
  if path is not None:
    try:
      token = pathlib.Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
      reason = getattr(error, "strerror", None) or "it is not text"
      raise Dr3dError(f"{path} cannot be read ({reason}).") from error
  else:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
      return None
  if (
    len(token) < _MIN_TOKEN_LENGTH
    or not token.isascii()
    or not token.isprintable()
  ):
    raise Dr3dError(
      f"the token must have at least {_MIN_TOKEN_LENGTH} ASCII characters;"
      " dr3d token add makes better ones."
    )
  return token


def may_read_freely(flags: FlagValues, own_token: str | None) -> bool:
  """Whether anyone who reaches the service may search without a token.

  That is so on this machine, unless a proxy serves others from there.

  Raises:
    UsageError: other machines are served, nobody has a token, and
      --public-read is not given; or a proxy is not an address.
  """
  from dr3d.server.limiter import parse_networks
  from dr3d.server.token import TokenStore

  proxies = flags.trusted_proxy or ()
  try:
    parse_networks(proxies)
  except ValueError as error:
    raise UsageError(
      f"serve: --trusted-proxy: {error}; give addresses or networks such as"
      " 10.0.0.0/8."
    ) from error
  tokens = TokenStore(shared.find_directory(flags.db), own=own_token)
  return check_address(
    flags.host,
    is_proxied=bool(proxies),
    has_token=tokens.allows("read") or flags.user_header is not None,
    public_read=flags.public_read,
  )


def check_address(
  host: str, *, is_proxied: bool, has_token: bool, public_read: bool
) -> bool:
  """Prevents that other machines are served by mistake.

  Args:
    host: to listen on.
    is_proxied: whether a proxy hands on the requests of other machines.
    has_token: whether anyone has a token.
    public_read: whether the operator lets anyone read.

  Returns:
    Whether reading needs no token.

  Raises:
    UsageError: other machines reach the address, and there is neither a token
      nor --public-read.
  """
  try:
    is_local = ipaddress.ip_address(host).is_loopback
  except ValueError:
    is_local = host == "localhost"
  if is_local and not is_proxied:
    return True
  if not has_token and not public_read:
    raise UsageError(
      f"serve: other machines reach {host}; make tokens with dr3d token add, or"
      " give --public-read to let anyone search and download; see dr3d serve"
      " --help."
    )
  return public_read
