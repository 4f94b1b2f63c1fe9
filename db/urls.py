"""Database URLs as people may see them: never with the password."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

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
    if parts.scheme not in ("postgresql", "postgres"):
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
