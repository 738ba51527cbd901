"""The scenarios of the engine's tests and benchmarks equal the bundled ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from paysim_gym import load_scenario

FOLDER = Path(__file__).parents[2] / "rust_env" / "tests" / "scenarios"


@pytest.mark.parametrize("name", ["five_bank", "two_bank"])
def test_the_engine_has_the_bundled_scenario(name: str) -> None:
    path = FOLDER / f"{name}.json"
    bundled = json.loads(load_scenario(name).model_dump_json())
    if os.environ.get("UPDATE_SCENARIOS"):
        path.write_text(json.dumps(bundled, indent=2) + "\n")
    assert json.loads(path.read_text()) == bundled, "write it again: UPDATE_SCENARIOS=1 pytest " + __file__
