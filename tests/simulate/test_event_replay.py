"""The state rebuilt from events equals the state of the engine."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from full_scenario import FULL
from hypothesis import HealthCheck, given, settings
from network_files import against, network_file
from scenario_strategies import SCENARIOS

from paysim_gym import Orchestrator, ScenarioError, bundled_scenarios, load_scenario
from paysim_gym.simulate.event_replay import EventReplay
from paysim_gym.simulate.formatting import EVENT_FORMATTERS, event_lines


def play_and_compare(run: Orchestrator, max_ticks: int = 200) -> set[str]:
    """Compare the replay with the engine after every tick; return the event types."""
    replay = EventReplay([rail.id for rail in run.scenario.rails])
    seen = set()
    for _ in range(max_ticks):
        if run.is_over:
            break
        run.tick()
        events = run.events()
        for event in events:
            replay.apply(event)
            seen.add(event["type"])
        assert replay.agents() == run.get_state()["agents"]
        assert len(list(event_lines(events))) > 0 or len(events) == 1
    return seen


@pytest.mark.parametrize("name", bundled_scenarios())
def test_events_add_up_to_the_state_of_every_bundled_scenario(name: str) -> None:
    scenario = load_scenario(name).model_copy(update={"num_days": 2})
    assert {"day", "opening", "tick", "day_end"} <= play_and_compare(
        Orchestrator(scenario, record_events=True)
    )


def test_events_add_up_to_the_state_where_every_key_is_used() -> None:
    scenario = copy.deepcopy(FULL)
    scenario["agents"][0]["policy"] = {"type": "hold_until_deadline", "margin": 0}
    scenario["agents"][0]["arrival_config"]["rail"] = "T2"
    seen = play_and_compare(Orchestrator(scenario, record_events=True))
    assert {"landing", "transfer", "outage", "credit_change", "collateral_change", "urgency"} <= seen


def test_parts_that_are_cut_off_add_up_too(small_scenario: dict[str, Any], tmp_path: Path) -> None:
    file = network_file(tmp_path / "network.safetensors", {"action_mode": "fraction"})
    scenario = against(small_scenario | {"num_days": 3, "end_of_day": "carry"}, file, deterministic=False)
    assert "cut" in play_and_compare(Orchestrator(scenario, record_events=True))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCENARIOS)
def test_events_add_up_to_the_state_of_any_scenario(scenario: dict[str, Any]) -> None:
    try:
        run = Orchestrator(scenario, record_events=True)
    except ScenarioError:
        return
    assert play_and_compare(run, 30) <= set(EVENT_FORMATTERS)


def test_an_event_says_what_is_needed_to_retrace_it(small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][1]["policy"] = {"type": "split_large", "parts": 3, "threshold": 0}
    small_scenario["agents"][1]["balance"] = 0
    run = Orchestrator(small_scenario, record_events=True)
    keys = {
        "release": {"payment", "parent", "sender", "receiver", "amount", "deadline_tick", "rail"},
        "queued": {"payment", "parent", "sender", "receiver", "amount", "deadline_tick", "rail", "reason"},
        "limit_hit": {"payment", "sender", "receiver", "amount", "rail", "reason", "available"},
        "settlement": {"payment", "parent", "sender", "receiver", "amount", "arrival_tick", "deadline_tick"},
        "overdue": {"payment", "sender", "receiver", "amount", "deadline_tick", "penalty"},
        "cost": {"bank", "component", "amount"},
    }
    seen = set()
    while not run.is_over:
        tick = run.tick()["tick"]
        for event in run.events():
            seen.add(event["type"])
            assert event["tick"] == tick
            assert keys.get(event["type"], set()) <= event.keys()
            assert event.get("bank", "BANK_A") in ("BANK_A", "BANK_B")
            assert event.get("rail", "RTGS") == "RTGS"
    assert keys.keys() <= seen
