"""postgresql.conf, pg_hba.conf and pg_ident.conf: ours, written anew at every start.

A setting that somebody changes with ALTER SYSTEM lives in postgresql.auto.conf and wins.
"""

from __future__ import annotations

import os
import pwd
import secrets
from collections.abc import Mapping
from pathlib import Path

from db.embedded.osuser import OsUser

OWNER = "pitside"
LOOPBACK = "127.0.0.1"
DEMO = "demo"
"""The demo trader's user, who is let in as the owner is: by the system's user name, without a password."""
DEFAULT_PORT = 5432  # without TCP it is only a part of the socket's name
MEGABYTE = 1024 * 1024
HEAD = "# Written by Pitside at every start: changes here are lost. To change a setting, use ALTER SYSTEM.\n"

HBA = f"""{HEAD}
# The owner comes through the socket, in a folder that only they can enter, known by the system's user name.
local  all          {OWNER}                peer map=owner
local  replication  {OWNER}                peer map=owner
# The demo logs itself in; whoever passes here passes as the owner, too.
local  all          {DEMO}                   peer map=demo
host   all          {OWNER}  all           reject
host   replication  {OWNER}  all           reject
# Everyone else has a password.
local  all          all                    scram-sha-256
host   all          all      127.0.0.1/32  scram-sha-256
host   all          all      ::1/128       scram-sha-256
host   replication  all      127.0.0.1/32  scram-sha-256
"""


def settings(socket_folder: Path, port: int | None, overrides: Mapping[str, str]) -> dict[str, str]:
    """postgresql.conf by name. `port` None: no TCP."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEGABYTE
    return {
        # Who may knock, and where
        "listen_addresses": LOOPBACK if port else "",
        "port": str(port or DEFAULT_PORT),
        "unix_socket_directories": f'"{socket_folder}"',
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "password_encryption": "scram-sha-256",
        # A desktop's memory: a sixteenth for the server's own cache, the rest is the system's and the user's
        "shared_buffers": f"{max(128, min(512, memory // 16))}MB",
        "effective_cache_size": f"{max(512, memory // 2)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "random_page_cost": "1.1",
        "jit": "off",
        # The write-ahead log: durable; room for bursts, few checkpoints, not much disk while it is quiet
        "wal_level": "replica",
        "summarize_wal": "on",
        "wal_buffers": "16MB",
        "min_wal_size": "80MB",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "15min",
        # Few rows are updated often (levels, balances): look after them often
        "autovacuum_naptime": "15s",
        # What it says, and of whom
        "shared_preload_libraries": "pg_stat_statements",
        "cluster_name": OWNER,
        "log_line_prefix": "%m [%p] %q%u@%d/%a %h ",
        "log_connections": "on",  # with log-ins that failed, of which no table can tell
        "log_checkpoints": "off",
        "log_lock_waits": "on",
        # The same everywhere
        "timezone": "UTC",
        "log_timezone": "UTC",
        "datestyle": "ISO, YMD",
        "lc_messages": "C",
        "default_text_search_config": "pg_catalog.english",
        **overrides,
    }


def write(
    cluster: Path, user: OsUser, socket_folder: Path, port: int | None, overrides: Mapping[str, str]
) -> None:
    """Write the three files into the cluster, as files of `user`, the one that the server runs as."""
    lines = [f"{name} = {_quoted(value)}" for name, value in settings(socket_folder, port, overrides).items()]
    contents = {
        "postgresql.conf": HEAD + "\n".join(lines) + "\n",
        "pg_hba.conf": HBA,
        "pg_ident.conf": HEAD
        + "".join(f'owner  "{name}"  {OWNER}\ndemo  "{name}"  {DEMO}\n' for name in _owners(user)),
    }
    folder = os.open(cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name, content in contents.items():
            _write(folder, name, content, user)
    finally:
        os.close(folder)


def _owners(user: OsUser) -> list[str]:
    """The system's users who are the owner: the one whose data it is, and root, who can read it anyway."""
    return list(dict.fromkeys([user.name, pwd.getpwuid(0).pw_name]))


def _write(folder: int, name: str, content: str, user: OsUser) -> None:
    """Through the folder's descriptor: it may be another user's, who could put a link in root's way."""
    part = f"{name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            if os.geteuid() != user.uid:
                os.fchown(file.fileno(), user.uid, user.gid)
            os.fsync(file.fileno())
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(part, dir_fd=folder)
        raise


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
