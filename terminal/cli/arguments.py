"""Kinds of arguments that several commands take, and passwords, which are never one."""

from __future__ import annotations

import sys
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from db.errors import RequestError


class Number(click.ParamType[Decimal]):
    """An exact number, such as 1234.56; commas as separators of thousands are left out."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The number, or an error that names what was given."""
        try:
            number = value if isinstance(value, Decimal) else Decimal(str(value).replace(",", ""))
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite():
            self.fail(f"{value!r} is not a number; write it like 1234.56", param, ctx)
        return number


def password(of: str, *, from_stdin: bool) -> str:
    """A password, asked for twice without an echo, or the first line of stdin.

    Raises RequestError where there is nobody to ask.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not can_ask():
        raise RequestError(
            "password", None, "there is no terminal to ask for it", "Pipe it in with --password-stdin."
        )
    text: str = click.prompt(
        f"Password of {of}", hide_input=True, confirmation_prompt="The same again", err=True
    )
    return text


def can_ask() -> bool:
    """Whether a person sits in front of this."""
    return sys.stdin.isatty()
