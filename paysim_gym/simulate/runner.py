"""The loop that plays a run and passes it to output, metrics and persistence."""

from __future__ import annotations

from typing import Protocol

from paysim_gym.orchestrator import Orchestrator
from paysim_gym.scenario import ScenarioSource, load_scenario
from paysim_gym.simulate.accumulator import MetricsAccumulator
from paysim_gym.simulate.event_replay import EventReplay
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.output import OutputStrategy
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord, TickSource


class Persistence(Protocol):
    """Stores a run; the caller records how the run ended."""

    def save_tick(self, record: TickRecord) -> None:
        """Add a tick to the day in progress."""

    def save_day(self, report: DayReport) -> None:
        """Store a day atomically."""


class LiveTicks:
    """Ticks that the engine plays of a validated scenario."""

    def __init__(
        self, scenario: ScenarioSource, *, name: str | None = None, max_ticks: int | None = None
    ) -> None:
        """Start a run with the scenario's own `seed`.

        Args:
            scenario: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
            name: Name of the run; defaults to the given name or path.
            max_ticks: Maximum number of ticks; None plays all days.

        Raises:
            ScenarioError: If the scenario is invalid; a ValueError that lists every error.
            ValueError: If `max_ticks` is below 1.
        """
        if max_ticks is not None and max_ticks < 1:
            raise ValueError(f"max_ticks = {max_ticks}: must be at least 1")
        self.scenario = load_scenario(scenario)
        has_name = isinstance(scenario, str) or hasattr(scenario, "__fspath__")
        default_name = str(scenario) if has_name else "scenario"
        self.plan = RunPlan.from_scenario(self.scenario, name or default_name, max_ticks)
        self._orchestrator = Orchestrator(self.scenario, record_events=True)
        self._played = 0

    @property
    def is_over(self) -> bool:
        """Whether all planned ticks have been played."""
        return self._orchestrator.is_over or self._played == self.plan.ticks

    def tick(self) -> TickRecord:
        """Play a tick; raises EpisodeOverError if the run is over."""
        outcome = self._orchestrator.tick()
        self._played += 1
        return TickRecord(outcome, self._orchestrator.events())


class SimulationRunner:
    """Plays a run and passes it to output, metrics and persistence."""

    def __init__(
        self, source: TickSource, output: OutputStrategy, persistence: Persistence | None = None
    ) -> None:
        self.accumulator = MetricsAccumulator.for_banks(source.plan.banks)
        self._replay = EventReplay(source.plan.rails)
        self._source = source
        self._output = output
        self._persistence = persistence
        self._next_tick = 0

    def run(self) -> RunMetrics:
        """Play all ticks of the source and return the metrics of the run."""
        self._output.on_simulation_start(self._source.plan)
        while not self._source.is_over:
            self._play_tick()
        metrics = self.accumulator.metrics()
        self._output.on_simulation_complete(metrics)
        return metrics

    def _play_tick(self) -> None:
        ticks_per_day = self._source.plan.ticks_per_day
        self._output.on_tick_start(self._next_tick // ticks_per_day, self._next_tick)
        record = self._source.tick()
        ends_day = record.ends_day
        # An early close skips the remaining ticks of the day.
        self._next_tick = (record.outcome["day"] + 1) * ticks_per_day if ends_day else self._next_tick + 1
        self.accumulator.apply(record, self._next_tick)
        for event in record.events:
            self._replay.apply(event)
        if self._persistence:
            self._persistence.save_tick(record)
        self._output.on_tick_complete(record, self._replay)
        if ends_day or self._source.is_over:
            self._close_day(is_complete=ends_day)

    def _close_day(self, *, is_complete: bool) -> None:
        report = self.accumulator.close_day(is_complete=is_complete)
        if self._persistence:
            self._persistence.save_day(report)
        self._output.on_day_complete(report)
