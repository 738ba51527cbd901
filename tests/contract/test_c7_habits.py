"""C7: habits. C2 and C3 have the tests of results, calls and event loop."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from contract.example import example

from paysim_gym import Orchestrator, ScenarioError, _engine, orchestrator
from paysim_gym.scenario.models import Scenario

ROOT = Path(__file__).parents[2]
MONEY = ("balance", "credit_limit", "amount", "penalty", "fee", "collateral", "liquidity_pool", "buffer")


def test_c7_every_field_of_money_is_an_integer() -> None:
    schema = Scenario.model_json_schema()
    seen = set()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            types = {option.get("type") for option in (field, *field.get("anyOf", ()))}
            if any(word in name for word in MONEY) and types & {"number", "integer"}:
                seen.add(name)
                assert "number" not in types or name.endswith(("share", "haircut", "multiplier", "rate")), (
                    name
                )
    assert {"balance", "amount_mean", "split_fee", "eod_penalty", "credit_limit"} <= seen


def test_c7_config_is_validated_before_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the engine was called")

    monkeypatch.setattr(_engine, "Orchestrator", fail)
    with pytest.raises(ScenarioError, match="ticks_per_day"):
        Orchestrator(example() | {"ticks_per_day": 0})
    with pytest.raises(RuntimeError, match="the engine was called"):
        Orchestrator(example())


def test_c7_only_the_wrapper_calls_the_engine() -> None:
    text = Path(orchestrator.__file__).read_text("utf-8")
    direct = [line.strip() for line in text.splitlines() if "self._engine." in line]
    assert direct
    assert all(line.startswith("return ") for line in direct if "_call_engine(" not in line)


def test_c7_type_hints_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    assert settings["strict"] is True
    assert {"paysim_gym", "tests"} <= set(settings["files"])
    assert "mypy" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_c7_one_command_sets_up_and_tests() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "pip install uv && uv run --extra dev pytest" in readme.splitlines()
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "tests/contract"], capture_output=True, text=True, check=True
    )
    for clause in range(1, 8):
        assert any(f"test_c{clause}_" in name for name in listed.stdout.splitlines()), clause
