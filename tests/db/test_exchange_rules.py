"""Each trading rule has scenarios that cite it; `pytest tests/db/test_exchange_rules.py -s` prints which."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

RULES = range(1, 25)
CITATION = re.compile(r"\bRules? (\d+(?:(?:, | and |, and )\d+)*)")


def scenarios() -> dict[int, list[str]]:
    """Rule → the tests whose docstring cites it."""
    found = defaultdict(list)
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name.startswith("test_"):
                for citation in CITATION.findall(ast.get_docstring(node) or ""):
                    for rule in re.findall(r"\d+", citation):
                        found[int(rule)].append(f"{file.stem}::{node.name}")
    return found


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_scenarios(rule: int) -> None:
    told = scenarios()[rule]
    print(f"{rule}: {', '.join(told)}")  # noqa: T201
    assert told
