"""Harness that times two workloads in turns and reports their ratio.

The ratio is stable, while each speed alone drifts with the machine.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ENGINE = Path(__file__).parents[2] / "rust_env" / "Cargo.toml"

Speed = Callable[[], float]
"""Runs a workload once and returns its speed, such as steps per second."""


@dataclass
class Row:
    """A row of the table: a measured value and its target."""

    what: str
    measured: str
    target: str = ""
    is_met: bool | None = None
    """None if there is no target, or nothing to compare with."""


@dataclass
class Table:
    """Rows of a benchmark run.

    With `is_quick`, workloads are too short for meaningful results.
    """

    is_quick: bool
    rows: list[Row] = field(default_factory=list)

    def amount(self, full: int, quick: int) -> int:
        """The size of a workload."""
        return quick if self.is_quick else full

    def add(self, what: str, measured: str, target: str = "", is_met: bool | None = None) -> None:
        """Add a row."""
        self.rows.append(Row(what, measured, target, is_met))

    def compare(self, what: str, one: Speed, other: Speed, at_least: float) -> None:
        """Add the ratio of two speeds: median and range over several rounds.

        Args:
            what: Description of both workloads.
            one: The workload in the numerator.
            other: The workload in the denominator.
            at_least: The target.
        """
        speeds = []
        for round_number in range(self.amount(9, 1)):
            # The order alternates, because the second workload finds a warmer machine.
            if round_number % 2:
                speeds.append((one(), other()))
            else:
                second, first = other(), one()
                speeds.append((first, second))
        ratios = sorted(first / second for first, second in speeds)
        ratio = statistics.median(ratios)
        first, second = (statistics.median(column) for column in zip(*speeds, strict=True))
        self.add(
            what,
            f"{ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}): {first:,.0f}/s against {second:,.0f}/s",
            f"{at_least:g}",
            ratio >= at_least,
        )


def engine_speed(bench: str, name: str) -> float:
    """Elements per second of one of the engine's benchmarks.

    Raises:
        LookupError: If cargo or the benchmark is missing.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise LookupError("cargo is missing")
    command = [cargo, "bench", "-q", "--locked", "--manifest-path", str(ENGINE), "--bench", bench, "--"]
    run = subprocess.run([*command, "--quick", f"^{name}$"], capture_output=True, text=True, check=False)
    found = re.search(r"thrpt:\s*\[\S+ \S+ (\S+) ([KMG]?)elem/s", run.stdout)
    if found is None:
        raise LookupError(f"no result for {name!r}: {run.stdout}{run.stderr}")
    return float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[found[2]]
