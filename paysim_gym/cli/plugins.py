"""Sub-commands of `paysim` that other packages add by the entry-point group ``paysim.commands``.

An entry point names a function with typer annotations, or a `typer.Typer` app. Its module is imported
only when the command is run or listed in the help, so it must be cheap to import.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command

from paysim_gym.cli.runner import command_app
from paysim_gym.cli.terminal import ArgumentError, note
from paysim_gym.extras import pip_line

GROUP = "paysim.commands"
EXTRAS = {
    "train": "train",
    "evaluate": "train",
    "distributed": "distributed",
    "benchmark": "train",
    "sweep": "train",
    "distil": "train",
    "games": "train",
    "strategic": "train",
    "tasks": "agents",
}
"""Commands of the sister packages, and the extra of paysim-gym that installs each."""


class CommandGroup(TyperGroup):
    """Built-in commands, followed by those of the entry points."""

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=GROUP):
            if entry.name in self.commands or entry.name in found:
                note(f"warning: {_described(entry)} is ignored: there is another command of this name")
            else:
                found[entry.name] = entry
        return found

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        return {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help page."""
        return [*super().list_commands(ctx), *sorted(self._entries)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if it is unknown or cannot be loaded.

        Raises:
            ArgumentError: If the command belongs to a sister package that is not installed.
        """
        if cmd_name in self.commands:
            return super().get_command(ctx, cmd_name)
        if entry := self._entries.get(cmd_name):
            if cmd_name not in self._loaded:
                self._loaded[cmd_name] = _load(entry)
            return self._loaded[cmd_name]
        if extra := EXTRAS.get(cmd_name):
            raise ArgumentError(f"{cmd_name} is not installed; run: {pip_line(extra)}")
        return None


def _load(entry: EntryPoint) -> Any:
    """Import a command, or warn and return None if that fails."""
    try:
        loaded = entry.load()
        command = get_command(loaded if isinstance(loaded, Typer) else command_app(loaded))
    except Exception as error:
        reason = str(error).partition("\n")[0]
        note(f"warning: {_described(entry)} cannot be loaded: {type(error).__name__}: {reason}")
        return None
    command.name = entry.name
    command.rich_help_panel = f"Commands of {entry.dist.name}" if entry.dist else None  # type: ignore[attr-defined]
    return command


def _described(entry: EntryPoint) -> str:
    return f"the command {entry.name} of {entry.dist.name if entry.dist else entry.value}"
