"""The schema keeps the contract, on the embedded server and on the oldest PostgreSQL that serves, where the machine has one.

The contract is the user's own specification. It lies beside the project and not in it, so those tests are skipped where it is not;
the signatures of the SQL interface are held here, for everybody.
"""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from db.database import Database
from db.schema.migrate import migrate
from tests.db.stage import Stage
from tests.db.system_servers import SYSTEM_SERVERS, system_server

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "check_schema.py"

# Name, parameters in order, result: what the SQL interface promises to every client.
INTERFACE = {
    "place_order": (
        "p_account_id bigint, p_instrument_id bigint, p_order_type character varying, p_side character varying, p_quantity numeric, "
        "p_price numeric DEFAULT NULL::numeric, p_stop_price numeric DEFAULT NULL::numeric, "
        "p_time_in_force character varying DEFAULT 'GTC'::character varying, p_post_only boolean DEFAULT false, "
        "p_self_trade character varying DEFAULT 'cancel_newest'::character varying, "
        "p_client_order_id character varying DEFAULT NULL::character varying",
        "bigint",
    ),
    "place_orders": (
        "p_orders jsonb",
        "TABLE(ordinal integer, order_id bigint, status character varying, reason text)",
    ),
    "cancel_order": ("p_order_id bigint", "boolean"),
    "cancel_all_orders": (
        "p_account_id bigint, p_instrument_id bigint DEFAULT NULL::bigint, p_side character varying DEFAULT NULL::character varying",
        "integer",
    ),
    "replace_order": (
        "p_order_id bigint, p_quantity numeric DEFAULT NULL::numeric, p_price numeric DEFAULT NULL::numeric, "
        "p_stop_price numeric DEFAULT NULL::numeric",
        "boolean",
    ),
    "expire_day_orders": (
        "p_before timestamp without time zone DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'::text)",
        "integer",
    ),
    "match_pending": ("", "integer"),
    "deposit": (
        "p_account_id bigint, p_amount numeric, p_description character varying DEFAULT NULL::character varying",
        "bigint",
    ),
    "withdraw": (
        "p_account_id bigint, p_amount numeric, p_description character varying DEFAULT NULL::character varying",
        "bigint",
    ),
    "adjust": ("p_account_id bigint, p_amount numeric, p_description character varying", "bigint"),
    "calculate_position_pnl": ("p_position_id bigint, p_current_price numeric", "numeric"),
    "refresh_pnl": ("p_account_id bigint DEFAULT NULL::bigint", "integer"),
    "order_book": (
        "p_instrument_id bigint, p_depth integer DEFAULT 20",
        "TABLE(side character varying, price numeric, quantity numeric, orders bigint)",
    ),
    "candles": (
        "p_instrument_id bigint, p_interval interval, p_from timestamp without time zone, p_to timestamp without time zone",
        'TABLE("time" timestamp without time zone, open numeric, high numeric, low numeric, close numeric, volume numeric)',
    ),
    "prints": (
        "p_instrument_id bigint, p_limit integer DEFAULT 50, p_before bigint DEFAULT NULL::bigint",
        "TABLE(print_id bigint, executed_at timestamp without time zone, side character varying, quantity numeric, price numeric)",
    ),
    "account_state": (
        "p_account_id bigint, p_at timestamp without time zone DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'::text), "
        "p_event_id bigint DEFAULT NULL::bigint",
        "jsonb",
    ),
    "account_events": (
        "p_account_id bigint, p_from timestamp without time zone DEFAULT NULL::timestamp without time zone, "
        "p_to timestamp without time zone DEFAULT NULL::timestamp without time zone, p_kinds text[] DEFAULT NULL::text[], "
        "p_instrument_id bigint DEFAULT NULL::bigint, p_order_id bigint DEFAULT NULL::bigint, "
        "p_after bigint DEFAULT NULL::bigint, p_limit bigint DEFAULT NULL::bigint",
        "TABLE(event_id bigint, at timestamp without time zone, kind character varying, order_id bigint, "
        "instrument_id bigint, detail jsonb)",
    ),
    "verify_ledger": (
        "p_account_id bigint DEFAULT NULL::bigint",
        "TABLE(invariant text, subject text, detail jsonb)",
    ),
}


def check(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, CONTRACT, url], capture_output=True, text=True, check=False)


@pytest.mark.skipif(
    not CONTRACT.exists(), reason="the contract lies beside the project, and here it does not"
)
async def test_the_schema_keeps_the_contract(database_url: str) -> None:
    result = check(database_url)
    assert result.returncode == 0, result.stdout + result.stderr


async def test_the_sql_interface_is_what_it_promises(database: Database) -> None:
    rows = await database.fetch(
        """select p.proname, pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result
           from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = any ($1)""",
        list(INTERFACE),
    )
    assert {row["proname"]: (row["arguments"], row["result"]) for row in rows} == INTERFACE
    async with database.connection() as connection:
        summary = (await connection.prepare("select * from account_summary(1)")).get_attributes()
    assert " ".join(column.name for column in summary) == (
        "balance reserved available equity realized_pnl unrealized_pnl commissions initial_margin maintenance_margin buying_power margin_call"
    )


async def test_nothing_is_open_to_the_public(database: Database) -> None:
    """Functions run with the owner's rights: each pins its search_path, and none is anybody's to call by default."""
    rows = await database.fetch(
        """select p.oid::regprocedure::text as name, p.prosecdef, p.proconfig,
                  exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0) as open
           from pg_proc p where p.pronamespace in ('public'::regnamespace, 'internal'::regnamespace)
             and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"""
    )
    assert len(rows) > 30
    assert [row["name"] for row in rows if row["open"]] == []
    unpinned = [
        row["name"]
        for row in rows
        if row["prosecdef"]
        and not any(s.startswith("search_path=pg_catalog, pg_temp") for s in row["proconfig"] or [])
    ]
    assert unpinned == []
    assert not await database.fetchval("select has_schema_privilege('public', 'internal', 'usage')")


@pytest.mark.parametrize(
    "binaries",
    SYSTEM_SERVERS or [pytest.param(None, marks=pytest.mark.skip("the machine has no other PostgreSQL"))],
)
async def test_an_older_server_serves_as_well(binaries: Path) -> None:
    """The schema, the contract and a trade on PostgreSQL 15 to 17."""
    with system_server(binaries) as url:
        await migrate(url)
        if CONTRACT.exists():
            result = check(url)
            assert result.returncode == 0, result.stdout + result.stderr
        async with await Database.open(url) as database:
            stage = await Stage.open(database, url)
            seller, buyer = await stage.margin(), await stage.cash("1000")
            await stage.sell(seller, 5, "100")
            stop = await stage.buy(seller, 1, "101", stop="100")
            assert await stage.status(await stage.buy(buyer, 8, "100")) == ("partially_filled", Decimal(5))
            assert (await stage.status(stop))[0] == "open"
            assert (await stage.summary(buyer))["available"] == 200
            await stage.close()
