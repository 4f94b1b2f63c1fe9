"""The benchmarks run, and leave right books; how fast is `make bench`'s matter."""

from __future__ import annotations

import json

from click.testing import CliRunner

from tests.bench.__main__ import BENCHES, main


def test_quick_run_of_every_bench_leaves_right_books() -> None:
    # A ledger that is not right, and a request that fails, end the command with an error.
    run = CliRunner().invoke(main, ["--quick", "--json"], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    results = {result["bench"]: result for result in json.loads(run.stdout)}
    assert list(results) == list(BENCHES)
    for result in results.values():
        assert result["value"] > 0
        assert result["reference"] > 0

    # What is called a mix is one.
    notes = results["batches"]["notes"]
    assert notes["accepted of 100"] > 80
    assert notes["fills of 100"] > 20
    assert notes["triggered of 100"] > 0
    assert results["resting"]["notes"]["accepted of 100"] == 100
