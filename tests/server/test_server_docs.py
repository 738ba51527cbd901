"""docs/service.md: its commands run and print what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import Service, serving

from paysim_gym.server.application import create_app
from paysim_gym.server.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text("utf-8")
HERE = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
RANDOM = {"simulation_id", "created_at"}
"""Keys with random values."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


def steps() -> list[tuple[str, Any]]:
    """Return the command blocks after the first, each with its JSON output."""
    blocks = re.findall(r"```sh\n(.*?)```\n(?:```json\n(.*?)```\n)?", PAGE, re.DOTALL)
    return [(commands, json.loads(shown) if shown else None) for commands, shown in blocks[1:]]


def without_random(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key in RANDOM else without_random(part) for key, part in value.items()}
    return [without_random(part) for part in value] if isinstance(value, list) else value


def test_the_commands_bring_what_the_page_shows(service: Service, tmp_path: Path) -> None:
    script = "\n".join(f"{commands}\nprintf '\\n===\\n'" for commands, _ in steps())
    script = "set -euo pipefail\n" + script.replace("http://127.0.0.1:8000", service.url)
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=HERE)
    assert run.returncode == 0, run.stderr
    printed = run.stdout.split("\n===\n")
    for (commands, shown), text in zip(steps(), printed[:-1], strict=True):
        if shown is not None:
            assert without_random(json.loads(text)) == without_random(shown), commands


def test_the_websocket_client_runs(service: Service) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script = script.replace("127.0.0.1:8000", service.url.removeprefix("http://"))
    command = [sys.executable, "-W", "error", "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, env=HERE)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[4].startswith("tick 4: ")
    assert len(lines) == 10


def test_the_page_names_every_route() -> None:
    section = PAGE.split("## Routes")[1].split("## Settings")[0]
    named = re.findall(r"^\| `(\w+ \S+)` \|", section, re.MULTILINE)
    paths = create_app(Settings()).openapi()["paths"]
    documented = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    assert sorted(named) == sorted(route.replace("{simulation_id}", "{id}") for route in documented)


def test_the_page_names_every_setting_with_its_default() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \|$",
        PAGE.split("## Settings")[1].split("## Under load")[0],
        re.MULTILINE,
    )
    expected = []
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else f"{field.default:,}"
        default = "number of cores, at least 2" if name == "threads" else default
        expected.append((name.upper(), default, str(field.description).replace("\n", " ")))
    assert rows == expected
