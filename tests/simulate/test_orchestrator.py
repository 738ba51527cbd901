"""One system run for people."""

from __future__ import annotations

from typing import Any

import pytest

from paysim_gym import EpisodeOverError, Orchestrator, load_scenario
from paysim_gym._engine import COST_COMPONENTS


def play(config: Any, **kwargs: Any) -> tuple[Orchestrator, list[dict[str, Any]]]:
    orchestrator = Orchestrator(config, **kwargs)
    ticks = []
    while not orchestrator.is_over:
        ticks.append(orchestrator.tick())
    return orchestrator, ticks


def integers_only(value: Any) -> bool:
    if isinstance(value, dict):
        return all(integers_only(part) for part in value.values())
    if isinstance(value, list):
        return all(integers_only(part) for part in value)
    return not isinstance(value, float)


@pytest.mark.parametrize("config", [{"agents": []}, "no_such_scenario", {"ticks_per_day": 1.5}])
def test_wrong_config_is_a_value_error(config: Any) -> None:
    with pytest.raises(ValueError, match=r"agents|no_such_scenario|ticks_per_day"):
        Orchestrator(config)


def test_tick_reports_the_day(small_scenario: dict[str, Any]) -> None:
    _, ticks = play(small_scenario | {"num_days": 2})
    assert [tick["tick"] for tick in ticks] == list(range(24))
    assert [tick["day"] for tick in ticks] == [0] * 12 + [1] * 12
    keys = {"tick", "day", "arrivals", "settlements", "dropped", "queue_depth", "settled_value", "costs"}
    for tick in ticks:
        assert set(tick) >= keys
        assert tuple(tick["costs"]) == COST_COMPONENTS
        assert integers_only(tick)


def test_state_has_every_bank_and_only_integers(small_scenario: dict[str, Any]) -> None:
    orchestrator = Orchestrator(small_scenario)
    for _ in range(6):
        orchestrator.tick()
    state = orchestrator.get_state()
    assert (state["tick"], state["day"]) == (6, 0)
    assert [bank["id"] for bank in state["agents"]] == ["BANK_A", "BANK_B"]
    assert sum(bank["balance"] for bank in state["agents"]) == 400_000_00
    assert integers_only(state)
    for bank in state["agents"]:
        assert bank["liquidity"] == bank["balance"] + bank["credit_limit"]
        assert tuple(bank["costs"]) == COST_COMPONENTS
        for payment in bank["internal_queue"] + bank["central_queue"]:
            assert payment.keys() >= {
                "id", "sender", "receiver", "amount", "arrival_tick", "deadline_tick", "priority"
            }  # fmt: skip
            assert payment["sender"] == bank["id"]


def test_costs_of_ticks_add_up_to_the_costs_of_banks(small_scenario: dict[str, Any]) -> None:
    orchestrator, ticks = play(small_scenario)
    banks = orchestrator.get_state()["agents"]
    for component in COST_COMPONENTS:
        total = sum(tick["costs"][component] for tick in ticks)
        assert total == sum(bank["costs"][component] for bank in banks)


def test_runs_are_equal(small_scenario: dict[str, Any]) -> None:
    first, first_ticks = play(small_scenario, record_events=True)
    second, second_ticks = play(load_scenario(small_scenario), record_events=True)
    assert first_ticks == second_ticks
    assert first.get_state() == second.get_state()
    assert first.events() == second.events()


def test_seed_changes_the_run(small_scenario: dict[str, Any]) -> None:
    assert play(small_scenario)[1] != play(small_scenario | {"seed": 1})[1]


def test_events_are_recorded_on_request_and_given_once(small_scenario: dict[str, Any]) -> None:
    silent, _ = play(small_scenario)
    assert silent.events() == []
    recorded, _ = play(small_scenario, record_events=True)
    assert recorded.events()
    assert recorded.events() == []


def test_end_is_an_error(small_scenario: dict[str, Any]) -> None:
    orchestrator, _ = play(small_scenario)
    before = orchestrator.get_state()
    with pytest.raises(EpisodeOverError):
        orchestrator.tick()
    assert orchestrator.get_state() == before


def test_a_restored_run_goes_on_as_the_saved_one(small_scenario: dict[str, Any]) -> None:
    first, second = Orchestrator(small_scenario), Orchestrator(small_scenario)
    for _ in range(5):
        first.tick()
    state = first.save_state()
    second.restore_state(state)
    assert second.get_state() == first.get_state()
    while not first.is_over:
        assert first.tick() == second.tick()
    assert first.save_state() == second.save_state()


def test_a_state_that_does_not_fit_is_refused(small_scenario: dict[str, Any]) -> None:
    state = Orchestrator(small_scenario).save_state()
    other = Orchestrator(small_scenario | {"ticks_per_day": 13})
    before = other.get_state()
    with pytest.raises(ValueError, match="saved in another scenario"):
        other.restore_state(state)
    with pytest.raises(ValueError, match="damaged"):
        Orchestrator(small_scenario).restore_state(state[:-1])
    with pytest.raises(ValueError, match="not a saved state"):
        other.restore_state(b"")
    assert other.get_state() == before


def test_the_next_tick_is_that_of_the_state(small_scenario: dict[str, Any]) -> None:
    early = small_scenario | {"num_days": 2, "events": [{"type": "early_close", "tick": 7}]}
    orchestrator = Orchestrator(early)
    while not orchestrator.is_over:
        orchestrator.tick()
        assert orchestrator.next_tick == orchestrator.get_state()["tick"]
    assert orchestrator.next_tick == 24
