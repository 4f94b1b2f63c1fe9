"""Waiting for what will happen, and no longer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any


async def until(look: Callable[[], Awaitable[Any] | Any], within: float = 10.0) -> Any:
    """Look until there is something true to see, and return it; TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        while True:
            seen = look()
            if inspect.isawaitable(seen):
                seen = await seen
            if seen:
                return seen
            await asyncio.sleep(0.005)
