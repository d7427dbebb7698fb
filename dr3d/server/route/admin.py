"""Routes for the operator; each needs a token of the role admin."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from dr3d.server import schema
from dr3d.server.context import RequestContext
from dr3d.server.http_error import HttpError

_TOKEN = HTTPBearer(auto_error=False, description="a token of the role admin")


def make_router(context: RequestContext) -> APIRouter:
  """Makes the routes of a context."""
  router = APIRouter(
    prefix="/api",
    tags=["admin"],
    responses=schema.FAILURES,
    # Only for the OpenAPI description: `admission` has checked the token.
    dependencies=[Security(_TOKEN)],
  )
  service = context.service

  @router.get("/audit")
  def audit(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
  ) -> list[dict[str, Any]]:
    """Return the latest changes, wrong tokens and starts."""
    return [dict(entry) for entry in service.audit.read_last(limit)]

  @router.get("/tokens")
  def tokens() -> list[schema.Token]:
    """List the tokens, without what is secret."""
    return [
      schema.Token(name=token.name, role=token.role, created=token.created)
      for token in service.tokens.list()
    ]

  @router.delete("/tokens/{name}", status_code=204)
  def revoke(request: Request, name: str) -> Response:
    """Revoke a token; `dr3d token` makes them, on the machine itself."""
    with context.audit(request, "token revoke", None, name):
      if all(token.name != name for token in service.tokens.list()):
        raise HttpError(404, f"there is no token {name!r}.")
      service.tokens.revoke(name)
    return Response(status_code=204)

  @router.get("/scan")
  def scan() -> schema.Scan:
    """What is known of damage to the database."""
    return _describe_scan()

  @router.post("/scan", status_code=202)
  def start_scan(request: Request) -> schema.Scan:
    """Look for damage now; GET tells when it has ended."""
    with context.audit(request, "scan", None):
      service.scanner.request()
    return _describe_scan()

  @router.get("/backups")
  def backups() -> schema.Backups:
    """List the backups that the service has made, the latest first."""
    return _describe_backups()

  @router.post("/backups", status_code=202)
  def start_backup(request: Request) -> schema.Backups:
    """Make a backup now; GET tells when it has ended."""
    with context.audit(request, "backup", None):
      service.backups.request()
    return _describe_backups()

  def _describe_scan() -> schema.Scan:
    scanner = service.scanner
    return schema.Scan(
      running=scanner.task.is_pending,
      error=scanner.task.error,
      ended=scanner.ended,
      damage=[
        schema.Damage(
          kind=finding.kind,
          name=finding.name,
          reason=finding.reason,
          advice=finding.advice,
        )
        for finding in scanner.findings
      ],
    )

  def _describe_backups() -> schema.Backups:
    task = service.backups.task
    return schema.Backups(
      running=task.is_pending,
      error=task.error,
      backups=[
        schema.Backup(
          name=name,
          time=made.time,
          searchable=made.searchable,
          bytes=made.byte_count,
        )
        for name, made in service.backups.read_all()
      ],
    )

  return router
