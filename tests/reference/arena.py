"""Plays a story in the model and in the database at once, and compares after every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from db.database import Connection, translated
from db.errors import PitsideError, RequestError
from tests.reference.comparison import Comparison
from tests.reference.differences import Difference, LedgerDifference
from tests.reference.steps import Cast, Place, Step
from tests.reference.terms import SenselessError
from tests.reference.world import World, set_up

__all__ = ["Arena", "Difference", "LedgerDifference", "shortest"]


class Arena:
    """One world, in both."""

    def __init__(self, connection: Connection, world: World) -> None:
        self.connection = connection
        self.model = world.model()
        self.cast = Cast(world, {}, {})
        self.story: list[Step] = []
        self._comparison = Comparison(connection, self.model, self.cast)
        self._in_parts = False

    @classmethod
    async def open(cls, connection: Connection) -> Arena:
        """A new world in the database, in which nothing has happened."""
        await connection.fetchval("select expire_day_orders()")  # of worlds before this one
        await connection.fetchval("select refresh_pnl()")
        return cls(connection, await set_up(connection))

    async def play(self, steps: Iterable[Step], *, verify_every: int = 50, all_every: int = 25) -> None:
        """All of a story; raises Difference at the first step where the two part.

        What has changed is compared after each step, everything after every `all_every` and at the end. The
        database checks its own books every `verify_every` steps and at the end; never where that is 0.
        """
        for step in steps:
            if step.possible(self.cast.in_model):
                await self._ask(step)
                await self.compare(everything=len(self.story) % all_every == 0)
                if verify_every and len(self.story) % verify_every == 0:
                    await self.verify()
        if self.story:
            await self.compare()
        if verify_every:
            await self.verify()

    async def verify(self) -> None:
        """The database's own check of its books finds nothing."""
        found = await self.connection.fetch("select * from verify_ledger()")
        if found:
            raise LedgerDifference(
                f"verify_ledger() says {[dict(row) for row in found]} after {self.story[-1]!r}"
            )

    async def compare(self, *, everything: bool = True) -> None:
        """What has changed in either since it was compared last, or everything; raises Difference."""
        tops, self.model.tops = self.model.tops, []
        await self._comparison.compare(tops, everything=everything, in_parts=self._in_parts)
        self._in_parts = False
        self._raise_differences()

    async def _ask(self, step: Step) -> None:
        """Both, and compare what they answer."""
        self.story.append(step)
        self._in_parts = step.in_parts
        expected: object
        try:
            expected = step.ask_model(self.model, self.cast)
        except SenselessError as error:
            expected = error
        got: object
        try:
            with translated(self.connection, "the test's database"):
                got = await step.ask_database(self.connection, self.cast)
        except PitsideError as error:
            got = error
        self._compare_answers(step, expected, got)
        self._raise_differences()

    def follow(self, step: Place, order_id: int) -> None:
        """Play in the model what somebody else has done in the database already."""
        self.story.append(step)
        number = step.ask_model(self.model, self.cast)
        self.cast.in_database[step.label] = order_id
        self._compare_answers(step, number, order_id)
        self._raise_differences()

    def _raise_differences(self) -> None:
        self._comparison.differences.raise_any(self.story[-1])

    def _compare_answers(self, step: Step, expected: object, got: object) -> None:
        differences = self._comparison.differences
        if isinstance(expected, SenselessError) or isinstance(got, PitsideError):
            fields = expected.fields if isinstance(expected, SenselessError) else {repr(expected)}
            if not isinstance(got, RequestError) or got.field not in fields:
                differences.add("answer", f"an error of {sorted(fields)}", repr(got))
            return
        self._comparison.compare_ids()
        if not step.answers_ids:
            differences.compare("answer", expected, got)


async def shortest(
    connection: Connection, story: Sequence[Step], difference: Difference
) -> tuple[list[Step], Difference]:
    """A story that ends in a difference too, with as few steps, and as small batches, as can be had by
    leaving out."""
    verify_every = 1 if isinstance(difference, LedgerDifference) else 0
    best = list(story)

    async def differs(shorter: list[Step]) -> bool:
        nonlocal best, difference
        arena = await Arena.open(connection)
        try:
            # Everything after every step, as soon as the story is short enough for that.
            await arena.play(shorter, verify_every=verify_every, all_every=1 if len(shorter) < 40 else 25)
        except Difference as found:
            best, difference = arena.story, found
            return True
        return False

    size = max(len(best) // 2, 1)
    while size:
        start = 0
        while start < len(best):
            if not await differs(best[:start] + best[start + size :]):
                start += size
        size //= 2
    for size in (16, 4, 1):
        at, first = 0, 0
        while at < len(best):
            shorter = best[at].without(first, size)
            if shorter is None:
                at, first = at + 1, 0
            elif not await differs([*best[:at], shorter, *best[at + 1 :]]):
                first += size
    return best, difference
