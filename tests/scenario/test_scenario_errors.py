"""Unusual scenarios load correctly or raise a ScenarioError, never another error."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from full_scenario import REMOVED, changed

from paysim_gym import ScenarioError, bundled_scenarios, load_scenario

ARRIVALS = "agents/0/arrival_config"
LEAST = "ticks_per_day: 4\nagents: [{id: A, balance: 0}, {id: B, balance: 0}]\n"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def problem(data: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(data)
    return str(caught.value)


@pytest.mark.parametrize("key", ["05", "+5", "5 ", "\uff15", "\u0665", "9" * 5000])
@pytest.mark.parametrize("path", [f"{ARRIVALS}/priority", "costs/priority_multipliers"])
def test_a_key_is_an_integer_only_as_json_writes_it(path: str, key: str) -> None:
    message = problem(changed(path, {key: 1}))
    assert "must be an integer between 0 and 10" in message
    assert load_scenario(changed(path, {"5": 1})) == load_scenario(changed(path, {5: 1}))


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("learner", "learner = 1: unknown key; allowed: description, "),
        ("agents/0/learner", "agents[0].learner = 1: unknown key; allowed: id, "),
        ("agents/0/random", "agents[0].random = 1: unknown key; allowed: id, "),
        ("agents/1/policy/learner", "agents[1].policy.learner = 1: unknown key; allowed: type, margin"),
        ("agents/1/policy/policy", "agents[1].policy.policy = 1: unknown key; allowed: type, margin"),
        (f"{ARRIVALS}/level", "agents[0].arrival_config.level = 1: unknown key; allowed: agent_id, "),
        ("costs/[key]", "costs.[key] = 1: unknown key; allowed: overdraft_rate, "),
        ("events/0/events", "events[0].events = 1: unknown key; allowed: tick, every_ticks, until_tick, "),
        (
            "events/5/payment",
            "events[5].payment = 1: unknown key; allowed: tick, every_ticks, until_tick, type, b",
        ),
        ("agents/0/limits/outage", "agents[0].limits.outage = 1: unknown key; allowed: bilateral, multi"),
    ],
)
def test_an_unknown_key_keeps_its_name(path: str, start: str) -> None:
    assert problem(changed(path, 1)).startswith(start)


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        (f"{ARRIVALS}/priority", {"5": -1}, "agents[0].arrival_config.priority.5 = -1: must"),
        (f"{ARRIVALS}/priority", {"11": 1}, "agents[0].arrival_config.priority.11 = '11': must"),
        (f"{ARRIVALS}/priority", 11, "agents[0].arrival_config.priority = 11: must"),
        (f"{ARRIVALS}/priority", {}, "agents[0].arrival_config.priority = {}: must"),
        (f"{ARRIVALS}/counterparty_weights", {}, "agents[0].arrival_config.counterparty_weights = {}: must"),
        (
            f"{ARRIVALS}/counterparty_weights",
            {"learner": 1},
            "agents[0].arrival_config.counterparty_weights.learner = 'learner': must",
        ),
        ("agents/1/policy/margin", -1, "agents[1].policy.margin = -1: must"),
        (
            "agents/1/policy",
            "learner",
            "agents[1].policy = 'learner': must be a mapping with a `type`, one of ",
        ),
        ("agents/1/policy", {"type": []}, "agents[1].policy = {'type': []}: must be a mapping with a `type`"),
        ("events", {}, "events = {}: must be a list"),
        ("events/0", "payment", "events[0] = 'payment': must be a mapping with a `type`, one of payment, "),
        (
            "events/0",
            {"tick": 1},
            "events[0] = {'tick': 1}: must be a mapping with a `type`, one of payment, ",
        ),
        (
            "events/0",
            {"type": 1},
            "events[0] = {'type': 1}: must be a mapping with a `type`, one of payment, ",
        ),
        (
            "events/0",
            {"type": "strike"},
            "events[0] = {'type': 'strike'}: must be a mapping with a `type`, one of payment, transfer, "
            "arrival_rate, credit, collateral, outage, early_close",
        ),
        ("events/0/amount", 1.5, "events[0].amount = 1.5: must be an integer number of cents between 1 and"),
        ("events/0/priority", "5", "events[0].priority = '5': must be an integer between 0 and 10"),
        ("events/2/multiplier", -1, "events[2].multiplier = -1: must be a number between 0 and 1000"),
        (
            "events/3/tick",
            10**7,
            "events[3].tick = 10000000: must be an integer number of ticks between 0 and",
        ),
        ("events/3/tick", REMOVED, "events[3].tick: missing; it is required"),
        (
            "agents/0/limits/bilateral",
            {"events": 1},
            "agents[0].limits.bilateral.events = 'events': must be 1 to 64 characters from A-Z, 0-9 and _",
        ),
        ("agents/0/limits/bilateral", [], "agents[0].limits.bilateral = []: must be a mapping"),
        ("rails/0/lsm", [], "rails[0].lsm = []: must be a mapping"),
        ("rails/1/cycle_ticks", 0, "rails[1].cycle_ticks = 0: must be an integer number of ticks between 1"),
        ("opening_time", "7:00", "opening_time = '7:00': must be a time HH:MM between 00:00 and 24:00"),
        (
            "agents/1/policy",
            {"type": "network", "weights": ""},
            "agents[1].policy.weights = '': must be the path of a safetensors file",
        ),
        ("payments_file", "", "payments_file = '': must be the path of a CSV or Parquet file"),
        ("payments_file", "\ud800", r"payments_file = '\ud800': must be text without lone surrogates"),
        ("description", "\ud800", r"description = '\ud800': must be text without lone surrogates"),
    ],
)
def test_path_and_value_are_those_of_the_problem(path: str, value: Any, start: str) -> None:
    assert problem(changed(path, value)).startswith(start)


def test_values_that_cannot_be_shown_are_named_by_type() -> None:
    for path, named in (("agents/0/balance", "agents[0].balance"), ("costs/delay_rate", "costs.delay_rate")):
        assert problem(changed(path, 10**5000)).startswith(f"{named} = (int too large to show): must be")
        assert problem(changed(path, [10**5000])).startswith(f"{named} = (list too large to show): must be")
    data = changed("description", "")
    data["description"] = nested(100_000)
    assert problem(data).startswith("description = (list too large to show): must be")


@pytest.mark.parametrize("source", ["a\0b", Path("a\0b"), "a\ud800b"])
def test_impossible_paths_name_the_bundled_scenarios(source: Any) -> None:
    assert f"must be a bundled scenario ({', '.join(bundled_scenarios())})" in problem(source)


@pytest.mark.parametrize(
    "text",
    [
        "a: 2024-13-45",
        "[" * 5000,
        "- " * 5000,
        "a: " + "9" * 5000,
        "a: !!int x",
        "a: !!bool x",
        "a: !!timestamp x",
        "!!seq x: 1",
        "a: 1" + ":0" * 200 + ".5",
    ],
    ids=lambda text: text[:16],
)
def test_unreadable_yaml_is_a_scenario_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, "utf-8")
    assert problem(path).startswith(f"{path}: not a valid YAML file: ")


@pytest.mark.parametrize("text", ["1e-5", "1.0e-5", "1E-5", ".1e-4", "+1e-5", "0.00001", "1.e-5"])
def test_yaml_floats_are_those_of_version_1_2(tmp_path: Path, text: str) -> None:
    path = tmp_path / "floats.yaml"
    path.write_text(f"{LEAST}costs: {{delay_rate: {text}}}", "utf-8")
    assert load_scenario(path).costs.delay_rate == 1e-5


def test_yaml_exponents_are_floats_and_integers_stay_integers(tmp_path: Path) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_text(f"{LEAST}seed: 1E6", "utf-8")
    assert problem(path) == "seed = 1000000.0: must be an integer between 0 and 18446744073709551615"
    path.write_text(f"{LEAST}seed: 100", "utf-8")
    assert load_scenario(path).seed == 100
    path.write_text(f"{LEAST}description: 1e", "utf-8")
    assert load_scenario(path).description == "1e"
    path.write_text(f"{LEAST}costs: {{delay_rate: 1e400}}", "utf-8")
    assert re.match(rf"costs\.delay_rate = {math.inf}: must be a number", problem(path))
