"""The loop that plays a run and passes it to output, metrics and persistence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from paysim_gym.orchestrator import Orchestrator
from paysim_gym.scenario import Scenario
from paysim_gym.simulate.accumulator import MetricsAccumulator
from paysim_gym.simulate.output import OutputStrategy
from paysim_gym.simulate.records import (
    DayReport,
    ReadOnlyOrchestrator,
    RunnerConfig,
    RunPlan,
    StateReader,
    TickRecord,
    TickSource,
)


class Persistence(Protocol):
    """Stores a run; the caller records how the run ended."""

    @property
    def full_replay(self) -> bool:
        """Whether it stores ticks and events too."""

    def begin(self, plan: RunPlan, scenario: Scenario) -> None:
        """Add the run, before its first tick."""

    def save_tick(self, record: TickRecord) -> None:
        """Add a tick to the day in progress."""

    def save_day(self, report: DayReport) -> None:
        """Store a day atomically."""


class SimulationRunner:
    """Plays a run and passes it to output, metrics and persistence."""

    def __init__(
        self,
        orchestrator: TickSource,
        runner_config: RunnerConfig,
        output: OutputStrategy,
        persistence: Persistence | None = None,
    ) -> None:
        """Prepare a run of a system that has not played a tick.

        Args:
            orchestrator: The system, an `Orchestrator` or a stored run.
            runner_config: What is played and kept; a `RunPlan` also names the scenario.
            output: Output mode.
            persistence: Stores the run, if `runner_config.persist` is set.

        Raises:
            ValueError: If the configuration does not fit the system or the persistence.
        """
        if orchestrator.next_tick:
            raise ValueError(f"the system has played {orchestrator.next_tick} ticks: a run begins at tick 0")
        if runner_config.persist and persistence is None:
            raise ValueError("persist = True: needs a persistence")
        name = runner_config.name if isinstance(runner_config, RunPlan) else "scenario"
        plan = RunPlan.from_scenario(orchestrator.scenario, name, runner_config)
        self._persistence = persistence if plan.persist else None
        if self._persistence is not None:
            if plan.full_replay and not self._persistence.full_replay:
                raise ValueError("full_replay = True: needs a persistence with full_replay")
            plan = replace(plan, full_replay=self._persistence.full_replay)
        self.plan = plan
        self.accumulator = MetricsAccumulator.for_banks(plan.banks)
        self._orchestrator = orchestrator
        is_live = isinstance(orchestrator, Orchestrator)
        self._reader: StateReader = orchestrator if is_live else ReadOnlyOrchestrator(orchestrator)
        self._output = output

    def run(self) -> dict[str, Any]:
        """Play all ticks and return the final statistics, a `RunMetrics` as a dict."""
        self._orchestrator.start_recording()
        if self._persistence:
            self._persistence.begin(self.plan, self._orchestrator.scenario)
        self._output.on_simulation_start(self.plan)
        played = 0
        while played < self.plan.total_ticks and not self._orchestrator.is_over:
            played += 1
            self._play_tick(is_last=played == self.plan.total_ticks)
        final_stats = self.accumulator.metrics().to_dict()
        self._output.on_simulation_complete(final_stats)
        return final_stats

    def _play_tick(self, *, is_last: bool) -> None:
        orchestrator = self._orchestrator
        self._output.on_tick_start(orchestrator.next_tick)
        record = TickRecord(orchestrator.tick(), orchestrator.events())
        self.accumulator.apply(record, orchestrator.next_tick)
        if self._persistence:
            self._persistence.save_tick(record)
        self._output.on_tick_complete(record, self._reader)
        if record.ends_day or is_last or orchestrator.is_over:
            self._close_day(is_complete=record.ends_day)

    def _close_day(self, *, is_complete: bool) -> None:
        report = self.accumulator.close_day(is_complete=is_complete)
        if self._persistence:
            self._persistence.save_day(report)
        self._output.on_day_complete(report.day.day, report.stats(), self._reader)
