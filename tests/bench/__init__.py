"""How fast the exchange is, measured beside pgbench's TPC-B on the same server: `python -m tests.bench`.

- `__main__` the command, `report` its table, `runner` rounds, medians and ratios, `stage` the server
- `market` who trades and what there is, `flow` what they send, `load` pgbench
- one module per bench: `resting`, `mixed`, `batches`, `python_client`, `depth`
- `python_venue`, `python_records`, `python_statements` the client that does the matching in Python, which
  `python_client` compares with; `worker` a process of either
"""
