"""`paysim runs`: list, show, compare and export stored runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paysim_gym.cli.run import DEFAULT_STORE, RunName, StorePath
from paysim_gym.cli.terminal import ArgumentError, Terminal, note

if TYPE_CHECKING:
    from paysim_gym.simulate.metrics import RunMetrics
    from paysim_gym.simulate.store import StoredRun

runs = typer.Typer(help="List, show, compare and export the runs of a store.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@runs.command("list")
def list_runs(store: StorePath = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List all runs, one per line."""
    from paysim_gym.simulate.formatting import table
    from paysim_gym.simulate.store import Store

    with Store(store, must_exist=True) as opened:
        kept = [_described(stored, len(opened.days(stored.run))) for stored in opened.runs()]
    with Terminal() as terminal:
        if as_json:
            for described in kept:
                terminal.line(json.dumps(described))
            return
        names = ("run", "scenario", "seed", "mode", "status", "days", "full_replay", "started_at")
        rows = [[str(described[name]) for name in names] for described in kept]
        for line in table([[name.replace("_", " ") for name in names], *rows]):
            terminal.line(line)


@runs.command("show")
def show(run: RunName, store: StorePath = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show the days, banks and costs of a run."""
    from paysim_gym.simulate.formatting import DAY_HEADER, day_line, summary
    from paysim_gym.simulate.store import Store

    with Store(store, must_exist=True) as opened, Terminal() as terminal:
        stored = opened.run(run)
        days, metrics = opened.days(stored.run), opened.metrics(stored.run)
        described = _described(stored, len(days))
        if as_json:
            terminal.line(json.dumps({**described, "metrics": metrics.to_dict()}))
            return
        for name, value in described.items():
            terminal.line(f"{name.replace('_', ' '):<14}{value}")
        terminal.line("")
        terminal.line(DAY_HEADER)
        for report in days:
            terminal.line(day_line(report.day.day, report.stats()))
        for line in summary(metrics.to_dict()) if days else ():
            terminal.line(line)


@runs.command("compare")
def compare(
    run: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...", help="Numbers of runs, or `last`.", show_default=False),
    ],
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Compare the metrics of runs side by side."""
    from paysim_gym.simulate.formatting import table
    from paysim_gym.simulate.store import Store

    if len(run) < 2:
        raise ArgumentError("RUN: at least two runs are needed")
    with Store(store, must_exist=True) as opened:
        stored = [opened.run(name) for name in run]
        metrics = [opened.metrics(each.run) for each in stored]
    with Terminal() as terminal:
        if as_json:
            by_run = {str(each.run): one.to_dict() for each, one in zip(stored, metrics, strict=True)}
            terminal.line(json.dumps(by_run))
            return
        columns = [_metrics(each, one) for each, one in zip(stored, metrics, strict=True)]
        names = list(dict.fromkeys(name for column in columns for name in column))
        rows = [[name, *(column.get(name, "-") for column in columns)] for name in names]
        for line in table(rows):
            terminal.line(line)


@runs.command("export")
def export(
    run: RunName,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .csv or .parquet file to write.", show_default=False)
    ],
    table: Annotated[
        str, typer.Option(help="runs, days, bank_days, payments, ticks or events.")
    ] = "bank_days",
    store: StorePath = DEFAULT_STORE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Export a table of a run to a CSV or Parquet file."""
    from paysim_gym.simulate.store import Store

    if out.exists() and not force:
        raise ArgumentError(f"{out}: already exists; --force overwrites it")
    with Store(store, must_exist=True) as opened:
        stored = opened.run(run)
        opened.export(stored.run, table, out)
        if table in ("ticks", "events") and not stored.plan.full_replay:
            note(f"run {stored.run} was stored without --full-replay: it has no {table}")
    note(f"{out} written")


def _described(stored: StoredRun, days: int) -> dict[str, Any]:
    return {
        "run": stored.run,
        "simulation_id": stored.simulation_id,
        "scenario": stored.plan.name,
        "seed": stored.plan.seed,
        "mode": stored.mode,
        "status": stored.status,
        "days": days,
        "full_replay": "yes" if stored.plan.full_replay else "no",
        "started_at": stored.started_at.isoformat(" ", "seconds"),
        "ended_at": stored.ended_at.isoformat(" ", "seconds") if stored.ended_at else "",
        "version": stored.version,
    }


def _metrics(stored: StoredRun, metrics: RunMetrics) -> dict[str, str]:
    """Return the metrics of a run as text, by name."""
    from paysim_gym.render.money import exact

    head = {
        "run": str(stored.run),
        "scenario": stored.plan.name,
        "seed": str(stored.plan.seed),
        "days": str(metrics.days),
        "arrivals": str(metrics.total_arrivals),
        "settlements": str(metrics.total_settlements),
        "dropped": str(metrics.total_dropped),
        "settlement rate": f"{metrics.settlement_rate:.4f}",
        "average delay": f"{metrics.average_delay:.3f}",
        "value settlement rate": f"{metrics.value_settlement_rate:.4f}",
        "value weighted delay": f"{metrics.value_weighted_delay:.3f}",
        "max queue depth": str(metrics.max_queue_depth),
        "settled value": exact(metrics.settled_value),
        "cost": exact(metrics.cost),
    }
    costs = {f"  {name}": exact(cents) for name, cents in metrics.costs.items()}
    agents = metrics.agent_metrics.items()
    banks = {f"cost of {name}": exact(bank.cost) for name, bank in agents}
    liquidity = {f"liquidity used by {name}": exact(bank.liquidity_used) for name, bank in agents}
    return {**head, **costs, **banks, **liquidity}
