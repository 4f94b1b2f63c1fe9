"""A PostgreSQL with TLS, of the system's packages: the embedded server has no OpenSSL.

Its certificate is signed by an authority of the test's own, for `localhost` and the machine's address in the
network; for 127.0.0.1 it is not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from db.embedded import osuser

PACKAGES = Path("/usr/lib/postgresql")
PASSWORD = "jo's päss/word@%"  # noqa: S105


@dataclass(frozen=True)
class TlsServer:
    """A running one. `authority` is the file of who signed its certificate, `stranger` of who did not."""

    port: int
    authority: Path
    stranger: Path
    address: str | None
    folder: Path
    programs: Path

    def url(self, host: str, *, login: str = "postgres", database: str = "postgres") -> str:
        """A URL without a password that leads to the server by this name."""
        return f"postgresql://{login}@{host}:{self.port}/{database}"

    def statement(self, text: str) -> None:
        """Run a statement as the superuser, through the socket."""
        psql: list[str | Path] = [
            self.programs / "psql",
            "-qX",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            self.folder / "socket",
        ]
        subprocess.run(
            [*psql, "-p", str(self.port), "-U", "postgres", "-c", text, "postgres"],
            check=True,
            capture_output=True,
            **osuser.becoming(osuser.server_user(self.folder / "data")),
        )

    @contextlib.contextmanager
    def without_tls(self) -> Iterator[None]:
        """The same server with TLS switched off for a while."""
        self._switch("off")
        yield
        self._switch("on")

    def _switch(self, state: str) -> None:
        self.statement(f"alter system set ssl = {state}")
        self.statement("select pg_reload_conf()")
        # Old connections keep what they had: the next one asks until the postmaster has read it.
        for _ in range(1000):
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
                line.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # SSLRequest
                if line.recv(1) == (b"S" if state == "on" else b"N"):
                    return
        raise AssertionError(f"ssl did not become {state}")


def programs() -> Path | None:
    """The folder of a system's PostgreSQL that can be started here, the newest of those we support."""
    found = sorted(PACKAGES.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    supported = [path.parent for path in found if 15 <= float(path.parts[-3]) < 19]
    return supported[-1] if supported and shutil.which("openssl") else None


@contextlib.contextmanager
def serving(bin_folder: Path) -> Iterator[TlsServer]:
    """A new server, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="pitside-tls-") as name:
        folder = Path(name)
        address = _address()
        _make_certificates(folder, ["DNS:localhost", *([f"IP:{address}"] if address else [])])
        user = osuser.server_user()
        if osuser.is_root():
            folder.chmod(0o755)
            shutil.chown(folder, user.uid, user.gid)
            for file in folder.iterdir():
                shutil.chown(file, user.uid, user.gid)
        port = _free_port()
        data, sockets = folder / "data", folder / "socket"
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        as_user = osuser.becoming(user)
        environment = {**os.environ, "LC_ALL": "C"}

        def run(*command: object) -> None:
            subprocess.run(
                [str(part) for part in command],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                **as_user,
            )

        run(
            *(bin_folder / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={folder / 'password'}"),
        )
        run("mkdir", sockets)
        with (data / "pg_hba.conf").open("a") as hba:
            hba.write("host all all all scram-sha-256\n")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '{','.join(filter(None, ('127.0.0.1', '::1', address)))}'\n"
                f"port = {port}\nunix_socket_directories = '{sockets}'\nfsync = off\nssl = on\n"
                f"ssl_cert_file = '{folder / 'server.crt'}'\nssl_key_file = '{folder / 'server.key'}'\n"
            )
        run(bin_folder / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "start")
        try:
            yield TlsServer(
                port, folder / "authority.crt", folder / "stranger.crt", address, folder, bin_folder
            )
        finally:
            run(bin_folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _make_certificates(folder: Path, names: list[str]) -> None:
    for authority in ("authority", "stranger"):
        _openssl(
            *(
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN=Test {authority}",
            ),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", folder / f"{authority}.key", "-out", folder / f"{authority}.crt"),
        )
    key, wish, certificate = (folder / f"server.{end}" for end in ("key", "csr", "crt"))
    _openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", wish)
    )
    extensions = folder / "extensions"
    extensions.write_text(
        f"subjectAltName={','.join(names)}\nkeyUsage=digitalSignature,keyEncipherment\n"
        "authorityKeyIdentifier=keyid\n"
    )
    _openssl(
        *("x509", "-req", "-in", wish, "-days", "2", "-CAcreateserial", "-extfile", extensions),
        *("-CA", folder / "authority.crt", "-CAkey", folder / "authority.key", "-out", certificate),
    )
    key.chmod(0o600)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *(str(a) for a in arguments)], check=True, capture_output=True)  # noqa: S607


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _address() -> str | None:
    """An IPv4 address of this machine in a network, by which it is another host."""
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family is socket.AF_INET and not entry.address.startswith("127."):
                return str(entry.address)
    return None
