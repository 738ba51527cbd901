"""The scenario schema: valid values, error messages, and the engine's fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from full_scenario import EVENTS, FULL, NETWORK, REMOVED, REPLAY, changed
from pydantic import BaseModel, ValidationError

from paysim_gym import Scenario, ScenarioError, bundled_scenarios, load_scenario
from paysim_gym._engine import validate_scenario
from paysim_gym.scenario.loader import read_scenario


def models(model: BaseModel) -> Iterator[BaseModel]:
    """A model and all models inside it."""
    yield model
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from models(part)


def test_error_has_one_line_a_problem_with_path_value_and_what_is_allowed() -> None:
    data = changed("agents/0/balance", 1.5)
    data["agents"][1]["blance"] = 3
    del data["ticks_per_day"]
    with pytest.raises(ScenarioError) as caught:
        load_scenario(data)
    assert str(caught.value).splitlines() == [
        "ticks_per_day: missing; it is required",
        "agents[0].balance = 1.5: must be an integer number of cents between 0 and 1000000000000000",
        "agents[1].blance = 3: unknown key; allowed: id, balance, credit_limit, collateral, "
        "collateral_haircut, liquidity_pool, liquidity_share, limits, arrival_config, policy",
    ]


def test_scenario_error_is_a_value_error() -> None:
    assert issubclass(ScenarioError, ValueError)


@pytest.mark.parametrize(
    "owner",
    [
        "agents/0",
        "agents/0/arrival_config",
        "agents/0/arrival_config/time_windows/0",
        "agents/0/limits",
        *(f"agents/{bank}/policy" for bank in range(7)),
        "rails/0",
        "rails/0/lsm",
        "costs",
        "costs/overdraft_tiers/0",
        "initial_transactions/0",
        *(f"events/{event}" for event in range(len(EVENTS))),
        "priority_escalation",
    ],
)
def test_unknown_key_lists_the_allowed_ones(owner: str) -> None:
    data = changed(f"{owner}/surprise", 1)
    value: Any = data
    for part in owner.split("/"):
        value = value[int(part) if part.isdecimal() else part]
    with pytest.raises(ScenarioError, match=r"surprise = 1: unknown key; allowed: ") as caught:
        load_scenario(data)
    allowed = str(caught.value).partition("allowed: ")[2].split(", ")
    assert set(allowed) >= set(value) - {"surprise"}


def test_full_scenario_leaves_no_field_at_its_default() -> None:
    seen: dict[type[BaseModel], set[str]] = {}
    for model in models(Scenario.model_validate(REPLAY)):
        fields = type(model).model_fields
        moved = {name for name, field in fields.items() if getattr(model, name) != field.default}
        seen.setdefault(type(model), set()).update(moved)
    assert len(seen) == 1 + len(Scenario.model_json_schema()["$defs"])
    for kind, moved in seen.items():
        assert moved | {"type"} >= set(kind.model_fields), kind


@pytest.mark.parametrize(
    "source", [REPLAY, *map(read_scenario, bundled_scenarios())], ids=["full", *bundled_scenarios()]
)
def test_python_and_engine_have_the_same_fields(source: Any) -> None:
    ours = Scenario.model_validate(source).model_dump_json()
    assert json.loads(validate_scenario(ours)) == json.loads(ours)


def test_python_and_engine_have_the_same_defaults() -> None:
    least = {"ticks_per_day": 4, "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 0}]}
    assert json.loads(validate_scenario(json.dumps(least))) == json.loads(
        load_scenario(least).model_dump_json()
    )


def test_priorities_may_be_integers_or_text() -> None:
    as_integers = changed("agents/0/arrival_config/priority", {2: 1, 7: 3})
    assert load_scenario(as_integers) == load_scenario(FULL)


@pytest.mark.parametrize("path", ["agents/0/arrival_config/priority", "costs/priority_multipliers"])
def test_a_priority_named_as_integer_and_as_text_is_refused(path: str) -> None:
    with pytest.raises(ScenarioError, match="must name each priority once"):
        load_scenario(changed(path, {"7": 1, 7: 2}))


def test_sources_are_equal(tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    path.write_text(yaml.safe_dump(FULL), "utf-8")
    scenario = load_scenario(FULL)
    assert load_scenario(path) == load_scenario(str(path)) == scenario == Scenario(**FULL)
    assert load_scenario(scenario) is scenario


@pytest.mark.parametrize(
    "text", ["ticks_per_day: 4\nticks_per_day: 5", "agents: [{id: A, balance: 1, balance: 2}]"]
)
def test_duplicate_yaml_keys_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ScenarioError, match=r"duplicate key '(ticks_per_day|balance)'"):
        load_scenario(path)


def test_yaml_anchors_and_merges_are_read(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("ticks_per_day: 4\nagents: [&a {id: A, balance: 7}, {<<: *a, id: B}]", "utf-8")
    assert [(bank.id, bank.balance) for bank in load_scenario(path).agents] == [("A", 7), ("B", 7)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not a valid YAML file"), ("- 1", "must be a mapping"), ("", "must be a mapping")],
)
def test_files_that_hold_no_scenario_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ScenarioError, match=message):
        load_scenario(path)


@pytest.mark.parametrize("source", ["three_bank", Path("absent.yaml"), 5, None])
def test_unknown_source_names_the_bundled_ones(source: Any) -> None:
    with pytest.raises(ScenarioError, match=", ".join(bundled_scenarios())):
        load_scenario(source)


@pytest.mark.parametrize("file", ["payments.csv", "../data/payments.parquet", "/data/payments.csv"])
def test_a_scenario_files_payments_file_is_relative_to_it(tmp_path: Path, file: str) -> None:
    path = tmp_path / "replay.yaml"
    path.write_text(yaml.safe_dump(FULL | {"payments_file": file}), "utf-8")
    for source in (path, str(path)):
        assert read_scenario(source) == FULL | {"payments_file": str(tmp_path / file)}


def test_a_relative_scenario_file_names_an_absolute_payments_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("replay.yaml").write_text("payments_file: payments.csv", "utf-8")
    assert read_scenario("replay.yaml") == {"payments_file": str(tmp_path / "payments.csv")}


def test_a_scenario_files_network_is_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "replay.yaml"
    path.write_text(yaml.safe_dump(REPLAY), "utf-8")
    policies = [bank["policy"] for bank in read_scenario(path)["agents"]]
    moved = {"weights": str(tmp_path / "network.safetensors")}
    assert policies == [*(bank["policy"] for bank in FULL["agents"]), NETWORK | moved]


@pytest.mark.parametrize(
    "text",
    [
        "payments_file: ''",
        "payments_file: 5",
        "payments_file:",
        "[payments_file]",
        "agents: 5",
        "agents: [5, {policy: 5}, {policy: {type: network, weights: 5}}, {policy: {weights: file}}]",
    ],
)
def test_what_is_no_payments_file_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "replay.yaml"
    path.write_text(text, "utf-8")
    assert read_scenario(path) == yaml.safe_load(text)


def test_a_mapping_is_not_moved() -> None:
    assert Scenario.model_validate(REPLAY).payments_file == "payments.csv"


def test_payments_are_none_without_a_file() -> None:
    assert load_scenario(FULL).payments is None


def test_payments_that_cannot_be_read_are_reported_at_load(tmp_path: Path) -> None:
    path = tmp_path / "replay.yaml"
    path.write_text(yaml.safe_dump(REPLAY), "utf-8")
    for source in (path, Scenario.model_validate(read_scenario(path))):
        with pytest.raises(ScenarioError, match=r"payments\.csv"):
            load_scenario(source)


@pytest.mark.parametrize("mark", ["", "'"])
def test_yaml_times_are_texts(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "times.yaml"
    path.write_text(f"{{a: {mark}07:00{mark}, b: {mark}18:30{mark}, c: {mark}24:00{mark}}}", "utf-8")
    assert read_scenario(path) == {"a": "07:00", "b": "18:30", "c": "24:00"}


def test_bundled_scenarios_say_what_they_teach() -> None:
    assert len(bundled_scenarios()) >= 10
    for name in bundled_scenarios():
        scenario = load_scenario(name)
        assert len(scenario.description) > 80
        assert "learner" in [bank.policy.type for bank in scenario.agents]


def test_scenario_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_scenario(FULL).ticks_per_day = 5  # type: ignore[misc]


def test_pydantic_reports_what_the_engine_refuses() -> None:
    with pytest.raises(ValidationError, match="amount_std_dev"):
        Scenario(**changed("agents/0/arrival_config/amount_std_dev", REMOVED))


def test_json_schema_has_bounds_and_refuses_unknown_keys() -> None:
    schema = Scenario.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["ticks_per_day"].items() >= {"minimum": 1, "maximum": 1000}.items()
    assert schema["properties"]["agents"].items() >= {"minItems": 2, "maxItems": 1000}.items()
    assert all("description" in field for field in schema["$defs"]["Costs"]["properties"].values())
