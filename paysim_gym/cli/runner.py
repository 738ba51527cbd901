"""Runs a command-line app: options that all apps share, error messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import typer
from gymnasium.error import DependencyNotInstalled

from paysim_gym.cli.terminal import EngineFailedError, PipeClosedError, drop_stdout, ensure_stdout, note

ENGINE_FAILED = 1
REFUSED = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
"""The exit code that a shell reports for a process killed by SIGPIPE."""


def make_app(**options: Any) -> typer.Typer:
    """Create an app with the settings that all apps share."""
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def command_app(command: Callable[..., None]) -> typer.Typer:
    """Create an app whose only command is a function."""
    app = make_app()
    app.command()(command)
    return app


def run_command(command: Callable[..., None]) -> NoReturn:
    """Run a function as a command and exit, for ``python -m paysim_training.train``."""
    sys.exit(run_app(command_app(command)))


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run an app and return its exit code; an expected error prints one line."""
    ensure_stdout()
    code = _exit_code(app, arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
    if code == PIPE_CLOSED:
        drop_stdout()
    return code


def _exit_code(app: typer.Typer, arguments: Sequence[str] | None) -> int:
    try:
        app(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except PipeClosedError:
        return PIPE_CLOSED
    except EngineFailedError as error:
        note(f"error: the engine failed: {error}")
        return ENGINE_FAILED
    except (ValueError, OSError, DependencyNotInstalled) as error:
        note(f"error: {error}")
        return REFUSED
    return 0
