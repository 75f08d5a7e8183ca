"""A pytest plugin: which tests run which line, and how long each takes, into the file that ``MUTANTS_MAP`` names."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import coverage
import pytest

MEASURED = coverage.Coverage(data_file=None, include=os.environ["MUTANTS_FILES"].split(os.pathsep))
MEASURED.start()  # before anything is imported that is measured
SECONDS: dict[str, float] = defaultdict(float)
MOST_TESTS, MOST_SECONDS = 60, 20.0
"""A mutant is given to so many of the tests that run its line, the quickest: what survives those is a gap as well."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Fixtures count for the test that asked for them first."""
    MEASURED.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        MEASURED.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds up set-up, call and tear-down."""
    SECONDS[report.nodeid] += report.duration if not report.failed else 1e6


def pytest_sessionfinish() -> None:
    """Writes file -> line -> tests, quickest first; line "0" has those that run anything of the file."""
    MEASURED.stop()
    data, found = MEASURED.get_data(), {}
    for path in data.measured_files():
        lines: dict[str, set[str]] = {"0": set()}
        for line, tests in data.contexts_by_lineno(path).items():
            lines[str(line)] = {test for test in tests if test and SECONDS[test] < 1e6}  # failed ones tell nothing
            lines["0"] |= lines[str(line)]
        found[path] = {line: _quickest(tests) for line, tests in lines.items()}
    Path(os.environ["MUTANTS_MAP"]).write_text(json.dumps(found))


def _quickest(tests: set[str]) -> list[str]:
    """The quickest first, at least one, together within the limits above."""
    ordered = sorted(tests, key=SECONDS.__getitem__)[:MOST_TESTS]
    totals = accumulate(SECONDS[test] for test in ordered)
    return [
        test
        for number, (test, total) in enumerate(zip(ordered, totals, strict=True))
        if not number or total < MOST_SECONDS
    ]
