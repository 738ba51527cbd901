"""Plays and stores runs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from paysim_gym import Orchestrator, load_scenario
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.output import OUTPUTS, EventFilter, TextSink
from paysim_gym.simulate.persistence import PersistenceManager
from paysim_gym.simulate.records import RunnerConfig, RunPlan, TickRecord
from paysim_gym.simulate.runner import SimulationRunner
from paysim_gym.simulate.store import Store


def plan_of(source: Any, max_ticks: int | None = None, *, persist: bool = False) -> RunPlan:
    """The plan of a scenario's days, at most `max_ticks`."""
    scenario = load_scenario(source)
    config = RunnerConfig(
        total_ticks=max_ticks or scenario.ticks_per_day * scenario.num_days,
        ticks_per_day=scenario.ticks_per_day,
        num_days=scenario.num_days,
        persist=persist,
    )
    return RunPlan.from_scenario(scenario, source if isinstance(source, str) else "scenario", config)


def live_ticks(source: Any) -> Iterator[TickRecord]:
    """The ticks that the engine plays of a scenario."""
    orchestrator = Orchestrator(source, record_events=True)
    while not orchestrator.is_over:
        yield TickRecord(orchestrator.tick(), orchestrator.events())


def printed(source: Any, mode: str, shown: EventFilter | None = None, max_ticks: int | None = None) -> str:
    """The output of a run."""
    text = io.StringIO()
    output = OUTPUTS[mode](TextSink(text), shown)
    SimulationRunner(Orchestrator(source), plan_of(source, max_ticks), output).run()
    return text.getvalue()


def live_metrics(source: Any, max_ticks: int | None = None) -> RunMetrics:
    """The metrics of a run."""
    output = OUTPUTS["normal"](TextSink(io.StringIO()))
    stats = SimulationRunner(Orchestrator(source), plan_of(source, max_ticks), output).run()
    return RunMetrics.model_validate(stats)


def store_run(
    store: Store, source: Any, mode: str = "normal", *, full: bool = True, max_ticks: int | None = None
) -> tuple[str, RunMetrics]:
    """Play and store a run; return its output and metrics."""
    scenario = load_scenario(source)
    text = io.StringIO()
    name = f"id-{len(store.runs()) + 1}"
    manager = PersistenceManager(store, name, full, mode=mode)
    plan = plan_of(source, max_ticks, persist=True)
    output = OUTPUTS[mode](TextSink(text))
    stats = SimulationRunner(Orchestrator(scenario), plan, output, manager).run()
    manager.persist_final_metadata(plan.name, scenario.model_dump(mode="json"))
    return text.getvalue(), RunMetrics.model_validate(stats)
