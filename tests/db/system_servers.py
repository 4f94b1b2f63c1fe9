"""Servers of the machine's own PostgreSQL: the oldest that serves, where the machine has one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

SYSTEM_SERVERS = [
    path for path in sorted(Path("/usr/lib/postgresql").glob("1[567]/bin")) if (path / "initdb").exists()
]
HBA = "local all owner trust\nlocal all all scram-sha-256\n"


NO_TCP = {"listen_addresses": ""}


@contextlib.contextmanager
def system_server(
    binaries: Path,
    *,
    settings: Mapping[str, str] = NO_TCP,
    hba: str = HBA,
    files: Mapping[str, bytes] | None = None,
) -> Iterator[str]:
    """A server in a new folder; gives the URL of its superuser, who needs no password; others do. Root hands
    it to the user that the package made.

    `files` are laid into its data folder, for the server's user only, before it starts.
    """
    folder = Path(tempfile.mkdtemp(prefix="pitside-system-"))
    user = None
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres").pw_name
        shutil.chown(folder, user)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, *arguments], check=True, user=user, capture_output=True, cwd=folder
        )

    try:
        run("initdb", "-D", str(data), "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        (data / "pg_hba.conf").write_text(hba)
        for name, content in (files or {}).items():
            file = data / name
            file.touch(mode=0o600)
            file.write_bytes(content)
            if user is not None:
                shutil.chown(file, user)
        with (data / "postgresql.conf").open("a") as conf:
            for name, value in {**settings, "unix_socket_directories": str(folder), "fsync": "off"}.items():
                conf.write(f"{name} = '{value}'\n")
        run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-w", "start")
        try:
            port = settings.get("port", "5432")
            yield f"postgresql://owner@/postgres?host={folder}&port={port}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
