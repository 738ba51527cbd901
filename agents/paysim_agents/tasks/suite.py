"""The suite of single-learner tasks: what each teaches, and the results that `paysim_agents.tasks` measures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paysim_gym.envs.registration import ENV_SCENARIOS

RESULTS_FILE = Path(__file__).parent / "tasks.json"
"""The published results."""


@dataclass(frozen=True)
class Task:
    """A day to be played by one bank.

    Attributes:
        id: Of the environment.
        teaches: What there is to learn.
        receipts_are_fixed: Whether what the learner receives is the same whatever it does, so that its
            hindsight optimum is exact, on each day on which the solver comes to an end.
    """

    id: str
    teaches: str
    receipts_are_fixed: bool = True

    @property
    def scenario(self) -> str:
        """Name of the bundled scenario."""
        return ENV_SCENARIOS[self.id]


TASKS = (
    Task("PaySim/DeadlineLumps-v0", "lumps: which payments to overdraw for at their deadline"),
    Task("PaySim/MarginCalls-v0", "scarce credit: what to keep for what comes later, and until when"),
    Task("PaySim/OverdraftTiers-v0", "convex prices: whom to pay while credit is cheap"),
    Task("PaySim/ReceiptWaves-v0", "rhythm: what to overdraw for before the next receipts"),
    Task("PaySim/LiquidityPool-v0", "commitment: how much liquidity to buy before the day is known"),
    Task(
        "PaySim/ReactingBanks-v0",
        "reaction: whom to pay so that the money comes back",
        receipts_are_fixed=False,
    ),
)
"""The suite, in the order of its table."""


def choose(ids: list[str] | None) -> list[Task]:
    """The tasks with these ids, or all of them.

    Raises:
        ValueError: If one is unknown.
    """
    known = {task.id: task for task in TASKS}
    unknown = [name for name in ids or () if name not in known]
    if unknown:
        raise ValueError(f"task = {unknown[0]!r}: must be one of {', '.join(known)}")
    return [known[name] for name in ids] if ids else list(TASKS)


def load_results(path: Path) -> dict[str, Any]:
    """Results as the command has written them.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds none.
    """
    results = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(results, dict) or "tasks" not in results:
        raise ValueError(f"{path}: holds no results of paysim_agents.tasks")
    return results
