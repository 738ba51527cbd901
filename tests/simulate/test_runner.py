"""The run loop: hooks, days and output modes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from runs import plan_of, printed

from paysim_gym import bundled_scenarios
from paysim_gym.simulate.output import OUTPUTS, EventFilter, OutputStrategy
from paysim_gym.simulate.records import RunPlan, StateReader, TickRecord


class HookLog(OutputStrategy):
    """Records the calls of the hooks."""

    def on_simulation_start(self, config: RunPlan) -> None:
        self.sink.line(f"start {config.name}")

    def on_tick_start(self, tick: int) -> None:
        self.sink.line(f"tick {tick}")

    def on_tick_complete(self, result: TickRecord, orchestrator: StateReader) -> None:
        banks = len(orchestrator.get_state()["agents"])
        self.sink.line(f"played {result.outcome['day']} {result.tick} {banks}")

    def on_day_complete(self, day: int, day_stats: Mapping[str, Any], orchestrator: StateReader) -> None:
        self.sink.line(f"day {day} {day_stats['is_complete']} {day_stats['total_ticks']}")

    def on_simulation_complete(self, final_stats: Mapping[str, Any]) -> None:
        self.sink.line(f"end {final_stats['days']} {final_stats['total_ticks']}")


@pytest.fixture
def with_hook_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OUTPUTS, "hook_log", HookLog)


@pytest.mark.usefixtures("with_hook_log")
def test_a_new_mode_is_a_class_and_a_line(small_scenario: dict[str, Any]) -> None:
    small_scenario |= {
        "ticks_per_day": 3,
        "num_days": 2,
        "events": [{"type": "early_close", "tick": 1}],
    }
    assert printed(small_scenario, "hook_log").splitlines() == [
        *("start scenario", "tick 0", "played 0 0 2", "tick 1", "played 0 1 2", "day 0 True 2"),
        *("tick 3", "played 1 3 2", "tick 4", "played 1 4 2", "tick 5", "played 1 5 2"),
        *("day 1 True 3", "end 2 5"),
    ]


@pytest.mark.usefixtures("with_hook_log")
def test_a_new_mode_is_known_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from paysim_gym.cli import main

    monkeypatch.setattr("sys.argv", ["paysim", "run", "castro_two_period", "--mode", "hook_log"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("start castro_two_period\ntick 0\n")


@pytest.mark.usefixtures("with_hook_log")
def test_a_run_can_stop_within_a_day(small_scenario: dict[str, Any]) -> None:
    lines = printed(small_scenario | {"num_days": 3}, "hook_log", max_ticks=14).splitlines()
    assert [line for line in lines if line.startswith("day")] == ["day 0 True 12", "day 1 False 2"]
    assert lines[-1] == "end 2 14"


@pytest.mark.parametrize("mode", OUTPUTS)
@pytest.mark.parametrize("name", bundled_scenarios())
def test_every_bundled_scenario_runs_in_every_mode(name: str, mode: str) -> None:
    lines = printed(name, mode).splitlines()
    assert lines
    if mode in ("stream", "event_stream"):
        records = [json.loads(line) for line in lines]
        ticks = [record["tick"] for record in records]
        assert ticks == sorted(ticks)
        assert mode == "event_stream" or len(ticks) == plan_of(name).total_ticks
    else:
        assert lines[-1].startswith("cost")


def test_a_stream_has_the_outcome_of_each_tick_and_all_balances(small_scenario: dict[str, Any]) -> None:
    first, *_, last = map(json.loads, printed(small_scenario, "stream").splitlines())
    assert list(first)[:3] == ["tick", "day", "arrivals"]
    assert [agent["id"] for agent in first["agents"]] == ["BANK_A", "BANK_B"]
    assert sum(agent["balance"] for agent in last["agents"]) == 400_000_00


FILTERS: dict[str, tuple[EventFilter, Callable[[dict[str, Any]], bool]]] = {
    "bank": (EventFilter(banks=frozenset({"SMALL_C"})), lambda event: "SMALL_C" in map(str, event.values())),
    "payment": (
        EventFilter(payments=frozenset({7})),
        lambda event: 7 in (event.get("payment"), event.get("parent")),
    ),
    "type": (EventFilter(types=frozenset({"hold", "cost"})), lambda event: event["type"] in ("hold", "cost")),
    "ticks": (EventFilter(first_tick=5, last_tick=9), lambda event: 5 <= event["tick"] <= 9),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_shows_exactly_what_it_names(name: str) -> None:
    what, is_wanted = FILTERS[name]
    every = [json.loads(line) for line in printed("five_bank", "event_stream").splitlines()]
    chosen = [json.loads(line) for line in printed("five_bank", "event_stream", what).splitlines()]
    assert 0 < len(chosen) < len(every)
    assert chosen == [event for event in every if is_wanted(event)]


def test_a_payment_is_shown_with_its_parts(small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][1] |= {
        "balance": 0,
        "policy": {"type": "split_large", "parts": 3, "threshold": 0},
        "credit_limit": 0,
    }
    every = [json.loads(line) for line in printed(small_scenario, "event_stream").splitlines()]
    split = next(event["payment"] for event in every if event["type"] == "split")
    what = EventFilter(payments=frozenset({split}), types=frozenset({"split", "release"}))
    chosen = [json.loads(line) for line in printed(small_scenario, "event_stream", what).splitlines()]
    assert [event["type"] for event in chosen] == ["split", "release", "release", "release"]
    assert [event["parent"] for event in chosen[1:]] == [split] * 3


def test_verbose_formats_every_event(small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][0]["policy"] = {"type": "hold_until_deadline", "margin": 0}
    text = printed(small_scenario, "verbose")
    for words in (
        "tick 0, day 0\n  day 0 begins\n  BANK_A opens with 200,000.00, credit 500,000.00\n",
        "arrives: BANK_A > BANK_B",
        "BANK_A holds #",
        "settles gross, 0 ticks after arrival: BANK_B > BANK_A",
        "  = BANK_B: balance",
        "is charged",
        "day 0 is over",
    ):
        assert words in text


def test_verbose_omits_ticks_without_selected_events() -> None:
    text = printed("five_bank", "verbose", EventFilter(payments=frozenset({1})))
    assert "#1 arrives" in text
    assert "#2 arrives" not in text
    assert text.count("tick ") < 10
