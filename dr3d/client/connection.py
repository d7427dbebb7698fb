"""Requests to a service, repeated while it is busy."""

import contextlib
import ipaddress
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import httpx

from dr3d.error import ServiceError

_RETRY_STATUSES = (429, 503)  # with Retry-After: too many requests, busy
_MIN_WAIT = 0.5  # seconds between two tries


class Connection:
  """Sends requests to one service.

  Attributes:
    url: of the service.
  """

  def __init__(
    self,
    url: str,
    *,
    token: str | None,
    timeout: float,
    retry_timeout: float,
  ):
    """Makes a connection; see `Client`.

    Raises:
      ServiceError: the URL is not an HTTP URL, or a token would be sent to
        another machine without TLS.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
      raise ServiceError(f"{url!r} must begin with http:// or https://.")
    if token and parts.scheme == "http" and not _is_loopback(parts.hostname):
      raise ServiceError(
        f"a token is not sent to {url}, because everyone on the way could read"
        " it: put a proxy with TLS in front of the service and use https://."
      )
    self.url = url.rstrip("/")
    self._retry_timeout = retry_timeout
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    self._http = httpx.Client(
      base_url=self.url, headers=headers, timeout=timeout
    )

  def close(self) -> None:
    """Closes the connections."""
    self._http.close()

  def send(self, method: str, url: str, **options: Any) -> httpx.Response:
    """Sends a request, again while the service is busy.

    Raises:
      ServiceError: the service rejects it, or cannot be reached.
    """
    end = time.monotonic() + self._retry_timeout
    while True:
      for _, (_, file) in options.get("files", ()):
        file.seek(0)
      with _explain(self.url):
        response = self._http.request(method, url, **options)
      wait = _read_wait(response)
      if wait is None or time.monotonic() + wait > end:
        break
      time.sleep(wait)
    if response.is_success:
      return response
    try:
      message = response.json()["detail"]
    except (ValueError, LookupError, TypeError):
      message = f"{self.url} answers {response.status_code}: is it dr3d serve?"
    raise ServiceError(message, status=response.status_code)


@contextlib.contextmanager
def _explain(url: str) -> Iterator[None]:
  """Turns errors of the network into sentences."""
  try:
    yield
  except httpx.TimeoutException as error:
    raise ServiceError(f"{url} does not answer in time: try again.") from error
  except (httpx.HTTPError, httpx.InvalidURL) as error:
    raise ServiceError(
      f"{url} cannot be reached ({error}): is dr3d serve running there?"
    ) from error


def _is_loopback(host: str | None) -> bool:
  """Whether a host is this machine."""
  try:
    return ipaddress.ip_address(host or "").is_loopback
  except ValueError:
    return host == "localhost"


def _read_wait(response: httpx.Response) -> float | None:
  """Seconds until the next try; None if there should be none."""
  text = response.headers.get("Retry-After", "")
  if response.status_code not in _RETRY_STATUSES or not text.isdigit():
    return None
  return max(_MIN_WAIT, float(text))
