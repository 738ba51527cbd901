"""Rules that the engine exports to Python, against their definitions."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from scenario_strategies import SCENARIOS

from paysim_gym import ScenarioError, load_scenario
from paysim_gym._engine import busiest_rates, event_occurrences, minutes_of_day
from paysim_gym.scenario.field_types import TIME_OF_DAY


def checked_json(scenario: dict[str, Any]) -> str | None:
    """The JSON of a scenario, or None if it is invalid."""
    try:
        return load_scenario(scenario | {"payments_file": None}).model_dump_json()
    except ScenarioError:
        return None


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCENARIOS)
def test_event_occurrences_count_the_ticks_of_each_event(scenario: dict[str, Any]) -> None:
    if (text := checked_json(scenario)) is None:
        return
    scenario = json.loads(text)
    ticks = range(scenario["ticks_per_day"] * scenario["num_days"])
    expected = []
    for event in scenario["events"]:
        last = ticks[-1] if event["until_tick"] is None else event["until_tick"]
        repeats = range(event["tick"], last + 1, event["every_ticks"]) if event["every_ticks"] else ()
        expected.append(sum(tick == event["tick"] or tick in repeats for tick in ticks))
    assert event_occurrences(text) == expected


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCENARIOS)
def test_busiest_rates_combine_the_largest_multipliers(scenario: dict[str, Any]) -> None:
    if (text := checked_json(scenario)) is None:
        return
    scenario = json.loads(text)
    expected = []
    for agent in scenario["agents"]:
        arrivals = agent["arrival_config"] or {"rate_per_tick": 0.0, "time_windows": []}
        windows = [window["multiplier"] for window in arrivals["time_windows"]]
        surges = [
            event["multiplier"]
            for event in scenario["events"]
            if event["type"] == "arrival_rate" and event["bank"] in (None, agent["id"])
        ]
        expected.append(arrivals["rate_per_tick"] * max(1.0, *windows, 0) * max(1.0, *surges, 0))
    assert busiest_rates(text) == expected


@pytest.mark.parametrize("rule", [busiest_rates, event_occurrences])
def test_a_refused_scenario_raises_a_scenario_error(rule: Any) -> None:
    with pytest.raises(ScenarioError, match="agents"):
        rule(json.dumps({"ticks_per_day": 1, "agents": []}))


def test_minutes_of_day_of_every_time() -> None:
    for hours, minutes in itertools.product(range(100), range(100)):
        is_time = (hours < 24 and minutes < 60) or (hours, minutes) == (24, 0)
        text = f"{hours:02}:{minutes:02}"
        assert minutes_of_day(text) == (60 * hours + minutes if is_time else None)
        assert bool(re.fullmatch(TIME_OF_DAY, text)) == is_time


@pytest.mark.parametrize(
    "value",
    [
        *("", "7:00", "07:0", "07:000", "07:00:00", "07-00", " 07:00", "07:00 ", "07:00\n", "-7:00", "+7:00"),
        *(
            "\u0660\u0667:00",
            "\uff10\uff17:00",
            "07\uff1a00",
            "\ud800",
            "ab:cd",
            b"07:00",
            None,
            700,
            7.0,
            True,
            ["07:00"],
        ),
    ],
)
def test_minutes_of_day_of_any_other_value_is_none(value: object) -> None:
    assert minutes_of_day(value) is None
    assert not isinstance(value, str) or not re.fullmatch(TIME_OF_DAY, value)
