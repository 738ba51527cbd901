"""Where the command line writes, and how it ends."""

from __future__ import annotations

import os
import sys
from io import FileIO, TextIOWrapper
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

ENGINE_FAILED = 1
REFUSED = 2
PIPE_CLOSED = 141
"""As a shell reports a process that SIGPIPE has ended."""

NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text, as with NO_COLOR set.")]

_STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"


class RefusedError(Exception):
    """What a command was asked for makes no sense; the message says why."""


class PipeClosedError(Exception):
    """Nobody reads standard output any more."""


def drop_stdout() -> None:
    """Let nothing more be written to a closed pipe, not even when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ensure_stdout() -> None:
    """Let data go nowhere if whoever started the process has closed standard output, as by `>&-`."""
    if sys.stdout is None:
        nowhere = FileIO(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
        sys.stdout = TextIOWrapper(nowhere, "utf-8")


def note(text: str) -> None:
    """Write a line that is no data."""
    typer.echo(text, err=True)


class Terminal:
    """Lines of data on standard output, a bar of progress on standard error; a context manager."""

    def __init__(self, *, no_color: bool = False) -> None:
        """Start with no bar.

        Args:
            no_color: Whether to write plain text even to a terminal.
        """
        no_color = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._is_styled = sys.stdout.isatty() and not no_color
        self._console = Console(stderr=True, no_color=no_color)
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._hide()

    def line(self, text: str, style: str = "") -> None:
        """Write a line, so that whoever reads has it at once.

        Raises:
            PipeClosedError: If nobody reads any more.
        """
        if sys.stdout.isatty():
            self._hide()
        if style and self._is_styled:
            text = f"{_STYLES[style]}{text}{_PLAIN}"
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise PipeClosedError from None

    def progress(self, done: int, total: int) -> None:
        """Show the bar, on a terminal."""
        if not self._console.is_terminal:
            return
        if self._bar is None:
            columns = (TextColumn("ticks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            bar = Progress(*columns, console=self._console, transient=True)
            bar.start()
            self._bar = bar, bar.add_task("ticks", total=total)
        self._bar[0].update(self._bar[1], completed=done)

    def _hide(self) -> None:
        """Take the bar away, until there is more progress."""
        if self._bar:
            self._bar[0].stop()
            self._bar = None
