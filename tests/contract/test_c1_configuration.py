"""C1: the configuration models, their fields and bounds, and files."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract.example import example
from full_scenario import FULL, REPLAY
from pydantic import BaseModel, ValidationError

import paysim_gym
from paysim_gym import Scenario, ScenarioError, bundled_scenarios, load_scenario
from paysim_gym._engine import validate_scenario
from paysim_gym.scenario import (
    AgentConfig,
    ArrivalConfig,
    CostConfig,
    RailConfig,
    ScenarioNotFound,
    SimulationConfig,
    TransactionConfig,
)
from paysim_gym.scenario.demand import TimeWindow
from paysim_gym.scenario.field_types import Model
from paysim_gym.scenario.loader import read_scenario
from paysim_gym.scenario.scheduled_events import PaymentEvent, TransferEvent

ARRIVALS: dict[str, Any] = {"agent_id": "BANK_A", "rate_per_tick": 5.0, "amount_mean": 100000}
MODELS = ["ArrivalConfig", "AgentConfig", "RailConfig", "CostConfig", "TransactionConfig", "SimulationConfig"]
FAR = {"start_tick": 4, "end_tick": 4, "multiplier": 1}
PAYMENT = {"sender": "A", "receiver": "A", "amount": 1}
ALONE: list[tuple[type[Model], dict[str, Any], str]] = [
    (AgentConfig, {"id": "BANK_A", "balance": 1000.50, "credit_limit": 500}, "balance.*integer"),
    (AgentConfig, {"id": "bank_a", "balance": 1000}, r"id\b.*A-Z"),
    (AgentConfig, {"id": "A", "balance": -1}, "balance"),
    (AgentConfig, {"id": "A", "balance": 1, "credit_limit": -1}, "credit_limit"),
    (AgentConfig, {"id": "A", "balance": 1, "limits": {"bilateral": {"A": 1}}}, "limits.bilateral.A"),
    (
        AgentConfig,
        {"id": "A", "balance": 1, "arrival_config": ARRIVALS | {"distribution_type": "uniform"}},
        "arrival_config.agent_id",
    ),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "normal"}, "amount_std_dev"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "lognormal"}, "amount_std_dev"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "pareto_"}, "distribution_type"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "uniform", "rate_per_tick": 0}, "rate_per_tick"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "uniform", "amount_mean": 0}, "amount_mean"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "uniform", "amount_mean": 1.5}, "amount_mean"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "uniform", "amount_std_dev": 0}, "amount_std_dev"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "uniform", "time_windows": [FAR]}, "end_tick"),
    (ArrivalConfig, ARRIVALS | {"distribution_type": "uniform", "deadline_range": [3, 1]}, "deadline_range"),
    (TimeWindow, FAR, "end_tick"),
    (RailConfig, {"id": "RTGS", "settlement_type": "later"}, "settlement_type"),
    (RailConfig, {"id": "DNS", "settlement_type": "deferred_net"}, "cycle_ticks"),
    (RailConfig, {"id": "RTGS", "cycle_ticks": 5}, "cycle_ticks"),
    (CostConfig, {"overdraft_rate": 2}, "overdraft_rate"),
    (CostConfig, {"overdraft_tiers": [{"above": 5, "rate": 0.1}, {"above": 5, "rate": 0.2}]}, "above"),
    (TransactionConfig, PAYMENT | {"arrival_tick": 0, "deadline_tick": 1}, "receiver"),
    (
        TransactionConfig,
        PAYMENT | {"receiver": "B", "arrival_tick": 5, "deadline_tick": 1},
        "deadline_tick",
    ),
    (PaymentEvent, PAYMENT | {"tick": 0}, "receiver"),
    (PaymentEvent, PAYMENT | {"receiver": "B", "tick": 4, "until_tick": 5}, "until_tick"),
    (TransferEvent, {"tick": 0, "amount": 1}, "sender"),
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ticks_per_day": 0}, "ticks_per_day"),
    ({"ticks_per_day": 1001}, "ticks_per_day"),
    ({"ticks_per_day": 1.0}, "ticks_per_day"),
    ({"seed": "1"}, "seed"),
    ({"agents": example()["agents"][:1]}, "agents"),
    ({"agents": [*example()["agents"], {"id": "BANK_B", "balance": 1}]}, "BANK_B"),
    ({"surprise": None}, "surprise"),
]


def changed(**changes: Any) -> dict[str, Any]:
    return example() | changes


def parts(model: BaseModel) -> Iterator[BaseModel]:
    """A model and the models inside it."""
    yield model
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from parts(part)


def optional_fields() -> list[tuple[str, str]]:
    """The optional fields of every model, with the path of one in REPLAY."""
    found: dict[Any, tuple[str, str]] = {}

    def visit(model: Any, path: str) -> None:
        for name, field in type(model).model_fields.items():
            if not field.is_required() and name != "type":
                found.setdefault((type(model), name), (path, name))
            value = getattr(model, name)
            for index, part in enumerate(value if isinstance(value, tuple) else ()):
                if isinstance(part, Model):
                    visit(part, f"{path}/{name}/{index}")
            if isinstance(value, Model):
                visit(value, f"{path}/{name}")

    visit(Scenario.model_validate(REPLAY), "")
    return list(found.values())


@pytest.mark.parametrize("name", MODELS)
def test_c1_1_models_have_the_names_of_the_contract(name: str) -> None:
    for module in (paysim_gym, paysim_gym.scenario, paysim_gym.scenario.models):
        assert issubclass(getattr(module, name), Model)


@pytest.mark.parametrize(("model", "values", "message"), ALONE)
def test_c1_1_a_model_validates_alone(model: type[Model], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        model(**values)


def test_c1_1_an_error_of_a_nested_model_has_its_whole_path() -> None:
    config = example()
    del config["agents"][0]["arrival_config"]["amount_std_dev"]
    config["rails"][0]["cycle_ticks"] = 3
    with pytest.raises(ScenarioError) as refused:
        load_scenario(config)
    assert [line.partition(" = ")[0] for line in str(refused.value).splitlines()] == [
        "agents[0].arrival_config.amount_std_dev",
        "rails[0].cycle_ticks",
    ]


def test_c1_2_the_example_is_valid() -> None:
    config = SimulationConfig(**example())
    assert config.agents[0].arrival_config is not None
    assert config.agents[0].arrival_config.agent_id == "BANK_A"
    assert config.costs.eod_penalty == 100000
    assert load_scenario(changed(costs={})).costs == CostConfig()


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_c1_2_bounds(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SimulationConfig(**changed(**changes))


@pytest.mark.parametrize("ticks", [1, 1000])
def test_c1_2_a_day_has_1_to_1000_ticks(ticks: int) -> None:
    assert SimulationConfig(**changed(ticks_per_day=ticks)).ticks_per_day == ticks


@pytest.mark.parametrize("distribution", ["normal", "lognormal", "uniform", "exponential"])
def test_c1_2_every_distribution_accepts_a_deviation(distribution: str) -> None:
    values = ARRIVALS | {"distribution_type": distribution, "amount_std_dev": 30000}
    config = ArrivalConfig(**values)
    assert config.amount_std_dev == 30000
    assert ArrivalConfig(**config.model_dump()) == config


def test_c1_2_exponential_amounts_ignore_the_deviation() -> None:
    first, second = example(), example()
    first["agents"][0]["arrival_config"] |= {"distribution_type": "exponential", "amount_std_dev": None}
    second["agents"][0]["arrival_config"] |= {"distribution_type": "exponential", "amount_std_dev": 10**15}
    runs = [paysim_gym.Orchestrator(config) for config in (first, second)]
    for _ in range(20):
        one, other = (run.tick() for run in runs)
        assert one == other


def test_c1_2_initial_transactions_and_time_windows_may_be_null() -> None:
    config = changed(initial_transactions=None)
    config["agents"][0]["arrival_config"] |= {"time_windows": None, "counterparty_weights": None}
    assert load_scenario(config) == load_scenario(example())


@pytest.mark.parametrize(("path", "name"), optional_fields(), ids=lambda part: part or ".")
def test_c1_2_null_is_absent_for_every_optional_field(path: str, name: str) -> None:
    with_null, without = copy.deepcopy(REPLAY), copy.deepcopy(REPLAY)
    for data, is_null in ((with_null, True), (without, False)):
        owner: Any = data
        for key in path.split("/")[1:]:
            owner = owner[int(key) if key.isdecimal() else key]
        owner.pop(name, None)
        if is_null:
            owner[name] = None

    def outcome(read: Any, data: Any) -> Any:
        try:
            return read(data)
        except ValueError as error:
            return str(error).splitlines()[-1]

    assert outcome(Scenario.model_validate, with_null) == outcome(Scenario.model_validate, without)
    texts = [json.dumps(data) for data in (with_null, without)]
    assert outcome(validate_scenario, texts[0]) == outcome(validate_scenario, texts[1])


def test_c1_2_the_json_schema_allows_null() -> None:
    schema = Scenario.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            is_optional = name not in model.get("required", ()) and name != "type"
            assert ({"type": "null"} in field.get("anyOf", ())) is is_optional, (model["title"], name)


@pytest.mark.parametrize("key", ["counterparty_weights", "priority"])
def test_c1_2_null_is_no_weight(key: str) -> None:
    data = copy.deepcopy(FULL)
    weights = data["agents"][0]["arrival_config"][key]
    data["agents"][0]["arrival_config"][key] = weights | {next(iter(weights)): None}
    with pytest.raises(ScenarioError, match=key):
        load_scenario(data)
    with pytest.raises(ScenarioError, match=key):
        validate_scenario(json.dumps(data))


@pytest.mark.parametrize("mode", ["python", "json"])
@pytest.mark.parametrize("name", ["example", "full", *bundled_scenarios()])
def test_c1_2_a_dump_is_a_config_again(name: str, mode: Any) -> None:
    data = {"example": example(), "full": REPLAY}.get(name) or read_scenario(name)
    scenario = Scenario.model_validate(data)
    assert Scenario.model_validate(scenario.model_dump(mode=mode)) == scenario
    assert Scenario(**scenario.model_dump(mode=mode)) == scenario
    for part in parts(scenario):
        assert type(part)(**part.model_dump(mode=mode)) == part


def test_c1_3_a_scenario_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(example()), "utf-8")
    assert load_scenario(path) == load_scenario(str(path)) == SimulationConfig(**example())


@pytest.mark.parametrize("source", ["missing.yaml", Path("missing.yaml"), "no_such_scenario", "a/b/c.yaml"])
def test_c1_3_a_missing_file_is_a_file_not_found_error(source: Any) -> None:
    with pytest.raises(FileNotFoundError, match="must be a bundled scenario") as missing:
        load_scenario(source)
    assert isinstance(missing.value, ScenarioNotFound | ValueError)
    assert str(source) in str(missing.value)


def test_c1_3_a_wrong_file_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("ticks_per_day: 0\nagents: []\n", "utf-8")
    for source in (path, tmp_path):
        with pytest.raises(ValueError, match=r"ticks_per_day|readable") as wrong:
            load_scenario(source)
        assert not isinstance(wrong.value, FileNotFoundError)
