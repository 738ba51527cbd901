"""Records of a run: its configuration, ticks and days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from paysim_gym.scenario import Scenario
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import BankDayMetrics, DayMetrics, RunTotals


@dataclass(frozen=True, kw_only=True)
class RunnerConfig:
    """What a runner plays and keeps.

    Attributes:
        total_ticks: Maximum number of ticks; an early close skips some of them.
        ticks_per_day: Ticks in a day, as in the scenario.
        num_days: Days in the scenario.
        persist: Whether the run is stored.
        full_replay: Whether its ticks and events are stored too.
    """

    total_ticks: int
    ticks_per_day: int
    num_days: int
    persist: bool = False
    full_replay: bool = False

    def __post_init__(self) -> None:
        if self.total_ticks < 1:
            raise ValueError(f"total_ticks = {self.total_ticks}: must be at least 1")


@dataclass(frozen=True, kw_only=True)
class RunPlan(RunnerConfig):
    """The configuration of a runner with the scenario that it plays.

    Attributes:
        name: Name of the scenario: a bundled name or a path.
        seed: Seed of the scenario.
        banks: Bank ids, in scenario order.
        rails: Rail ids, in scenario order.
    """

    name: str
    seed: int
    banks: tuple[str, ...]
    rails: tuple[str, ...]

    @classmethod
    def from_scenario(
        cls, scenario: Scenario, name: str = "scenario", config: RunnerConfig | None = None
    ) -> Self:
        """Return the plan that plays a scenario with its own seed.

        Args:
            scenario: The scenario.
            name: Its name.
            config: Configuration of the runner; by default all days, without a store.

        Raises:
            ValueError: If the configuration has another clock than the scenario.
        """
        all_ticks = scenario.ticks_per_day * scenario.num_days
        if config is None:
            config = RunnerConfig(
                total_ticks=all_ticks, ticks_per_day=scenario.ticks_per_day, num_days=scenario.num_days
            )
        for field in ("ticks_per_day", "num_days"):
            given, expected = getattr(config, field), getattr(scenario, field)
            if given != expected:
                raise ValueError(f"{field} = {given}: must be that of the scenario, {expected}")
        return cls(
            total_ticks=min(config.total_ticks, all_ticks),
            ticks_per_day=config.ticks_per_day,
            num_days=config.num_days,
            persist=config.persist,
            full_replay=config.full_replay,
            name=name,
            seed=scenario.seed,
            banks=tuple(agent.id for agent in scenario.agents),
            rails=tuple(rail.id for rail in scenario.rails),
        )


@dataclass(frozen=True, slots=True)
class TickRecord:
    """A played tick: what `Orchestrator.tick` and `Orchestrator.events` returned."""

    outcome: Mapping[str, Any]
    events: Sequence[Event]

    @property
    def tick(self) -> int:
        """The tick, counted from the start of the run."""
        return int(self.outcome["tick"])

    @property
    def num_arrivals(self) -> int:
        """Payment orders that arrived."""
        return int(self.outcome["arrivals"])

    @property
    def num_settlements(self) -> int:
        """Payments that settled; each part of a split payment counts."""
        return int(self.outcome["settlements"])

    @property
    def ends_day(self) -> bool:
        """Whether this was the last tick of its day."""
        return any(event["type"] == "day_end" for event in reversed(self.events))


@dataclass(frozen=True, slots=True)
class DayReport:
    """Metrics of a day, complete or not, with the banks in scenario order."""

    day: DayMetrics
    banks: tuple[BankDayMetrics, ...]

    def stats(self) -> dict[str, Any]:
        """Return the metrics of the day as those of a run, and `is_complete`."""
        metrics = RunTotals().with_day(self.day, self.banks).metrics()
        return {"is_complete": self.day.is_complete, **metrics.to_dict()}


class StateReader(Protocol):
    """What the hooks of an output mode read: an `Orchestrator`, or a `ReadOnlyOrchestrator`."""

    @property
    def scenario(self) -> Scenario:
        """The scenario."""

    @property
    def is_over(self) -> bool:
        """Whether there are no more ticks."""

    @property
    def next_tick(self) -> int:
        """The next tick; at the end, the number of ticks."""

    def get_state(self) -> dict[str, Any]:
        """Return the state after the last tick."""


class TickSource(StateReader, Protocol):
    """What a runner plays: an `Orchestrator`, or a stored run."""

    def start_recording(self) -> None:
        """Record the events of the ticks from now on."""

    def tick(self) -> dict[str, Any]:
        """Play the next tick and return its outcome."""

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""


class ReadOnlyOrchestrator:
    """The state of a stored run, without the calls that play it."""

    def __init__(self, source: TickSource) -> None:
        """Read from the source of the run's ticks."""
        self._source = source

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        return self._source.scenario

    @property
    def is_over(self) -> bool:
        """Whether there are no more ticks."""
        return self._source.is_over

    @property
    def next_tick(self) -> int:
        """The next tick; at the end, the number of ticks."""
        return self._source.next_tick

    def get_state(self) -> dict[str, Any]:
        """Return the state after the last tick, as `Orchestrator.get_state` does."""
        return self._source.get_state()
