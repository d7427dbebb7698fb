"""Flags of `dr3d serve`."""

from dr3d.cli import config_file, engine_flag
from dr3d.cli.subcommand import Flag

FLAGS = (
  Flag("db", "Folder of the database. Required.", "DIR"),
  engine_flag.FLAG,
  config_file.CONFIG,
  Flag("host", "Address to listen on.", "HOST", "127.0.0.1"),
  Flag(
    "port",
    "Port to listen on; 0 for any free one.",
    "N",
    8000,
    "integer",
    minimum=0,
    maximum=65535,
  ),
  Flag(
    "share-port",
    "Let several services listen on this port; the kernel spreads connections"
    " over them (Linux).",
    kind="switch",
  ),
  Flag(
    "log-format",
    "How log lines are written.",
    "FORMAT",
    "text",
    choices=("text", "json"),
  ),
  Flag("token-file", "File with a token that allows all.", "FILE"),
  Flag(
    "public-read",
    "Let anyone who reaches the address search and download without a token.",
    kind="switch",
  ),
  Flag(
    "trusted-proxy",
    "Addresses or networks of reverse proxies, whose X-Forwarded-For tells"
    " the client.",
    "CIDR,...",
    kind="names",
  ),
  Flag(
    "user-header",
    "Header in which a trusted proxy names the user, who may then search. The"
    " proxy must remove it from what clients send.",
    "NAME",
  ),
  Flag(
    "groups-header",
    "Header in which a trusted proxy names the user's groups, separated by"
    " commas.",
    "NAME",
  ),
  Flag(
    "write-groups",
    "Groups whose members have the role write.",
    "NAME,...",
    kind="names",
  ),
  Flag(
    "admin-groups",
    "Groups whose members have the role admin.",
    "NAME,...",
    kind="names",
  ),
  Flag(
    "connections",
    "Largest number of connections from one address that is not a proxy.",
    "N",
    64,
    "integer",
    minimum=1,
  ),
  Flag(
    "allow-host",
    "Host names to accept besides this machine's, such as that of a reverse"
    " proxy.",
    "NAME,...",
    kind="names",
  ),
  Flag("upload", "Largest upload, MiB.", "N", 64, "integer", minimum=1),
  Flag(
    "faces",
    "Largest number of faces of an upload.",
    "N",
    2_000_000,
    "integer",
    minimum=4,
  ),
  Flag(
    "timeout",
    "Time limit for reading an upload, seconds.",
    "S",
    30,
    "number",
    minimum=1,
  ),
  Flag(
    "memory",
    "Memory limit for reading an upload, MiB.",
    "N",
    2048,
    "integer",
    minimum=256,
  ),
  Flag(
    "jobs",
    "Number of processes that read uploads; one address leaves one of them to"
    " others. Default: one for each core, at least 2.",
    "N",
    kind="integer",
    minimum=1,
  ),
  Flag(
    "queue",
    "Largest number of queries that run or wait; further ones are rejected"
    " and can be repeated.",
    "N",
    32,
    "integer",
    minimum=1,
  ),
  Flag(
    "rate",
    "Largest mean number of queries per second from one address; 0 for no"
    " limit.",
    "N",
    20,
    "number",
    minimum=0,
  ),
  Flag(
    "scan",
    "MiB of the database to read in a second, once a day, in search of"
    " damage; 0 for none.",
    "MIB",
    1,
    "number",
    minimum=0,
  ),
  Flag("backups", "Folder for backups that this service makes.", "DIR"),
  Flag(
    "backup-hours",
    "Hours from one backup to the next; 0 for those that POST /api/backups"
    " asks for alone.",
    "H",
    0,
    "number",
    minimum=0,
  ),
  Flag(
    "backups-kept",
    "Number of backups to keep; older ones are deleted.",
    "N",
    7,
    "integer",
    minimum=1,
  ),
)
