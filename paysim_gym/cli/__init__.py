"""The command `paysim`: one module for each group of commands."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from paysim_gym.cli.calibrate import calibrate
from paysim_gym.cli.plugins import CommandGroup
from paysim_gym.cli.render import render
from paysim_gym.cli.run import replay, run
from paysim_gym.cli.runner import make_app, run_app
from paysim_gym.cli.runs import runs
from paysim_gym.cli.scenarios import scenarios
from paysim_gym.server.serve import serve

app = make_app(cls=CommandGroup, no_args_is_help=True)


def _show_version(asked: bool) -> None:
    if asked:
        from paysim_gym import __version__

        typer.echo(f"paysim {__version__}")
        raise typer.Exit


@app.callback()
def paysim(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    r"""Simulate interbank payment systems, and train policies that decide when a bank pays.

    Data go to standard output, everything else to standard error. Exit codes: 0 success; 1 the engine
    failed; 2 invalid arguments or files, with the reason; 130 interrupted; 141 the output pipe was closed.

    `pip install "paysim-gym\[train]"` adds the commands train, evaluate, distil, benchmark, sweep, games and
    strategic; `pip install "paysim-gym\[distributed]"` also adds Ray for distributed.
    """


app.command()(run)
app.command()(replay)
app.add_typer(runs, name="runs")
app.add_typer(scenarios, name="scenarios")
app.command()(calibrate)
app.command()(serve)
app.command()(render)


def main() -> NoReturn:
    """Run the command line and exit: it always raises SystemExit with the exit code."""
    sys.exit(run_app(app))
