"""The exchange in the database against the reference in tests.reference, over random stories.

A story that fails is cut down to the few steps that matter and printed as Python, to be kept in
tests.reference.kept once the cause is mended.

PITSIDE_SEEDS says how many stories (200 by default), PITSIDE_STEPS how long each is (300 by default),
PITSIDE_FIRST_SEED with which seed they begin. PITSIDE_COMPARE=all compares everything after every step, not
only what has changed. Every third story has linked orders, and says so in its name (-k "not linked").
"""

from __future__ import annotations

import os

import pytest

from db.database import connect
from tests.reference.arena import Arena, Difference, shortest
from tests.reference.kept import KEPT
from tests.reference.steps import Step
from tests.reference.stories import Storyteller

FIRST_SEED = int(os.environ.get("PITSIDE_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("PITSIDE_SEEDS", "200"))
STEPS = int(os.environ.get("PITSIDE_STEPS", "300"))


def has_linked_orders(seed: int) -> bool:
    return seed % 3 == 2


def name_of(seed: int) -> str:
    return f"{seed} linked" if has_linked_orders(seed) else f"{seed}"


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS), ids=name_of)
async def test_a_random_story_goes_as_the_rules_say(database_url: str, seed: int) -> None:
    connection = await connect(database_url)
    try:
        arena = await Arena.open(connection)
        storyteller = Storyteller(seed, arena.model, arena.cast, linked=has_linked_orders(seed))
        try:
            await arena.play(storyteller.tell(STEPS))
        except Difference as difference:
            story, difference = await shortest(connection, arena.story, difference)
            told = "\n".join(f"    {step!r}," for step in story)
            pytest.fail(
                f"seed {seed} of {STEPS} steps, cut down to\n[\n{told}\n]\n{difference}", pytrace=False
            )
    finally:
        await connection.close()


@pytest.mark.parametrize("story", KEPT.values(), ids=list(KEPT))
async def test_a_kept_story_goes_as_the_rules_say(database_url: str, story: list[Step]) -> None:
    connection = await connect(database_url)
    try:
        arena = await Arena.open(connection)
        await arena.play(story, verify_every=1)
        assert len(arena.story) == len(story), "every step of a kept story is played"
    finally:
        await connection.close()
