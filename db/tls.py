"""Encrypted connections: what a URL asks for, and how strictly the server's certificate is looked at.

`sslmode` means what it means to libpq. Where a URL says nothing, another machine must prove who it is
(`verify-full`); on this machine, where nobody listens in, TLS is used when it is offered (`prefer`).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal, get_args

from db.errors import ServerError
from db.urls import describe, is_local, parameter

Mode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
MODES: tuple[Mode, ...] = get_args(Mode)
ELSEWHERE: Mode = "verify-full"
HERE: Mode = "prefer"

SYSTEM = "system"
"""As `sslrootcert`: the authorities that the system trusts."""


def mode(url: str) -> Mode:
    """How connections to `url` are encrypted. Raises ServerError for a mode that there is not."""
    given = parameter(url, "sslmode")
    if given is None:
        return HERE if is_local(url) else ELSEWHERE
    for known in MODES:
        if given == known:
            return known
    raise ServerError(f"sslmode is {given!r} in the URL of {describe(url)}: use one of {', '.join(MODES)}")


def for_driver(url: str) -> ssl.SSLContext | Mode:
    """What the driver is given as `ssl`. Raises ServerError for certificate files that are no use."""
    wanted = mode(url)
    authorities = parameter(url, "sslrootcert")
    if wanted not in ("verify-ca", "verify-full"):
        return wanted
    if authorities is None and _own_authorities().is_file():
        return wanted  # libpq's place, which the driver knows by itself
    if authorities not in (None, SYSTEM):
        _require_certificates(Path(authorities or ""))
        return wanted
    # The driver knows files only, not what the system trusts.
    context = ssl.create_default_context()
    context.check_hostname = wanted == "verify-full"
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    certificate, key = parameter(url, "sslcert"), parameter(url, "sslkey")
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, parameter(url, "sslpassword") or "")
        except (OSError, ssl.SSLError) as error:
            raise ServerError(
                f"sslcert names {certificate}, which cannot be used: {error.strerror or error}"
            ) from error
    return context


def explain(error: Exception, where: str) -> ServerError | None:
    """What to raise for a connection that failed at its encryption; None where that was not the trouble."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ServerError(f"{where}: the server's certificate is not accepted: {_reason(error)}")
    if isinstance(error, ssl.SSLError):
        return ServerError(
            f"{where}: no encrypted connection comes about: {error.reason or error}. "
            "The server's log says more"
        )
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return ServerError(
            f"{where} offers no encrypted connection (TLS), and one is asked for. Switch TLS on there "
            "(ssl = on); or, on a network that you trust, do without it: database.sslmode=prefer"
        )
    return None


def _reason(error: ssl.SSLCertVerificationError) -> str:
    # OpenSSL's numbers: 10 expired; 18 to 21 nobody known has signed it; 62 and 64 another name or address
    if error.verify_code in (18, 19, 20, 21):
        return (
            f"nobody trusted has signed it ({error.verify_message}). Name the file with the certificate "
            "of who did in database.sslrootcert"
        )
    if error.verify_code in (62, 64):
        return (
            f"{error.verify_message.rstrip('.')}. Name the server as its certificate does, or have one made "
            "for this name"
        )
    if error.verify_code == 10:
        return "it has expired. Whoever runs the server has to renew it"
    return error.verify_message


def _own_authorities() -> Path:
    return Path.home() / ".postgresql" / "root.crt"


def _require_certificates(file: Path) -> None:
    """See that the file can be read and has certificates in it: the driver's own words name neither."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise ServerError(f"database.sslrootcert names {file}, which holds no certificates (PEM)") from error
    except OSError as error:
        raise ServerError(
            f"database.sslrootcert names {file}, which cannot be read: {error.strerror}"
        ) from error
