"""Looks for damage in the database while the service answers from it.

All rows, meshes, vectors and kept files are compared with their digests, some
megabytes a second, once a day. What is damaged is said in the log and in the
metrics. Nothing is repaired: that is for `dr3d check --repair`.
"""

import collections
import datetime
import logging
import pathlib
import time
from typing import get_args

from dr3d.database import check
from dr3d.database.check import Finding
from dr3d.database.embedding import LoadPipeline
from dr3d.server.background import BackgroundTask
from dr3d.server.http_error import HttpError
from dr3d.server.metric import Metrics

_LOG = logging.getLogger("dr3d.server")
_PERIOD = 24 * 3600.0  # seconds from the end of a scan to the next one
_MAX_LINES = 20  # in the log for one scan


class DamageScanner:
  """Scans a database again and again, at a low rate.

  Attributes:
    findings: what is known to be damaged.
    ended: when the last whole scan ended, UTC, ISO 8601; None if there was
      none.
    task: the thread.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    metrics: Metrics,
    *,
    rate: float,
    load_pipeline: LoadPipeline | None = None,
  ):
    """Makes a scanner; `start` starts it.

    Args:
      directory: of the database.
      metrics: get what was found.
      rate: bytes to read in a second; 0 for no scan.
      load_pipeline: reads the pipeline; `Pipeline.load` if None.
    """
    self.findings: tuple[Finding, ...] = ()
    self.ended: str | None = None
    self._directory = directory
    self._metrics = metrics
    self._rate = rate
    self._load_pipeline = load_pipeline
    self._due = 0.0
    self.task = BackgroundTask(
      "scan for damage",
      self._scan,
      seconds_left=lambda: max(0.0, self._due - time.monotonic()),
      failures=metrics.scans_failed,
    )
    self._show()

  def start(self) -> None:
    """Starts the first scan, unless scans are off."""
    if self._rate:
      self.task.start()

  def request(self) -> None:
    """Asks for a scan now.

    Raises:
      HttpError: scans are off.
    """
    if not self._rate:
      raise HttpError(
        409, "this service does not scan: start dr3d serve with --scan."
      )
    self.task.request()

  def close(self) -> None:
    """Ends a scan that runs."""
    self.task.close()

  def _scan(self, task: BackgroundTask) -> None:
    found: list[Finding] = []
    for part in check.scan_parts(
      self._directory, load_pipeline=self._load_pipeline
    ):
      for finding in part.findings:
        self._note(finding, len(found))
        found.append(finding)
      if task.pause(part.size / self._rate):
        return
    if len(found) > _MAX_LINES:
      _LOG.error("damage found: %d more things", len(found) - _MAX_LINES)
    self.findings = tuple(found)
    now = datetime.datetime.now(datetime.UTC)
    self.ended = now.isoformat(timespec="seconds")
    self._due = time.monotonic() + _PERIOD
    self._metrics.last_scan.set(now.timestamp())
    self._show()

  def _note(self, finding: Finding, count: int) -> None:
    """Says at once what is damaged; before the scan ends, nothing is well."""
    if count < _MAX_LINES:
      _LOG.error(
        "damage found: %s; %s. See dr3d check --db=%s",
        finding,
        finding.advice,
        self._directory,
      )
    if finding not in self.findings:
      self.findings += (finding,)
      self._show()

  def _show(self) -> None:
    counts = collections.Counter(finding.kind for finding in self.findings)
    for kind in get_args(check.Kind):
      if kind != "leftover":  # which is not damage
        self._metrics.damage_found.labels(kind).set(counts[kind])
