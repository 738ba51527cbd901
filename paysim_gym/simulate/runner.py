"""The one loop that plays a run, whoever watches and whatever keeps it."""

from __future__ import annotations

from typing import Protocol

from paysim_gym.orchestrator import Orchestrator
from paysim_gym.scenario import ScenarioSource, load_scenario
from paysim_gym.simulate.event_replay import EventReplay
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.output import OutputStrategy
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord, TickSource
from paysim_gym.simulate.statistics import Statistics


class Persistence(Protocol):
    """Keeps a run; the metadata of its end are the caller's to keep."""

    def keep_tick(self, record: TickRecord) -> None:
        """Take up a tick."""

    def keep_day(self, report: DayReport) -> None:
        """Keep the ticks of a day that is over, all of it or nothing."""


class LiveTicks:
    """Ticks as the engine plays them.

    Attributes:
        scenario: The checked scenario that runs.
        plan: What is played.
    """

    def __init__(
        self, scenario: ScenarioSource, *, name: str | None = None, max_ticks: int | None = None
    ) -> None:
        """Start a run of the scenario's own `seed`.

        Args:
            scenario: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
            name: What to call it; by default the name or path that is given.
            max_ticks: Ticks to play at most; None: all days.

        Raises:
            ScenarioError: A ValueError that lists every problem of the scenario.
            ValueError: If `max_ticks` is below 1.
        """
        if max_ticks is not None and max_ticks < 1:
            raise ValueError(f"max_ticks = {max_ticks}: must be at least 1")
        checked = load_scenario(scenario)
        known = isinstance(scenario, str) or hasattr(scenario, "__fspath__")
        self.scenario = checked
        self.plan = RunPlan.of(checked, name or (str(scenario) if known else "scenario"), max_ticks)
        self._orchestrator = Orchestrator(checked, record_events=True)
        self._played = 0

    @property
    def is_over(self) -> bool:
        """Whether all that is planned has been played."""
        return self._orchestrator.is_over or self._played == self.plan.ticks

    def tick(self) -> TickRecord:
        """Play a tick.

        Raises:
            EpisodeOverError: If the run is over.
        """
        outcome = self._orchestrator.tick()
        self._played += 1
        return TickRecord(outcome, self._orchestrator.events())


class SimulationRunner:
    """Plays a run from its source: tells its output, counts its statistics, feeds its persistence.

    Attributes:
        statistics: Counts so far.
    """

    def __init__(
        self, source: TickSource, output: OutputStrategy, persistence: Persistence | None = None
    ) -> None:
        self.statistics = Statistics.of(source.plan.banks)
        self._books = EventReplay(source.plan.rails)
        self._source = source
        self._output = output
        self._persistence = persistence
        self._next_tick = 0

    def run(self) -> RunMetrics:
        """Play all ticks of the source.

        Returns:
            The figures of the run.
        """
        self._output.on_simulation_start(self._source.plan)
        while not self._source.is_over:
            self._play_tick()
        metrics = self.statistics.metrics()
        self._output.on_simulation_complete(metrics)
        return metrics

    def _play_tick(self) -> None:
        ticks_per_day = self._source.plan.ticks_per_day
        self._output.on_tick_start(self._next_tick // ticks_per_day, self._next_tick)
        record = self._source.tick()
        ends_day = record.ends_day
        # An early close leaves out the rest of the day's ticks.
        self._next_tick = (record.outcome["day"] + 1) * ticks_per_day if ends_day else self._next_tick + 1
        self.statistics.apply(record, self._next_tick)
        for event in record.events:
            self._books.apply(event)
        if self._persistence:
            self._persistence.keep_tick(record)
        self._output.on_tick_complete(record, self._books)
        if ends_day or self._source.is_over:
            self._close_day(is_whole=ends_day)

    def _close_day(self, *, is_whole: bool) -> None:
        report = self.statistics.close_day(is_whole=is_whole)
        if self._persistence:
            self._persistence.keep_day(report)
        self._output.on_day_complete(report)
