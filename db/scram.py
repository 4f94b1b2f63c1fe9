"""SCRAM verifiers, computed here so that the server never sees a password.

What the server keeps (`users.password_hash`, and the role's own) is enough to check a password and not
enough to log in with: RFC 5802 and 7677, in the form of PostgreSQL's `pg_authid.rolpassword`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata

from db.errors import RequestError

ITERATIONS = 4096
"""PostgreSQL's own number. Whoever logs in computes them again, in Python where the driver is asyncpg."""

SALT_BYTES = 16
SHORTEST, LONGEST = 8, 256
"""Characters of a password: fewer are guessed, more are a mistake."""

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,  # not assigned in Unicode 3.2, the one of SASLprep
)


def verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The verifier of a password: `SCRAM-SHA-256$iterations:salt$stored key:server key`.

    The salt is random unless given. Raises RequestError (field `password`, never its value) where the
    password is shorter than `SHORTEST`, longer than `LONGEST`, or has a zero character in it.
    """
    _require_good(password)
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def prepared(password: str) -> str:
    """The password as SASLprep (RFC 4013) has it.

    One that SASLprep prohibits is taken as it is: so do the server, libpq and asyncpg.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or any(prohibits(character) for character in normal for prohibits in _PROHIBITED):
        return password
    if any(stringprep.in_table_d1(character) for character in normal) and (
        any(stringprep.in_table_d2(character) for character in normal)
        or not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1]))
    ):
        return password
    return normal


def _require_good(password: str) -> None:
    if len(password) < SHORTEST:
        raise RequestError(
            "password",
            None,
            f"is shorter than {SHORTEST} characters",
            "Take a longer one: a sentence will do.",
        )
    if len(password) > LONGEST:
        raise RequestError("password", None, f"is longer than {LONGEST} characters", "Take a shorter one.")
    if "\0" in password:
        raise RequestError("password", None, "has a zero character in it", "Take one without.")


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
