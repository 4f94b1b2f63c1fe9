"""The demo market of the embedded server, while a terminal is open on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from db.errors import LoginError

if TYPE_CHECKING:
    from db.embedded.sharing import Lease
    from db.feeds.driver import Driver
    from terminal.settings import Settings
    from terminal.state import Notice

DRIVER_WATCH = 2.0
"""Seconds between two looks whether the simulated participants are well."""

Progress = Callable[[str], None]


class Market:
    """Instruments with a past, and the simulated participants; both are the owner's to bring. Use with `async
    with`; `tell` is whoever is to hear of their troubles."""

    def __init__(self, settings: Settings, lease: Lease) -> None:
        self.tell: Callable[[Notice], None] = lambda _notice: None
        self._settings = settings
        self._lease = lease
        self._open = AsyncExitStack()
        self.is_open = False
        """Whether the simulated participants have been let in."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def prepare(self, progress: Progress) -> None:
        """Set the demo up where there is nothing yet, and let the simulated participants come."""
        if self.is_open:
            return
        from db.feeds.driver import Driver

        await _in_thread(self._ensure_demo, progress)
        driver = await self._open.enter_async_context(Driver(self._lease.url, self._settings.simulation))
        watch = asyncio.create_task(self._watch(driver))
        self._open.callback(watch.cancel)
        self.is_open = True

    async def prepare_for_demo(self, progress: Progress) -> None:
        """The same, with a demo trader who may log in. Raises LoginError where there is none."""
        await self.prepare(progress)
        await _in_thread(self._let_demo_in, progress)

    async def _ensure_demo(self, progress: Progress) -> None:
        from db.database import Database
        from db.feeds import demo

        async with await Database.open(self._lease.url, application_name="pitside demo") as database:
            await demo.ensure(
                database,
                self._settings.simulation,
                lambda step: progress(f"Setting up the demo market: {step}"),
            )

    async def _let_demo_in(self, _progress: Progress) -> None:
        from db import users
        from db.database import Database
        from db.embedded.configuration import DEMO
        from db.errors import RequestError

        async with await Database.open(
            self._lease.url, application_name="pitside demo", pool_max=1
        ) as database:
            try:
                demo = await users.by_name(database, DEMO)
            except RequestError:
                demo = None
            if demo is None or not demo.is_active:
                which = "has no demo trader" if demo is None else "has a demo trader who is disabled"
                raise LoginError(
                    f"the database {which}", reason=f"This database {which}: log in as another user"
                )
            await users.ensure_login(database, DEMO)

    async def _watch(self, driver: Driver) -> None:
        """Tell the trader when the simulated participants have trouble: a market that stands still looks like
        a calm one."""
        from terminal.state import Notice

        told: str | None = None
        while True:
            await asyncio.sleep(DRIVER_WATCH)
            now = driver.problem
            if now is not None and now != told:
                self.tell(Notice(now, "problem"))
            told = now


async def _in_thread(work: Callable[[Progress], object], progress: Progress) -> None:
    """In a thread with a loop of its own: making months of history takes seconds, and the screen is up
    already."""
    loop = asyncio.get_running_loop()

    def tell(words: str) -> None:
        loop.call_soon_threadsafe(progress, words)

    await asyncio.to_thread(lambda: asyncio.run(work(tell)))  # type: ignore[arg-type]
