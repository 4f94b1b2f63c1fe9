"""A PostgreSQL with TLS, of the system's packages: the embedded server has no OpenSSL.

Its certificate is signed by an authority of the test's own, for `localhost` and the machine's address in the
network; for 127.0.0.1 it is not.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.db.system_servers import SYSTEM_SERVERS, system_server

PASSWORD = "jo's päss/word@%"  # noqa: S105
HBA = "local all owner trust\nhost all all all scram-sha-256\n"


@dataclass(frozen=True)
class TlsServer:
    """A running one. `authority` is the file of who signed its certificate, `stranger` of who did not."""

    port: int
    authority: Path
    stranger: Path
    address: str | None
    owner_url: str
    programs: Path

    def url(self, host: str, *, database: str = "postgres") -> str:
        """The owner's URL, without a password, that leads to the server by this name."""
        return f"postgresql://owner@{host}:{self.port}/{database}"

    def statement(self, text: str) -> None:
        """Run a statement as the owner, through the socket."""
        subprocess.run(
            [self.programs / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", text, self.owner_url],
            check=True,
            capture_output=True,
        )

    @contextlib.contextmanager
    def without_tls(self) -> Iterator[None]:
        """The same server with TLS switched off for a while."""
        self._switch("off")
        try:
            yield
        finally:
            self._switch("on")

    def _switch(self, state: str) -> None:
        self.statement(f"alter system set ssl = {state}")
        self.statement("select pg_reload_conf()")
        # The postmaster takes its time to read it: ask until the answer is another one.
        for _ in range(1000):
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
                line.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # SSLRequest
                if line.recv(1) == (b"S" if state == "on" else b"N"):
                    return
        raise AssertionError(f"ssl did not become {state}")


def programs() -> Path | None:
    """The folder of a system's PostgreSQL that can be started here, the newest there is."""
    return SYSTEM_SERVERS[-1] if SYSTEM_SERVERS and shutil.which("openssl") else None


@contextlib.contextmanager
def serving(binaries: Path) -> Iterator[TlsServer]:
    """A new server, for as long as the block runs."""
    address, port = _address(), _free_port()
    with tempfile.TemporaryDirectory(prefix="pitside-tls-") as name:
        folder = Path(name)
        _make_certificates(folder, ["DNS:localhost", *([f"IP:{address}"] if address else [])])
        settings = {
            "listen_addresses": ",".join(filter(None, ("localhost", address))),
            "port": str(port),
            "ssl": "on",  # with server.crt and server.key, where it looks by itself
        }
        files = {file: (folder / file).read_bytes() for file in ("server.crt", "server.key")}
        with system_server(binaries, settings=settings, hba=HBA, files=files) as owner_url:
            server = TlsServer(
                *(port, folder / "authority.crt", folder / "stranger.crt"), address, owner_url, binaries
            )
            quoted = PASSWORD.replace("'", "''")
            server.statement(f"alter role owner password '{quoted}'")
            yield server


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
