"""The suite of single-learner tasks and the loader of its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paysim_gym.envs.registration import ENV_SCENARIOS

RESULTS_FILE = Path(__file__).parent / "tasks.json"
"""Published results of `paysim tasks`."""

PLANNER_VERSION = 2
"""Version of the planner in new results; results without a version have version 1."""
_NOTES = {
    1: "Planner figures were measured when redrawn futures still showed the present tick's receipts, which a "
    "treasurer cannot know."
}


@dataclass(frozen=True)
class Task:
    """A one-day environment with one learner.

    Attributes:
        id: Id of the environment.
        teaches: The trade-off that a policy has to learn.
        receipts_are_fixed: Whether the receipts are the same for all actions of the learner. The hindsight
            optimum is then exact on each day on which the solver finishes.
    """

    id: str
    teaches: str
    receipts_are_fixed: bool = True

    @property
    def scenario(self) -> str:
        """Name of the task's bundled scenario."""
        return ENV_SCENARIOS[self.id]

    def find_results(self, results: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Finds the task's measurement in the content of a results file.

        Returns:
            The id of the environment in which it was measured and its entry, for the newest measured version;
            None without a measurement. Earlier versions of an environment have other observations or rewards,
            but the same payment system: costs of rules and of the hindsight optimum stay valid for the same
            choices of splits and pool shares.
        """
        name, version = self.id.rsplit("-v", 1)
        ids = [f"{name}-v{earlier}" for earlier in range(int(version), -1, -1)]
        return next(((one, results["tasks"][one]) for one in ids if one in results["tasks"]), None)


TASKS = (
    Task("PaySim/DeadlineLumps-v1", "lump-sum deadline penalties: which payments justify an overdraft"),
    Task("PaySim/MarginCalls-v1", "scarce credit: how much liquidity to reserve, and until when"),
    Task("PaySim/OverdraftTiers-v1", "convex overdraft prices: which payments to make while credit is cheap"),
    Task("PaySim/ReceiptWaves-v1", "periodic receipts: which payments to overdraw for before the next wave"),
    Task("PaySim/LiquidityPool-v1", "commitment: how much liquidity to buy before demand is known"),
    Task(
        "PaySim/ReactingBanks-v1",
        "reacting banks: which payments to make so that counterparties pay in return",
        receipts_are_fixed=False,
    ),
)
"""All tasks in the order of the table."""


def select_tasks(ids: list[str] | None) -> list[Task]:
    """Returns the tasks with these ids, or all; raises ValueError for an unknown id."""
    known = {task.id: task for task in TASKS}
    unknown = [name for name in ids or () if name not in known]
    if unknown:
        raise ValueError(f"task = {unknown[0]!r}: must be one of {', '.join(known)}")
    return [known[name] for name in ids] if ids else list(TASKS)


def planner_note(results: Mapping[str, Any]) -> str:
    """Returns a sentence on what an earlier planner knew, else nothing.

    Args:
        results: A mapping with the key `planner_version`, which early results lack.
    """
    return _NOTES.get(results.get("planner_version", 1), "")


def load_results(path: Path) -> dict[str, Any]:
    """Loads a results file of `paysim tasks`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a results file.
    """
    results = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(results, dict) or "tasks" not in results:
        raise ValueError(f"{path}: not a results file of paysim tasks")
    return results
