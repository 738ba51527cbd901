"""The pages of the command line and of the events say what is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from paysim_gym import Orchestrator
from paysim_gym.simulate.schema import TABLES
from paysim_gym.simulate.wording import WORDS

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "cli.md").read_text("utf-8")
EVENTS = (DOCS / "events.md").read_text("utf-8")


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    # `head` closes the pipe, which the page shows on purpose.
    script = script.replace("| head -n 2 ", "| { head -n 2; cat > /dev/null; } ")
    (tmp_path / "paysim").write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m paysim_gym.cli "$@"\n')
    (tmp_path / "paysim").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "PAYSIM_STORE"} | {"PATH": path}
    run = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert run.returncode == 0, run.stderr
    (line,) = re.findall(r"```json\n(.*?)\n```", PAGE)
    assert f"\n{line}\n" in run.stdout
    assert (tmp_path / "day.png").exists()
    assert (tmp_path / "scenario.schema.json").read_text("utf-8").startswith("{")


def test_the_page_names_every_table() -> None:
    section = PAGE.partition("## Look and compare")[2].partition("## Scenarios")[0]
    rows = [row for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(TABLES)


def test_the_page_of_events_names_every_type() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", EVENTS, re.MULTILINE)) == sorted(WORDS)


@pytest.mark.parametrize(
    "name", ["five_bank", "liquidity_squeeze", "participant_outage", "castro_two_period"]
)
def test_the_page_of_events_names_the_keys_of_each(name: str) -> None:
    page = {
        kind: set(re.findall(r"`(\w+)`", keys))
        for kind, keys in re.findall(r"^\| `(\w+)` \| (.*?)\|", EVENTS, re.MULTILINE)
    }
    run = Orchestrator(name, record_events=True)
    while not run.is_over:
        run.tick()
    for event in run.events():
        assert event.keys() - {"tick", "type"} == page[event["type"]], event["type"]
