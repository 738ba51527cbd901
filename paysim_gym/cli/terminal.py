"""Terminal output of the commands: data lines, notes and progress bars."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO, TextIOWrapper
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text, as with NO_COLOR set.")]

_STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"


class ArgumentError(ValueError):
    """The arguments of a command are invalid; the message says why."""


class EngineFailedError(Exception):
    """The engine failed while it played a scenario."""


class PipeClosedError(Exception):
    """The reader of standard output has closed the pipe."""


def drop_stdout() -> None:
    """Redirect standard output to the null device; flushing a closed pipe at exit fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ensure_stdout() -> None:
    """Open the null device as standard output if the process has none (`>&-`)."""
    if sys.stdout is None:
        null = FileIO(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
        sys.stdout = TextIOWrapper(null, "utf-8")


def note(text: str) -> None:
    """Write a line to standard error."""
    typer.echo(text, err=True)


@contextmanager
def interrupt_hint(hint: str) -> Iterator[None]:
    """On Ctrl-C, say how to continue; the interrupt still ends the command."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"Stopped. {hint}")
        raise


def progress_bar(console: Console, *fields: str, counts: bool = False, **options: bool) -> Progress:
    """Create a progress bar with description, progress and remaining time.

    `fields` are format strings of further columns, such as ``"best {task.fields[best]}"``; `counts` shows the
    number of steps instead of a percentage.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn() if counts else TaskProgressColumn(),
        *map(TextColumn, fields),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        **options,  # type: ignore[arg-type]
    )


class Terminal:
    """Context manager that writes data to standard output and progress to standard error."""

    def __init__(self, *, no_color: bool = False) -> None:
        """Initialise without a progress bar; `no_color` writes plain text even to a terminal."""
        no_color = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._is_styled = sys.stdout.isatty() and not no_color
        self._console = Console(stderr=True, no_color=no_color)
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        """Return the terminal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the progress bar."""
        self._hide()

    def line(self, text: str, style: str = "") -> None:
        """Write a line and flush it, or raise PipeClosedError if the pipe is closed."""
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
        """Update the progress bar, if standard error is a terminal."""
        if not self._console.is_terminal:
            return
        if self._bar is None:
            bar = progress_bar(self._console, counts=True, transient=True)
            bar.start()
            self._bar = bar, bar.add_task("ticks", total=total)
        self._bar[0].update(self._bar[1], completed=done)

    def _hide(self) -> None:
        if self._bar:
            self._bar[0].stop()
            self._bar = None
