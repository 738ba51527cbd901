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
        Path, typer.Argument(metavar="FILE", help="Payments: a .csv or .parquet file.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The scenario to write.", show_default=False)],
    ticks_per_day: Annotated[int, typer.Option(min=1, max=1000, help="Decision moments in a day.")] = 48,
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
            help="Parts of the day, each with a rate of its own.",
            show_default="one an hour, or 12 if the file gives ticks",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the scenario if it is there.")] = False,
) -> None:
    """Write a scenario that looks like a file of real payments.

    FILE has a header and one payment a line, amounts in cents:

        day,time,sender,receiver,amount
        2024-03-01,09:12,BANK_A,BANK_B,1250000

    Optional columns: deadline, priority, divisible; tick can stand in place of time.

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
    _write(out, text)
    typer.echo(f"{out} written; `load_scenario({str(out)!r})` reads it.")


def _check_target(out: Path, payments: Path, *, force: bool) -> None:
    """Refuse what cannot be written, before the fit takes its time."""
    if not out.parent.is_dir():
        raise ScenarioError(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ScenarioError(f"{out}: is a folder; name the file to write")
    if out.exists() and not force:
        raise ScenarioError(f"{out}: exists already; --force replaces it")
    if out.exists() and payments.exists() and out.samefile(payments):
        raise ScenarioError(f"{out}: is the payments file itself")


def _fitted(
    payments: Path,
    ticks_per_day: int,
    opening_time: str | None,
    closing_time: str | None,
    windows: int | None,
) -> str:
    # Brings SciPy and DuckDB, which --help must not wait for.
    from paysim_gym.payments.calibration import calibrate, calibrated_yaml

    scenario = calibrate(
        payments,
        ticks_per_day=ticks_per_day,
        opening_time=opening_time,
        closing_time=closing_time,
        windows=windows,
    )
    return calibrated_yaml(scenario)


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be written: {error.strerror}") from None
