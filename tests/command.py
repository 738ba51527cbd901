"""The command `paysim`, as a process of its own or within this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paysim_gym.cli import main

PAYSIM = [sys.executable, "-W", "error", "-m", "paysim_gym.cli"]


def paysim(*arguments: object, folder: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    command = [*PAYSIM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, **kwargs)


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
