"""Prints the table of a benchmark run."""

from __future__ import annotations

import pytest
from benchmarks.measuring import Table
from rich.console import Console
from rich.table import Table as Printed

TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run each benchmark briefly, as a smoke test")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table(config.getoption("--quick"))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """The table of the run."""
    return request.config.stash[TABLE]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    is_quick = config.stash[TABLE].is_quick
    title = "smoke test: the results mean nothing" if is_quick else None
    printed = Printed("what", "measured", "target", "", title=title)
    for row in config.stash[TABLE].rows:
        verdict = {True: "met", False: "missed", None: ""}[None if is_quick else row.is_met]
        printed.add_row(row.what, row.measured, row.target, verdict)
    Console(file=terminalreporter._tw._file, width=140).print(printed)
