"""What the journal costs: the same flow with it and without it."""

from __future__ import annotations

import re
from pathlib import Path

from db.schema.migrate import FUNCTIONS
from tests.bench import flow, load
from tests.bench.runner import Round
from tests.bench.stage import Stage

_EVENTS = re.compile(r"(insert into public\.journal.*?)(\n    returning|;|\n    \)\n)", re.DOTALL)
_SILENT = """
create or replace function internal.chained(p_events journal[], p_mark numeric) returns setof journal
language sql stable as $$ select e.* from unnest(p_events) e where false $$;
create or replace function internal.chained_each(p_events journal[], p_marks numeric[]) returns setof journal
language sql stable as $$ select e.* from unnest(p_events) e where false $$;
create or replace function internal.tell_market(p_market internal.market) returns void
language plpgsql as $$ begin end; $$"""


class Journalling:
    """Mixed requests with the journal, beside the same engine that writes none."""

    name = "journal"
    title = "with the journal"
    unit = "requests/s"
    reference = "without it"
    target = 0.85
    at_most = False
    about = "the mix of requests, 8 clients over 20 instruments, beside the same engine without a journal"

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        """Measure once, the two in turn."""
        rates = {}
        for journal in (not reference_first, reference_first):
            async with stage.market(ledger=journal) as (url, database):
                if not journal:
                    await database.execute(_SILENT)
                    for path in sorted(FUNCTIONS.glob("*.sql")):
                        if path.name.startswith(("45_", "60_")):
                            await database.execute(silenced(path))
                chosen = {
                    "accounts": stage.scale.accounts,
                    "instruments": stage.scale.instruments,
                    "batches": stage.scale.batches,
                }
                scripts = flow.scripts(flow.SHARES)
                await load.run(url, stage.scale, scripts, **chosen)
                before = await database.fetchval("select count(*) from journal")
                rates[journal] = (await load.run(url, stage.scale, scripts, **chosen)).rate
                written = await database.fetchval("select count(*) from journal") - before
                if (written > 0) != journal:
                    raise RuntimeError(f"{written} events were written, with the journal {journal}")
        return Round(rates[True], rates[False], rates[True] / rates[False])


def silenced(path: Path) -> str:
    """A file of functions whose own inserts into the journal insert nothing."""
    return _EVENTS.sub(
        lambda found: f"{found[1]}\n    where false{found[2]}", path.read_text(encoding="utf-8")
    )
