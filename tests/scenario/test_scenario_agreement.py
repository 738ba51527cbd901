"""Python and the engine accept the same scenarios, with the same defaults."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from full_scenario import REPLAY
from hypothesis import HealthCheck, given, settings
from pydantic import ValidationError
from scenario_strategies import (
    INVALID_VALUES,
    SCENARIOS,
    Location,
    add_key,
    at,
    change,
    changed_scenarios,
    locations,
    put,
    remove,
)

from paysim_gym import Scenario, ScenarioError
from paysim_gym._engine import validate_scenario

MINIMAL = {"ticks_per_day": 4, "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 0}]}
SCHEMA = Scenario.model_json_schema()
SETTINGS = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def verdicts(data: Any) -> tuple[Any, Any]:
    """The values or errors of Python, and of the engine alone, for a document."""
    text = json.dumps(data)
    try:
        # Not load_scenario, which would also read the payments.
        python = json.loads(Scenario.model_validate(json.loads(text)).model_dump_json())
    except ValidationError as error:
        python = str(error)
    try:
        engine = json.loads(validate_scenario(text))
    except ScenarioError as error:
        engine = str(error)
    return python, engine


def disagreement(data: Any) -> str:
    """The difference between Python and the engine for a document, or ""."""
    python, engine = verdicts(data)
    both = f"Python: {str(python)[:300]}\nengine: {str(engine)[:300]}"
    if isinstance(python, str) and isinstance(engine, str):
        # Errors of keys and types have the form "path: error", those of values "path = value: allowed".
        is_form = " = " not in engine.partition(": ")[0]
        return both if is_form and not refused_by_field(python) else ""
    return "" if python == engine else both


def refused_by_field(python: Any) -> bool:
    """Whether Python refuses a field by itself, before the engine is asked about rules between fields."""
    return isinstance(python, str) and re.search(r"\[type=(?!value_error,)", python) is not None


def pattern_of(data: Any, location: Location) -> tuple[Any, ...]:
    """A path without its indices, with the type of its policy or event."""
    owners = [at(data, location[:depth]) for depth in range(len(location))]
    types = [owner["type"] for owner in owners if isinstance(owner, dict) and "type" in owner]
    return (*("*" if isinstance(key, int) else key for key in location), *types)


def path_patterns() -> list[Location]:
    """One path of each pattern in the full scenario."""
    return list({pattern_of(REPLAY, location): location for location in locations(REPLAY)}.values())


def ranges(schema: Any, value: Any, location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """The paths with a range in the JSON schema, with that subschema."""
    for option in schema.get("anyOf") or schema.get("oneOf") or [schema]:
        if "$ref" in option:
            option = SCHEMA["$defs"][option["$ref"].rpartition("/")[2]]
        if {"minimum", "exclusiveMinimum"} & option.keys():
            yield location, option
        parts: dict[str | int, Any] = {}
        if isinstance(value, dict) and is_member(option, value):
            parts = option.get("properties") or dict.fromkeys(value, option.get("additionalProperties"))
        elif isinstance(value, list) and option.get("type") == "array":
            parts = dict(enumerate(option.get("prefixItems") or [option["items"]] * len(value)))
        for key, part in parts.items():
            if part and (isinstance(value, list) or key in value):
                yield from ranges(part, at(value, (key,)), (*location, key))


def is_member(option: Any, value: dict[str, Any]) -> bool:
    """Whether a mapping belongs to this member of a union."""
    name = option.get("properties", {}).get("type", {}).get("const")
    return option.get("type") == "object" and name in (None, value.get("type"))


def longest_scenario() -> dict[str, Any]:
    """The full scenario with the longest time, so that only field ranges refuse values."""
    data = copy.deepcopy(REPLAY) | {"ticks_per_day": 1000, "num_days": 10_000}
    arrivals = data["agents"][0]["arrival_config"]
    del arrivals["time_windows"][1:], data["costs"]["overdraft_tiers"][1:]
    arrivals["deadline_range"] = [0, 10]
    data["initial_transactions"][0]["arrival_tick"] = 0
    for event in data["events"]:
        event |= {"tick": 0, "every_ticks": 10**6}
    return data


def path(location: Location) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in location).removeprefix(".")


def range_cases() -> list[Any]:
    data = longest_scenario()
    cases = {pattern_of(data, location): (location, option) for location, option in ranges(SCHEMA, data)}
    return [pytest.param(*case, id=path(case[0])) for case in cases.values()]


@pytest.mark.parametrize(("location", "option"), range_cases())
def test_a_number_has_the_same_range_on_both_sides(location: Location, option: dict[str, Any]) -> None:
    step = 1 if option["type"] == "integer" else 1e-6
    low: Any = option.get("minimum", option.get("exclusiveMinimum"))
    high: Any = option["maximum"]
    lowest = low if "minimum" in option else low + step
    for value, is_inside in ((lowest - step, False), (lowest, True), (high, True), (high + step, False)):
        data = longest_scenario()
        change(data, location, put, value)
        python, engine = verdicts(data)
        named = isinstance(engine, str) and engine.startswith((f"{path(location)} =", f"{path(location)}:"))
        assert named is not is_inside, (value, engine)
        assert is_inside or refused_by_field(python)


@pytest.mark.parametrize(
    ("field", "item", "low", "high"), [("agents", {"balance": 0}, 2, 1000), ("rails", {}, 1, 8)]
)
def test_a_list_has_the_same_lengths_on_both_sides(field: str, item: Any, low: int, high: int) -> None:
    for length in (low - 1, low, high, high + 1):
        data = MINIMAL | {field: [{"id": f"ID_{location}", **item} for location in range(length)]}
        python, engine = verdicts(data)
        is_wrong = not low <= length <= high
        assert (refused_by_field(python), isinstance(engine, str)) == (is_wrong, is_wrong)


@pytest.mark.parametrize("how", [put, remove, add_key], ids=lambda how: how.__name__)
def test_a_wrong_value_anywhere_is_judged_alike(how: Any) -> None:
    found, full = {}, json.dumps(REPLAY)
    for location in path_patterns():
        for value in INVALID_VALUES if how is put else INVALID_VALUES[:1]:
            data = json.loads(full)
            change(data, location, how, value)
            if difference := disagreement(data):
                found[f"{path(location)} = {value!r:.40}"] = difference
    assert found == {}


@SETTINGS
@given(SCENARIOS)
def test_a_scenario_that_keeps_the_rules_is_read_alike(data: Any) -> None:
    python, engine = verdicts(data)
    assert isinstance(python, dict), python
    assert python == engine


@settings(SETTINGS, max_examples=300)
@given(changed_scenarios())
def test_a_changed_scenario_is_judged_alike(variants: list[Any]) -> None:
    assert [disagreement(data) for data in variants] == [""] * len(variants)


@pytest.mark.parametrize(
    ("location", "value"),
    [
        (("agents", 0, "limits"), []),
        (("agents", 0, "policy"), ["learner"]),
        (("rails", 0, "lsm"), [True, False, True]),
        (("priority_escalation",), [2, 3]),
        (("events", 6), ["early_close", 10]),
        (("end_of_day",), {"carry": None}),
        (("costs", "delay_rate"), 0.9710789742306039),
    ],
)
def test_the_parsers_are_alike(location: Location, value: Any) -> None:
    data = copy.deepcopy(REPLAY)
    change(data, location, put, value)
    assert disagreement(data) == ""
