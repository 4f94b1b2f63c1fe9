"""Which refusal of the model a reason given by the database stands for."""

from __future__ import annotations

import re

_SAYINGS = {
    "pair": r"order \d+ of the pair ended",
    "request": r"cancelled on request|cancelled with all others",
    "day": r".*\bday\b",
    "liquidity": r"nothing more in the book|immediate or cancel: nothing more|fill or kill: .* could trade",
    "self_trade": r"self-trade prevention",
    "funds": r"insufficient funds",
    "position": r"insufficient position",
    "margin": r"insufficient margin|.*margin call",
    "post_only": r"post-only, and would take",
    "currency": r"the account is in \w+, \S+ trades in \w+",
    "instrument": r"\S+ is not open for trading",
    "account": r"the (account|user) is \w+",
}


def reason_class(reason: str | None) -> str | None:
    """The model's word for it; the reason itself where no word fits, for the difference to show it."""
    if reason is None:
        return None
    return next((word for word, saying in _SAYINGS.items() if re.match(saying, reason)), reason)
