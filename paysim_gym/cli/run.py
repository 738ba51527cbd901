"""`paysim run` and `paysim replay`."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paysim_gym.cli.terminal import ArgumentError, EngineFailedError, NoColor, PipeClosedError, Terminal, note
from paysim_gym.validation_errors import format_value

if TYPE_CHECKING:
    from paysim_gym.scenario import Scenario
    from paysim_gym.simulate.output import EventFilter, OutputStrategy
    from paysim_gym.simulate.persistence import PersistenceManager
    from paysim_gym.simulate.records import RunPlan
    from paysim_gym.simulate.runner import SimulationRunner
    from paysim_gym.simulate.store import Status, Store

ScenarioName = Annotated[
    str, typer.Argument(help="Name of a bundled scenario, or a YAML file.", show_default=False)
]
StorePath = Annotated[
    Path, typer.Option("--store", metavar="FILE", envvar="PAYSIM_STORE", help="DuckDB file with stored runs.")
]
DEFAULT_STORE = Path("paysim.duckdb")
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Number of a run, or `last`.", show_default=False)
]

Mode = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Output mode; the next three flags are shorthands."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print every event as text.")]
Stream = Annotated[bool, typer.Option("--stream", help="Print one line of JSON per tick.")]
EventStream = Annotated[bool, typer.Option("--event-stream", help="Print one line of JSON per event.")]
Banks = Annotated[list[str] | None, typer.Option("--bank", help="Only events of this bank (repeatable).")]
Payments = Annotated[
    list[int] | None,
    typer.Option("--payment", help="Only events of this payment and of its parts (repeatable)."),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only events of this type (repeatable).")]
First = Annotated[int | None, typer.Option("--from", min=0, help="First tick to print.")]
Last = Annotated[int | None, typer.Option("--to", min=0, help="Last tick to print.")]
Ticks = Annotated[
    int | None, typer.Option(min=1, help="Number of ticks to simulate.", show_default="all days")
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**64 - 1, help="Seed of the demand.", show_default="the scenario's")
]


def run(
    scenario: ScenarioName,
    *,
    mode: Mode = None,
    verbose: Verbose = False,
    stream: Stream = False,
    event_stream: EventStream = False,
    ticks: Ticks = None,
    seed: Seed = None,
    persist: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Store the run in this DuckDB file, day by day.")
    ] = None,
    full_replay: Annotated[
        bool, typer.Option("--full-replay", help="Store ticks and events too, for `paysim replay`.")
    ] = False,
    bank: Banks = None,
    payment: Payments = None,
    type_: Types = None,
    first: First = None,
    last: Last = None,
    no_color: NoColor = False,
) -> None:
    """Simulate a scenario with the policies that it names.

    [bold]Examples[/bold]

    paysim run two_bank

    paysim run my_system.yaml --event-stream --bank BANK_A --type settlement --from 10 --to 20

    paysim run five_bank --seed 7 --persist runs.duckdb --full-replay
    """
    from paysim_gym.orchestrator import Orchestrator
    from paysim_gym.scenario import load_scenario
    from paysim_gym.simulate.runner import SimulationRunner

    if full_replay and persist is None:
        raise ArgumentError("--full-replay: needs --persist FILE")
    loaded = load_scenario(scenario)
    if seed is not None:
        loaded = loaded.model_copy(update={"seed": seed})
    plan = _plan(loaded, scenario, ticks, persist=persist is not None, full_replay=full_replay)
    name = _mode(mode, verbose=verbose, stream=stream, event_stream=event_stream) or "normal"
    shown = _filter(plan, bank, payment, type_, first, last)
    with Terminal(no_color=no_color) as terminal:
        output = _output(name, terminal, shown)
        orchestrator = Orchestrator(loaded, record_events=True)
        if persist is None:
            _play(SimulationRunner(orchestrator, plan, output))
            return
        from paysim_gym.simulate.persistence import PersistenceManager
        from paysim_gym.simulate.store import Store

        with Store(persist) as store:
            manager = PersistenceManager(store, str(uuid.uuid4()), full_replay, mode=name, event_filter=shown)
            _play_and_keep(SimulationRunner(orchestrator, plan, output, manager), manager, store, loaded)


def replay(
    run: RunName,
    *,
    store: StorePath = DEFAULT_STORE,
    mode: Mode = None,
    verbose: Verbose = False,
    stream: Stream = False,
    event_stream: EventStream = False,
    bank: Banks = None,
    payment: Payments = None,
    type_: Types = None,
    first: First = None,
    last: Last = None,
    no_color: NoColor = False,
) -> None:
    """Print a run that was stored with --full-replay.

    Without options the output equals that of the live run.

    [bold]Examples[/bold]

    paysim replay 3 --store runs.duckdb

    paysim replay last --verbose --from 10 --to 20
    """
    from paysim_gym.simulate.persistence import ReplayedOrchestrator
    from paysim_gym.simulate.runner import SimulationRunner
    from paysim_gym.simulate.store import Store

    with Store(store, must_exist=True) as opened, Terminal(no_color=no_color) as terminal:
        stored = opened.run(run)
        source = ReplayedOrchestrator(opened, stored)
        other = _mode(mode, verbose=verbose, stream=stream, event_stream=event_stream)
        chosen = any(value is not None for value in (other, bank, payment, type_, first, last))
        asked = _filter(source.plan, bank, payment, type_, first, last)
        shown = asked if chosen else stored.event_filter
        plan = replace(source.plan, persist=False)
        _play(SimulationRunner(source, plan, _output(other or stored.mode, terminal, shown)), quiet=True)


def _plan(scenario: Scenario, name: str, ticks: int | None, *, persist: bool, full_replay: bool) -> RunPlan:
    from paysim_gym.simulate.records import RunnerConfig, RunPlan

    config = RunnerConfig(
        total_ticks=ticks or scenario.ticks_per_day * scenario.num_days,
        ticks_per_day=scenario.ticks_per_day,
        num_days=scenario.num_days,
        persist=persist,
        full_replay=full_replay,
    )
    return RunPlan.from_scenario(scenario, name, config)


def _mode(mode: str | None, *, verbose: bool, stream: bool, event_stream: bool) -> str | None:
    flags = {"verbose": verbose, "stream": stream, "event_stream": event_stream}
    asked = [name for name, is_on in flags.items() if is_on] + ([mode] if mode else [])
    if len(asked) > 1:
        raise ArgumentError(f"mode: must be one, not {' and '.join(asked)}")
    return asked[0] if asked else None


def _filter(
    plan: RunPlan,
    banks: list[str] | None,
    payments: list[int] | None,
    types: list[str] | None,
    first: int | None,
    last: int | None,
) -> EventFilter:
    from paysim_gym.simulate.formatting import EVENT_FORMATTERS
    from paysim_gym.simulate.output import EventFilter

    for option, given, known in (("--bank", banks, plan.banks), ("--type", types, tuple(EVENT_FORMATTERS))):
        for value in given or ():
            if value not in known:
                raise ArgumentError(f"{option} = {format_value(value)}: must be one of {', '.join(known)}")
    if last is not None and last < (first or 0):
        raise ArgumentError(f"--to = {last}: must be at least --from, {first}")
    return EventFilter(
        frozenset(banks or ()), frozenset(payments or ()), frozenset(types or ()), first or 0, last
    )


def _output(name: str, terminal: Terminal, shown: EventFilter) -> OutputStrategy:
    from paysim_gym.simulate.output import OUTPUTS

    output = OUTPUTS.get(name)
    if output is None:
        raise ArgumentError(f"--mode = {format_value(name)}: must be one of {', '.join(OUTPUTS)}")
    if shown.selects_events and not output.shows_events:
        modes = ", ".join(other for other, kind in OUTPUTS.items() if kind.shows_events)
        raise ArgumentError(f"--bank, --payment and --type: need one of the modes {modes}, not {name}")
    if (shown.first_tick or shown.last_tick is not None) and not output.shows_ticks:
        modes = ", ".join(other for other, kind in OUTPUTS.items() if kind.shows_ticks)
        raise ArgumentError(f"--from and --to: need one of the modes {modes}, not {name}")
    return output(terminal, shown)


def _play(runner: SimulationRunner, *, quiet: bool = False) -> None:
    start = time.perf_counter()
    try:
        ticks = runner.run()["total_ticks"]
    except RuntimeError as error:
        raise EngineFailedError(str(error)) from error
    seconds = time.perf_counter() - start
    if not quiet:
        note(f"{ticks} ticks in {seconds:.2f} s, {ticks / seconds:,.0f} a second")


def _play_and_keep(
    runner: SimulationRunner, manager: PersistenceManager, store: Store, scenario: Scenario
) -> None:
    """Play a run and store its status at the end."""

    def end(status: Status) -> None:
        if manager.run is None:  # failed before its first tick
            return
        manager.persist_final_metadata(runner.plan.name, scenario.model_dump(mode="json"), status=status)

    try:
        _play(runner)
    except (KeyboardInterrupt, PipeClosedError):
        end("interrupted")
        note(f"interrupted; the completed days of run {manager.run} are stored in {store.path}")
        raise
    except BaseException:
        end("failed")
        raise
    end("completed")
    note(f"run {manager.run} is stored in {store.path}")
