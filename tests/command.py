"""The command `paysim`, in its own or in this process."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paysim_gym.cli import app, main
from paysim_gym.cli.runner import run_app

PAYSIM = [sys.executable, "-W", "error", "-m", "paysim_gym.cli"]


def paysim(*arguments: object, folder: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    command = [*PAYSIM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, **kwargs)


@dataclass(frozen=True)
class Invocation:
    """The end of a command that ran within this process."""

    exit_code: int
    stdout: str
    stderr: str
    output: str
    """Both streams, in the order of their writes."""


class _Copied(io.StringIO):
    def __init__(self, copy: io.StringIO) -> None:
        super().__init__()
        self._copy = copy

    def write(self, text: str) -> int:
        self._copy.write(text)
        return super().write(text)


def invoke(*arguments: object) -> Invocation:
    """Run `paysim` with these arguments; an unexpected exception is raised."""
    both = io.StringIO()
    out, err = _Copied(both), _Copied(both)
    with redirect_stdout(out), redirect_stderr(err):
        code = run_app(app, [str(argument) for argument in arguments])
    return Invocation(code, out.getvalue(), err.getvalue(), both.getvalue())


class Called:
    """The command, run within this process: what it prints and how it ends.

    Attributes:
        errors: What the last call wrote to standard error.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.errors = ""

    def __call__(self, *arguments: object, code: int = 0) -> str:
        self._monkeypatch.setattr("sys.argv", ["paysim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        shown = self._capsys.readouterr()
        self.errors = shown.err
        assert end.value.code == code, shown.err
        return shown.out
