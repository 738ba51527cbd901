"""The scenario schema: what it accepts, and how Python and the engine refuse the rest."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from paysim_gym import Scenario, ScenarioError, bundled_scenarios, load_scenario
from paysim_gym._engine import validate_scenario

ARRIVALS: dict[str, Any] = {
    "agent_id": "BANK_A",
    "rate_per_tick": 1.5,
    "distribution_type": "lognormal",
    "amount_mean": 1_000_00,
    "amount_std_dev": 2_000_00,
    "counterparty_weights": {"BANK_B": 2, "BANK_C": 1},
    "time_windows": [
        {"start_tick": 0, "end_tick": 4, "multiplier": 2},
        {"start_tick": 4, "end_tick": 8, "multiplier": 0.5},
    ],
    "deadline_range": [1, 5],
    "priority": {"2": 1, "7": 3},
    "divisible": False,
}
FULL: dict[str, Any] = {
    "description": "Every field, none at its default.",
    "ticks_per_day": 12,
    "num_days": 2,
    "seed": 2**64 - 1,
    "agents": [
        {
            "id": "BANK_A",
            "balance": 10_000_00,
            "credit_limit": 5_000_00,
            "arrival_config": ARRIVALS,
            "policy": {"type": "learner"},
        },
        {"id": "BANK_B", "balance": 0, "policy": {"type": "hold_until_deadline", "margin": 2}},
        {"id": "BANK_C", "balance": 0, "policy": {"type": "liquidity_aware", "buffer": 100_00}},
        {"id": "BANK_D", "balance": 0, "policy": {"type": "split_large", "parts": 3, "threshold": 50_00}},
        {"id": "BANK_E", "balance": 0, "policy": {"type": "random", "release_probability": 0.25}},
        {"id": "BANK_F", "balance": 0, "policy": {"type": "release_all"}},
    ],
    "rails": [
        {
            "id": "T2",
            "settlement_type": "immediate",
            "queue_discipline": "priority",
            "incoming_queue_visible": False,
        }
    ],
    "costs": {
        "overdraft_rate": 0.0001,
        "overdraft_tiers": [{"above": 1_000_00, "rate": 0.0002}, {"above": 2_000_00, "rate": 0.0004}],
        "delay_penalty_per_tick": 10,
        "delay_rate": 0.00001,
        "priority_multipliers": {"7": 2.5},
        "overdue_multiplier": 3,
        "deadline_penalty": 1_000,
        "split_fee": 50,
        "eod_penalty": 2_000,
        "eod_rate": 0.001,
        "delay_in_central_queue": False,
    },
    "initial_transactions": [
        {
            "sender": "BANK_A",
            "receiver": "BANK_B",
            "amount": 500_00,
            "arrival_tick": 13,
            "deadline_tick": 20,
            "priority": 9,
            "divisible": False,
            "rail": "T2",
        }
    ],
    "end_of_day": "borrow",
    "overnight": "reset",
}
REMOVED = object()

# Path of what is wrong, its value, the path that both errors must name.
WRONG = [
    pytest.param("agents/0/balance", 1.5, "agents[0].balance", id="float money"),
    pytest.param("agents/0/balance", "100", "agents[0].balance", id="text money"),
    pytest.param("agents/0/balance", True, "agents[0].balance", id="bool money"),
    pytest.param("agents/0/balance", -1, "agents[0].balance", id="negative money"),
    pytest.param("agents/0/balance", 10**18, "agents[0].balance", id="huge balance"),
    pytest.param("agents/0/arrival_config/amount_mean", 10**18, "amount_mean", id="huge amounts"),
    pytest.param("agents/0/arrival_config/amount_mean", 0, "amount_mean", id="no amount"),
    pytest.param("agents/0/arrival_config/amount_std_dev", REMOVED, "amount_std_dev", id="no deviation"),
    pytest.param("agents/0/arrival_config/rate_per_tick", 0, "rate_per_tick", id="no rate"),
    pytest.param("agents/0/arrival_config/rate_per_tick", 1001, "rate_per_tick", id="high rate"),
    pytest.param(
        "agents/0/arrival_config/distribution_type", "pareto", "distribution_type", id="distribution"
    ),
    pytest.param(
        "agents/0/arrival_config/counterparty_weights", {"BANK_X": 1}, "counterparty_weights", id="stranger"
    ),
    pytest.param(
        "agents/0/arrival_config/counterparty_weights", {"BANK_A": 1}, "counterparty_weights", id="itself"
    ),
    pytest.param(
        "agents/0/arrival_config/counterparty_weights", {"BANK_B": 0}, "counterparty_weights", id="no weight"
    ),
    pytest.param("agents/0/arrival_config/agent_id", "BANK_B", "agent_id", id="other bank's arrivals"),
    pytest.param(
        "agents/0/arrival_config/time_windows/1/start_tick", 3, "time_windows", id="overlapping windows"
    ),
    pytest.param("agents/0/arrival_config/time_windows/1/end_tick", 13, "end_tick", id="window past the day"),
    pytest.param("agents/0/arrival_config/deadline_range", [5, 1], "deadline_range", id="range reversed"),
    pytest.param("agents/0/arrival_config/priority", 11, "priority", id="high priority"),
    pytest.param("agents/0/arrival_config/priority", {"11": 1}, "priority", id="high priority weight"),
    pytest.param("agents/0/arrival_config/divisible", "yes", "divisible", id="text for a bool"),
    pytest.param("agents/0/policy", {"type": "myopic_"}, "agents[0].policy", id="unknown policy"),
    pytest.param("agents/1/policy/margin", -1, "margin", id="negative margin"),
    pytest.param("agents/1/policy/buffer", 1, "buffer", id="parameter of another policy"),
    pytest.param("agents/1/id", "bank_b", "agents[1].id", id="lower-case id"),
    pytest.param("agents/1/id", "BANK_A", "agents[1].id", id="duplicate id"),
    pytest.param("agents", FULL["agents"][:1], "agents", id="one agent"),
    pytest.param("agents/0/balanse", 5, "balanse", id="unknown key in an agent"),
    pytest.param("curency", "EUR", "curency", id="unknown key"),
    pytest.param("ticks_per_day", 0, "ticks_per_day", id="no ticks"),
    pytest.param("ticks_per_day", REMOVED, "ticks_per_day", id="missing clock"),
    pytest.param("num_days", 10_001, "num_days", id="too many days"),
    pytest.param("seed", -1, "seed", id="negative seed"),
    pytest.param("seed", 2**64, "seed", id="huge seed"),
    pytest.param("rails", [], "rails", id="no rail"),
    pytest.param("rails/0/queue_discipline", "lifo", "queue_discipline", id="discipline"),
    pytest.param("costs/overdraft_rate", 1.1, "costs.overdraft_rate", id="rate above one"),
    pytest.param("costs/delay_rate", -0.1, "costs.delay_rate", id="negative rate"),
    pytest.param("costs/delay_rate", True, "costs.delay_rate", id="bool rate"),
    pytest.param("costs/overdraft_tiers/1/above", 1_000_00, "overdraft_tiers", id="tiers not ascending"),
    pytest.param("costs/overdue_multiplier", 0.5, "overdue_multiplier", id="cheaper when overdue"),
    pytest.param("initial_transactions/0/receiver", "BANK_A", "initial_transactions[0]", id="to itself"),
    pytest.param("initial_transactions/0/receiver", "BANK_X", "initial_transactions[0]", id="to a stranger"),
    pytest.param("initial_transactions/0/arrival_tick", 24, "arrival_tick", id="after the last tick"),
    pytest.param("initial_transactions/0/deadline_tick", 12, "deadline_tick", id="due before it arrives"),
    pytest.param("initial_transactions/0/rail", "TARGET", "initial_transactions[0].rail", id="unknown rail"),
    pytest.param("end_of_day", "forget", "end_of_day", id="end of day"),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    """FULL with one value replaced, added or removed."""
    data = copy.deepcopy(FULL)
    owner: Any = data
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    for part in parents:
        owner = owner[part]
    if value is REMOVED:
        del owner[last]
    else:
        owner[last] = value
    return data


def models(model: BaseModel) -> Iterator[BaseModel]:
    """A model and all models inside it."""
    yield model
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from models(part)


@pytest.mark.parametrize(("path", "value", "named"), WRONG)
def test_python_refuses_and_names_the_field(path: str, value: Any, named: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(named)):
        load_scenario(changed(path, value))


@pytest.mark.parametrize(("path", "value", "named"), WRONG)
def test_engine_alone_refuses_and_names_the_field(path: str, value: Any, named: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(named)):
        validate_scenario(json.dumps(changed(path, value)))


@pytest.mark.parametrize("validate", [load_scenario, lambda data: validate_scenario(json.dumps(data))])
def test_costs_that_could_overflow_are_refused(validate: Any) -> None:
    data = changed("costs/delay_penalty_per_tick", 10**15)
    data |= {"ticks_per_day": 1000, "num_days": 10_000}
    data["agents"][0]["arrival_config"]["rate_per_tick"] = 1000
    with pytest.raises(ScenarioError, match="cost"):
        validate(data)


def test_error_has_one_line_a_problem_with_path_value_and_what_is_allowed() -> None:
    data = changed("agents/0/balance", 1.5)
    data["agents"][1]["blance"] = 3
    del data["ticks_per_day"]
    with pytest.raises(ScenarioError) as caught:
        load_scenario(data)
    assert str(caught.value).splitlines() == [
        "ticks_per_day: missing; it is required",
        "agents[0].balance = 1.5: must be an integer number of cents between 0 and 1000000000000000",
        "agents[1].blance = 3: unknown key; allowed: id, balance, credit_limit, arrival_config, policy",
    ]


def test_scenario_error_is_a_value_error() -> None:
    assert issubclass(ScenarioError, ValueError)


@pytest.mark.parametrize(
    "owner",
    [
        "agents/0",
        "agents/0/arrival_config",
        "agents/0/arrival_config/time_windows/0",
        *(f"agents/{bank}/policy" for bank in range(6)),
        "rails/0",
        "costs",
        "costs/overdraft_tiers/0",
        "initial_transactions/0",
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
    for model in models(load_scenario(FULL)):
        fields = type(model).model_fields
        moved = {name for name, field in fields.items() if getattr(model, name) != field.default}
        seen.setdefault(type(model), set()).update(moved)
    single_valued = {"type", "settlement_type"}
    for kind, moved in seen.items():
        assert moved | single_valued >= set(kind.model_fields), kind


@pytest.mark.parametrize("source", [FULL, *bundled_scenarios()], ids=["full", *bundled_scenarios()])
def test_python_and_engine_have_the_same_fields(source: Any) -> None:
    ours = load_scenario(source).model_dump_json()
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
    with pytest.raises(ScenarioError, match="five_bank, two_bank"):
        load_scenario(source)


def test_bundled_scenarios_say_what_they_teach() -> None:
    assert bundled_scenarios() == ["five_bank", "two_bank"]
    for name in bundled_scenarios():
        scenario = load_scenario(name)
        assert len(scenario.description) > 80
        assert [bank.policy.type for bank in scenario.agents].count("learner") == 1


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
