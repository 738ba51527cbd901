"""Records that a runner passes on: run plan, ticks and days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paysim_gym.scenario import Scenario
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import BankDayMetrics, DayMetrics


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    Attributes:
        name: Name of the scenario: a bundled name or a path.
        seed: Seed of the scenario.
        ticks_per_day: Ticks in a day.
        num_days: Days in the scenario.
        banks: Bank ids, in scenario order.
        rails: Rail ids, in scenario order.
        max_ticks: Maximum number of ticks; None plays all days.
    """

    name: str
    seed: int
    ticks_per_day: int
    num_days: int
    banks: tuple[str, ...]
    rails: tuple[str, ...]
    max_ticks: int | None = None

    @classmethod
    def from_scenario(cls, scenario: Scenario, name: str, max_ticks: int | None = None) -> RunPlan:
        """Return the plan that plays a scenario with its own seed."""
        return cls(
            name=name,
            seed=scenario.seed,
            ticks_per_day=scenario.ticks_per_day,
            num_days=scenario.num_days,
            banks=tuple(agent.id for agent in scenario.agents),
            rails=tuple(rail.id for rail in scenario.rails),
            max_ticks=max_ticks,
        )

    @property
    def ticks(self) -> int:
        """Maximum number of ticks; an early close skips some of them."""
        all_ticks = self.ticks_per_day * self.num_days
        return all_ticks if self.max_ticks is None else min(self.max_ticks, all_ticks)


@dataclass(frozen=True, slots=True)
class TickRecord:
    """A played tick: what `Orchestrator.tick` and `Orchestrator.events` returned."""

    outcome: Mapping[str, Any]
    events: Sequence[Event]

    @property
    def ends_day(self) -> bool:
        """Whether this was the last tick of its day."""
        return any(event["type"] == "day_end" for event in reversed(self.events))


@dataclass(frozen=True, slots=True)
class DayReport:
    """Metrics of a day, complete or not, with the banks in scenario order."""

    day: DayMetrics
    banks: tuple[BankDayMetrics, ...]


class TickSource(Protocol):
    """A source of ticks: a running engine or a stored run."""

    plan: RunPlan

    @property
    def is_over(self) -> bool:
        """Whether there are no more ticks."""

    def tick(self) -> TickRecord:
        """Return the next tick."""
