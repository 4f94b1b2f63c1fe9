"""Database URLs: as people may see them (never with the password), and made of what people type."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

SCHEMES = ("postgresql", "postgres")
DEFAULT_DATABASE = "trading_db"

_IN_PARAMETER = re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]+)")


def mask(url: str) -> str:
    """The URL (or `key=value` string) with `***` in the place of any password.

    A password in which `@`, `/` or `:` was not percent-encoded does not show either, nor one in a URL without
    its scheme: rather too much is hidden than too little.
    """
    scheme = re.match(r"\s*\w*://", url)
    before = scheme.group() if scheme else ""
    login, at, place = url[len(before) :].rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***" if colon else login
    return _IN_PARAMETER.sub(r"\1***", f"{before}{shown}{at}{place}")


def describe(url: str) -> str:
    """Where a URL leads, for a sentence: `trading_db on db.example:5432`; no user, no password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return mask(url)
    if parts.scheme not in SCHEMES:
        return mask(url)
    query = parse_qs(parts.query)
    host = parts.hostname or query.get("host", ["localhost"])[-1]
    where = host if host.startswith("/") else f"{host}:{port or query.get('port', ['5432'])[-1]}"
    return f"{unquote(parts.path.lstrip('/')) or 'the default database'} on {where}"


def is_readable(url: str) -> bool:
    """Whether host and port can be told; a password with a bare / or # in it is what mostly prevents that."""
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port is None or port > 0


def parameter(url: str, name: str) -> str | None:
    """A parameter behind the question mark, such as `sslmode`; None where it is not there."""
    return parse_qs(urlsplit(url).query).get(name, [None])[-1]


def user_of(url: str) -> str | None:
    """The user that a URL names, if any."""
    user = urlsplit(url).username
    return unquote(user) if user else parameter(url, "user")


def has_password(url: str) -> bool:
    """Whether a URL carries a password."""
    return urlsplit(url).password is not None or parameter(url, "password") is not None


def is_local(url: str) -> bool:
    """Whether a URL leads nowhere but to this machine: sockets and loopback addresses."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2] or parameter(url, "host") or os.environ.get("PGHOST", "")
    if not hosts and parameter(url, "service"):
        return False  # the service file knows where it leads
    return all(_is_local_host(host) for host in hosts.split(","))


def _is_local_host(host: str) -> bool:
    name = unquote(host)
    if not name or name.startswith(("/", "@")):
        return True
    name = name[1:].partition("]")[0] if name.startswith("[") else name
    if name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def with_parameters(url: str, **parameters: str | None) -> str:
    """The URL with these parameters, where it has none of that name and the value is not None."""
    wanted = {
        name: value
        for name, value in parameters.items()
        if value is not None and parameter(url, name) is None
    }
    if not wanted:
        return url
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(wanted, quote_via=quote)) if part)
    return _joined(parts._replace(query=query))


def with_login(url: str, user: str, password: str | None = None) -> str:
    """The URL with another user and password; None: without a password."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
    kept = [
        part for part in parts.query.split("&") if part and part.partition("=")[0] not in ("user", "password")
    ]
    return _joined(parts._replace(netloc=f"{login}@{place}", query="&".join(kept)))


def without_login(url: str) -> str:
    """The URL without user and password: the server, as it may be remembered."""
    parts = urlsplit(with_login(url, "-"))
    return _joined(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def of_server(text: str) -> str:
    """The URL of what a person types as a server: `db.example`, `db.example:5433/trading_db`, or a whole
    URL. Without a database it is trading_db.

    Raises ValueError with the sentence that says what is wrong.
    """
    text = text.strip()
    if not text:
        raise ValueError("no server is named")
    scheme, colon, _ = text.partition("://")
    if colon and scheme not in SCHEMES:
        raise ValueError(f"begins with {scheme}://, and a server's URL begins with postgresql://")
    url = text if colon else f"postgresql://{text}"
    if re.search(r"\s", url):
        raise ValueError("has a space in it")
    if not is_readable(url):
        raise ValueError("should have a number as its port, such as db.example:5432")
    parts = urlsplit(url)
    if not parts.netloc and not parameter(url, "host"):
        raise ValueError("names no host")
    if parts.path in ("", "/"):
        url = _joined(parts._replace(path=f"/{DEFAULT_DATABASE}"))
    return url


def server_text(url: str) -> str:
    """A URL as a person would type the server: without scheme, login, and what is the default."""
    bare = without_login(url)
    parts = urlsplit(bare)
    if parts.query or not parts.netloc:
        return bare
    host = parts.netloc.removesuffix(":5432")
    return host if parts.path in ("", "/", f"/{DEFAULT_DATABASE}") else f"{host}{parts.path}"


def _joined(parts: SplitResult) -> str:
    """The URL of its parts. `urlunsplit` drops the // where the host stands in a parameter."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")
