"""The command `paysim`: one module for each group of commands."""

from __future__ import annotations

import sys

import typer
from gymnasium.error import DependencyNotInstalled

from paysim_gym._engine import ScenarioError
from paysim_gym.cli.calibrate import calibrate
from paysim_gym.cli.render import render
from paysim_gym.cli.run import replay, run
from paysim_gym.cli.runs import runs
from paysim_gym.cli.scenarios import scenarios
from paysim_gym.cli.terminal import (
    ENGINE_FAILED,
    PIPE_CLOSED,
    REFUSED,
    PipeClosedError,
    RefusedError,
    drop_stdout,
    ensure_stdout,
    note,
)
from paysim_gym.server.serve import serve
from paysim_gym.simulate.store_schema import StoreError

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich", no_args_is_help=True
)


@app.callback()
def paysim() -> None:
    """Payment systems as scenarios: when should a bank release its payments?

    Data go to standard output, all else to standard error. Exit codes: 0 done; 1 the engine failed;
    2 refused, with the reason; 130 interrupted; 141 nobody reads the output any more.
    """


app.command()(run)
app.command()(replay)
app.add_typer(runs, name="runs")
app.add_typer(scenarios, name="scenarios")
app.command()(calibrate)
app.command()(serve)
app.command()(render)


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    ensure_stdout()
    code = _run_app()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
    if code == PIPE_CLOSED:
        drop_stdout()
    sys.exit(code)


def _run_app() -> int:
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except PipeClosedError:
        return PIPE_CLOSED
    except (ScenarioError, StoreError, RefusedError, DependencyNotInstalled, OSError) as error:
        note(f"error: {error}")
        return REFUSED
    except RuntimeError as error:
        note(f"error: the engine failed: {error}")
        return ENGINE_FAILED
    return 0
