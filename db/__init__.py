"""The data layer: all that touches Postgres; it knows nothing of screens.

Public names, one module per subject, to be imported where they are needed (the driver is loaded only then):

- `db.errors` – what can go wrong; `db.settings` – how to reach the server
- `db.database` – `Database`, the one object the rest of the program holds; `db.live` – what changed
- `db.orders`, `db.accounts`, `db.users`, `db.instruments`, `db.market` – typed functions over the SQL
  interface
- `db.journal`, `db.audit`, `db.replay_file` – the past, whether it is whole, and a file that proves it
- `db.schema.migrate` – brings a database's schema up to this program; `db.embedded` – the embedded server
- `db.feeds` – who else is in the market
"""

__all__ = [
    "accounts",
    "audit",
    "database",
    "embedded",
    "errors",
    "feeds",
    "instruments",
    "journal",
    "live",
    "market",
    "orders",
    "replay_file",
    "schema",
    "settings",
    "users",
]
