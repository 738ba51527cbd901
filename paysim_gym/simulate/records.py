"""What a runner hands on: the plan of a run, its ticks, its days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paysim_gym.scenario import Scenario
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import BankDay, Day


@dataclass(frozen=True)
class RunPlan:
    """What is to be played.

    Attributes:
        name: What the scenario is called: a bundled name or a path.
        seed: Its seed.
        ticks_per_day: Ticks in a day.
        num_days: Days in the scenario.
        banks: Ids, in the order of the scenario.
        rails: Ids, in the order of the scenario.
        max_ticks: Ticks to be played at most; None: all days.
    """

    name: str
    seed: int
    ticks_per_day: int
    num_days: int
    banks: tuple[str, ...]
    rails: tuple[str, ...]
    max_ticks: int | None = None

    @classmethod
    def of(cls, scenario: Scenario, name: str, max_ticks: int | None = None) -> RunPlan:
        """The plan to play a scenario with its own seed."""
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
        """Most ticks that can be played; an early close leaves some of them out."""
        whole = self.ticks_per_day * self.num_days
        return whole if self.max_ticks is None else min(self.max_ticks, whole)


@dataclass(frozen=True, slots=True)
class TickRecord:
    """A tick that has been played.

    Attributes:
        outcome: What `Orchestrator.tick` returned.
        events: What `Orchestrator.events` returned.
    """

    outcome: Mapping[str, Any]
    events: Sequence[Event]

    @property
    def ends_day(self) -> bool:
        """Whether it was its day's last tick."""
        return any(event["type"] == "day_end" for event in reversed(self.events))


@dataclass(frozen=True, slots=True)
class DayReport:
    """A day that is over, or in which the run has ended.

    Attributes:
        day: Its figures for the whole system.
        banks: Those of each bank, in the order of the scenario.
    """

    day: Day
    banks: tuple[BankDay, ...]


class TickSource(Protocol):
    """Where ticks come from: an engine that plays them, or a store that has kept them."""

    plan: RunPlan

    @property
    def is_over(self) -> bool:
        """Whether there are no more."""

    def tick(self) -> TickRecord:
        """The next one."""
