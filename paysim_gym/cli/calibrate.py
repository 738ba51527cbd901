"""`paysim calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paysim_gym._engine import ScenarioError
from paysim_gym.files import write_atomically


def calibrate(
    payments: Annotated[
        Path, typer.Argument(metavar="FILE", help="Payments file (.csv or .parquet).", show_default=False)
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Scenario to write (.yaml).", show_default=False)],
    ticks_per_day: Annotated[int, typer.Option(min=1, max=1000, help="Ticks in a day.")] = 48,
    opening_time: Annotated[
        str | None,
        typer.Option(help="Start of the day (HH:MM).", show_default="whole hours around the file's times"),
    ] = None,
    closing_time: Annotated[
        str | None, typer.Option(help="End of the day (HH:MM).", show_default="likewise")
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Windows of the day, each with its own arrival rate.",
            show_default="one an hour, or 12 if the file gives ticks",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing scenario.")] = False,
) -> None:
    """Fit a scenario to a file of payments.

    FILE has a header and one payment per line; amounts are in cents:

        day,time,sender,receiver,amount
        2024-03-01,09:12,BANK_A,BANK_B,1250000

    Optional columns: deadline, priority, divisible. A column tick can replace time.

    [bold]Examples[/bold]

    paysim calibrate payments.csv -o my_system.yaml

    paysim calibrate payments.parquet -o my_system.yaml --opening-time 07:00 --closing-time 19:00 --windows 6
    """
    console = Console(stderr=True)
    _check_target(out, payments, force=force)
    if console.is_terminal:
        with console.status(f"Fitting {payments}"):
            text = _fitted(payments, ticks_per_day, opening_time, closing_time, windows)
    else:
        text = _fitted(payments, ticks_per_day, opening_time, closing_time, windows)
    try:
        write_atomically(out, text.encode())
    except OSError as error:
        raise ScenarioError(f"{out}: cannot be written: {error.strerror}") from None
    typer.echo(f"{out} written; `load_scenario({str(out)!r})` reads it.")


def _check_target(out: Path, payments: Path, *, force: bool) -> None:
    """Raise a ScenarioError for a target that cannot be written, before the slow fit."""
    if not out.parent.is_dir():
        raise ScenarioError(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ScenarioError(f"{out}: is a folder; name a file")
    if out.exists() and not force:
        raise ScenarioError(f"{out}: already exists; --force overwrites it")
    if out.exists() and payments.exists() and out.samefile(payments):
        raise ScenarioError(f"{out}: is the payments file")


def _fitted(
    payments: Path,
    ticks_per_day: int,
    opening_time: str | None,
    closing_time: str | None,
    windows: int | None,
) -> str:
    # SciPy and DuckDB would slow down --help.
    from paysim_gym.payments.calibration import calibrate, calibrated_yaml

    scenario = calibrate(
        payments,
        ticks_per_day=ticks_per_day,
        opening_time=opening_time,
        closing_time=closing_time,
        windows=windows,
    )
    return calibrated_yaml(scenario)
