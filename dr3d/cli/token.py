"""`dr3d token`: who may call a service."""

import getpass

from dr3d.cli import argument
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand, UsageError
from dr3d.database import shared

ROLES = ("read", "write", "admin")  # `token.ROLES`, without importing it
_ACTIONS = ("add", "list", "revoke")


def run(flags: FlagValues, files: list[str]) -> int:
  """Adds, lists or revokes tokens."""
  action, *names = files
  if action not in _ACTIONS:
    raise UsageError(
      f"token: {action!r} must be one of {', '.join(_ACTIONS)}; see dr3d token"
      " --help."
    )
  if bool(names) == (action == "list"):
    expected = "accepts no NAME" if names else "needs a NAME"
    raise UsageError(f"token: {action} {expected}; see dr3d token --help.")
  argument.check_database(flags.db)
  from dr3d.server.audit import AuditLog
  from dr3d.server.token import TokenStore

  directory = shared.find_directory(flags.db)
  tokens, audit = TokenStore(directory), AuditLog(directory)
  if action == "list":
    for token in tokens.list():
      print(f"{token.name}\t{token.role}\t{token.created}")
    return 0
  (name,) = names
  if action == "add":
    secret = tokens.add(name, flags.role)
    audit.write(
      "token add", who=getpass.getuser(), detail=f"{name}: {flags.role}"
    )
    print(secret)
    return 0
  tokens.revoke(name)
  audit.write("token revoke", who=getpass.getuser(), detail=name)
  print(f"{flags.db}: the token {name!r} is revoked.")
  return 0


SUBCOMMAND = Subcommand(
  name="token",
  summary="Make, list and revoke the tokens of a service.",
  details="""
    add NAME     makes a token and prints it. It cannot be shown again: the
                 database keeps a hash of it.
    list         prints name, role and time of each token.
    revoke NAME  removes a token; a running service rejects it from now on.

    The role says what a token allows: read to search, write to change models
    too, admin to read the audit log, revoke tokens and start scans and backups
    too. Clients send it as the header
    Authorization: Bearer TOKEN; a browser asks for it as a password.
  """,
  example="""
    dr3d token add --db=parts.db --role=write warehouse
    dr3d token list --db=parts.db
    dr3d token revoke --db=parts.db warehouse
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag(
      "role",
      "What a new token allows: read, write or admin.",
      "ROLE",
      "read",
      choices=ROLES,
    ),
  ),
  files="ACTION [NAME]",
  max_files=2,
  run=run,
)
