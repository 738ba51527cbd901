"""The page of the command line says what is so."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import Called

from paysim_gym.simulate.store_schema import TABLES

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")


def follow(call: Called, line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a line of the page and return its output."""
    shown = ""
    for step in line.partition("#")[0].split("&&"):
        command, rest = re.findall(r"^\s*([^|>]*)(.*?)\s*$", step, re.DOTALL)[0]
        if command.startswith("export "):
            monkeypatch.setenv(*command.removeprefix("export ").strip().split("="))
            continue
        if command.startswith("paysim "):
            shown, command = call(*shlex.split(command)[1:]), "cat"
        # The shell's pipes and files are those of the page.
        shell = ["bash", "-c", f"set -eu; {command} {rest}"]
        shown = subprocess.run(shell, input=shown, stdout=subprocess.PIPE, text=True, check=True).stdout
    return shown


def test_the_commands_of_the_page_run(call: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYSIM_STORE", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    shown = "".join(follow(call, line, monkeypatch) for line in lines)
    (line,) = re.findall(r"```json\n(.*?)\n```", PAGE)
    assert f"\n{line}\n" in shown
    assert (tmp_path / "live.txt").read_text("utf-8") == (tmp_path / "again.txt").read_text("utf-8") > ""
    assert (tmp_path / "day.png").exists()
    assert (tmp_path / "scenario.schema.json").read_text("utf-8").startswith("{")


def test_the_page_names_every_table() -> None:
    section = PAGE.partition("## Show, compare and export")[2].partition("## Scenarios")[0]
    rows = [row for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(TABLES)
