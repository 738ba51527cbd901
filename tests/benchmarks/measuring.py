"""Two workloads timed in turns: their ratio is steady where each alone drifts with the machine."""

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
"""Runs a workload once and returns its speed, such as steps a second."""


@dataclass
class Row:
    """One line of the table: a figure beside its target."""

    what: str
    measured: str
    target: str = ""
    is_met: bool | None = None
    """None where there is no target, or nothing to compare with."""


@dataclass
class Table:
    """The lines of a run; with `is_quick` workloads are so short that only their running means anything."""

    is_quick: bool
    rows: list[Row] = field(default_factory=list)

    def amount(self, full: int, quick: int) -> int:
        """How much of a workload to run."""
        return quick if self.is_quick else full

    def add(self, what: str, measured: str, target: str = "", is_met: bool | None = None) -> None:
        """Add a line."""
        self.rows.append(Row(what, measured, target, is_met))

    def compare(self, what: str, one: Speed, other: Speed, at_least: float) -> None:
        """Add the ratio of two speeds: the median of several rounds, with the lowest and the highest.

        Args:
            what: Names both.
            one: Whose speed is divided,
            other: by this one's.
            at_least: The target.
        """
        speeds = []
        for round_number in range(self.amount(9, 1)):
            # Whoever goes second finds a warmer machine: they take turns.
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
    """Elements a second of one of the engine's own benchmarks.

    Raises:
        LookupError: Without cargo, or without such a benchmark.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise LookupError("cargo is missing")
    command = [cargo, "bench", "-q", "--locked", "--manifest-path", ENGINE, "--bench", bench, "--"]
    run = subprocess.run([*command, "--quick", f"^{name}$"], capture_output=True, text=True, check=False)
    found = re.search(r"thrpt:\s*\[\S+ \S+ (\S+) ([KMG]?)elem/s", run.stdout)
    if found is None:
        raise LookupError(f"no figure for {name!r}: {run.stdout}{run.stderr}")
    return float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[found[2]]
