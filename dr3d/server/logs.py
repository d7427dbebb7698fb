"""Lines of the service's log, as text or as JSON.

A request's line has time, client, user, status and seconds. Health, readiness
and metrics have none. No line holds the
name or the content of a query.
"""

import datetime
import json
import logging
from typing import Literal

LogFormat = Literal["text", "json"]

_NAMES = ("dr3d.server", "dr3d.runtime")
# Asked by machines every few seconds; in the log with --verbosity=1 only.
_PROBES = ("/api/health", "/api/ready", "/metrics")
_FIELDS = "fields"  # attribute of a record that has fields besides its message


def set_logs(log_format: LogFormat) -> None:
  """Logs start, faults, wrong tokens and requests, with the time.

  Args:
    log_format: of all lines.
  """
  formatter: logging.Formatter = (
    JsonFormatter()
    if log_format == "json"
    else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
  )
  root = logging.getLogger()
  for handler in root.handlers:
    handler.setFormatter(formatter)
  for name in _NAMES:
    logging.getLogger(name).setLevel(min(root.level, logging.INFO))


def log_request(
  logger: logging.Logger,
  *,
  client: str,
  user: str,
  method: str,
  route: str,
  status: int,
  seconds: float,
) -> None:
  """Logs a request.

  Args:
    logger: where to.
    client: its address.
    user: name of the token or of the proxy's user; empty for none.
    method: of HTTP.
    route: pattern of the path, without names of models.
    status: of HTTP.
    seconds: from the request to the end of its response.
  """
  fields = {
    "client": client,
    "user": user,
    "method": method,
    "route": route,
    "status": status,
    "seconds": round(seconds, 3),
  }
  logger.log(
    logging.DEBUG if route in _PROBES else logging.INFO,
    "%s %s %s %s %d %.3f s",
    client or "-",
    user or "-",
    method,
    route,
    status,
    seconds,
    extra={_FIELDS: fields},
  )


class JsonFormatter(logging.Formatter):
  """Writes a record as one JSON object a line."""

  def format(self, record: logging.LogRecord) -> str:
    """Returns the line."""
    time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    line: dict[str, object] = {
      "time": time.isoformat(timespec="milliseconds"),
      "level": record.levelname,
      "logger": record.name,
    }
    fields = getattr(record, _FIELDS, None)
    line.update(fields or {"message": record.getMessage()})
    if record.exc_info:
      line["error"] = self.formatException(record.exc_info)
    return json.dumps(line, ensure_ascii=False)
