"""`paysim run` and `paysim replay`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paysim_gym.cli.terminal import ArgumentError, EngineFailedError, NoColor, PipeClosedError, Terminal, note
from paysim_gym.validation_errors import format_value

if TYPE_CHECKING:
    from paysim_gym.simulate.output import EventFilter, OutputStrategy
    from paysim_gym.simulate.records import RunPlan, TickSource
    from paysim_gym.simulate.runner import Persistence
    from paysim_gym.simulate.store import Store

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
    from paysim_gym.scenario import load_scenario
    from paysim_gym.simulate.runner import LiveTicks

    if full_replay and persist is None:
        raise ArgumentError("--full-replay: needs --persist FILE")
    loaded = load_scenario(scenario)
    if seed is not None:
        loaded = loaded.model_copy(update={"seed": seed})
    source = LiveTicks(loaded, name=scenario, max_ticks=ticks)
    name = _mode(mode, verbose=verbose, stream=stream, event_stream=event_stream) or "normal"
    shown = _filter(source.plan, bank, payment, type_, first, last)
    with Terminal(no_color=no_color) as terminal:
        output = _output(name, terminal, shown)
        if persist is None:
            _play(source, output)
            return
        from paysim_gym.simulate.persistence import EndOfDayPersistence, FullReplayPersistence
        from paysim_gym.simulate.store import Store

        with Store(persist) as store:
            number = store.begin_run(
                source.plan, loaded, mode=name, event_filter=shown, is_full_replay=full_replay
            )
            keep = FullReplayPersistence if full_replay else EndOfDayPersistence
            _play_and_keep(source, output, keep(store, number), store, number)


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
    from paysim_gym.simulate.persistence import StoredTicks
    from paysim_gym.simulate.store import Store

    with Store(store, must_exist=True) as opened, Terminal(no_color=no_color) as terminal:
        stored = opened.run(run)
        source = StoredTicks(opened, stored)
        other = _mode(mode, verbose=verbose, stream=stream, event_stream=event_stream)
        chosen = any(value is not None for value in (other, bank, payment, type_, first, last))
        asked = _filter(source.plan, bank, payment, type_, first, last)
        shown = asked if chosen else stored.event_filter
        _play(source, _output(other or stored.mode, terminal, shown), quiet=True)


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


def _play(
    source: TickSource, output: OutputStrategy, persistence: Persistence | None = None, *, quiet: bool = False
) -> None:
    from paysim_gym.simulate.runner import SimulationRunner

    start = time.perf_counter()
    try:
        metrics = SimulationRunner(source, output, persistence).run()
    except RuntimeError as error:
        raise EngineFailedError(str(error)) from error
    seconds = time.perf_counter() - start
    if not quiet:
        note(f"{metrics.ticks} ticks in {seconds:.2f} s, {metrics.ticks / seconds:,.0f} a second")


def _play_and_keep(
    source: TickSource, output: OutputStrategy, persistence: Persistence, store: Store, number: int
) -> None:
    """Play a run and store its status at the end."""
    try:
        _play(source, output, persistence)
    except (KeyboardInterrupt, PipeClosedError):
        store.end_run(number, "interrupted")
        note(f"interrupted; the completed days of run {number} are stored in {store.path}")
        raise
    except BaseException:
        store.end_run(number, "failed")
        raise
    store.end_run(number, "completed")
    note(f"run {number} is stored in {store.path}")
